// The health of the service: a dot at the page that tells more, and notices of what is wrong.

import { byId, el, fill } from "../core/dom.js";

const TONES = { ok: "ok", degraded: "warn", failed: "bad" };

/** Shows the status; `health` is null when the service did not respond. */
export function showHealth(health) {
  const dot = byId("health-dot");
  const status = health?.status ?? "no response";
  dot.className = `dot ${TONES[status] ?? "bad"}`;
  dot.title = status;
  fill(dot, el("span", { class: "hidden" }, `: ${status}`));
  if (health) fill(byId("footer"), el("p", {}, `chainlog-async ${health.version}`), health.notes.map((note) => el("p", {}, note)));
}

/** Returns the class of a status. */
export function toneOf(status) {
  return TONES[status] ?? "bad";
}
