// A status as a small sign: its number, and a colour for what it means.

import { el } from "./dom.js";

const CLIENT_WENT_AWAY = 499;

/** "ok", "warn" for a refusal, "bad" for a failure, or "" for a client that went away. */
export function tone(status) {
  if (status === 429) return "warn";
  if (status === CLIENT_WENT_AWAY) return "";
  return status === null || status >= 400 ? "bad" : "ok";
}

/** The sign of a status; null stands for no answer. */
export function sign(status) {
  return el("span", { class: `status ${tone(status)}` }, status === null ? "no answer" : String(status));
}
