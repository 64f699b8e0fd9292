// A status as a badge: its number, and a colour for its meaning.

import { el } from "../core/dom.js";

const CLIENT_CLOSED_REQUEST = 499;

/** Returns "ok", "warn" for a 429, "bad" for a failure, or "" for a client that disconnected. */
export function tone(status, broke = false) {
  if (broke && status < 400) return "bad";
  if (status === 429) return "warn";
  if (status === CLIENT_CLOSED_REQUEST) return "";
  return status === null || status >= 400 ? "bad" : "ok";
}

/** Returns whether an answer broke off: it has an error in spite of its status, and so has its last attempt. */
export function brokeOff({ httpStatus, errorMessage, attemptTrail }) {
  const last = attemptTrail?.at(-1);
  const hasFailed = last && (last.httpStatus === null || last.httpStatus >= 400 || last.errorMessage !== null);
  return httpStatus < 400 && errorMessage !== null && Boolean(hasFailed);
}

/** Returns the badge of a status; null means that there was no response. */
export function sign(status, broke = false) {
  const text = status === null ? "no response" : `${status}${broke && status < 400 ? " ✕" : ""}`;
  return el("span", { class: `status ${tone(status, broke)}` }, text);
}
