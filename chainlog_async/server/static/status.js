// A status as a badge: its number, and a colour for its meaning.

import { el } from "./dom.js";

const CLIENT_CLOSED_REQUEST = 499;

/** Returns "ok", "warn" for a 429, "bad" for a failure, or "" for a client that disconnected. */
export function tone(status) {
  if (status === 429) return "warn";
  if (status === CLIENT_CLOSED_REQUEST) return "";
  return status === null || status >= 400 ? "bad" : "ok";
}

/** Returns the badge of a status; null means that there was no response. */
export function sign(status) {
  return el("span", { class: `status ${tone(status)}` }, status === null ? "no response" : String(status));
}
