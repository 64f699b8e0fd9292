// How the service itself is: a word in the corner, and its reasons when it is not well.

import { byId, el, fill } from "./dom.js";

/** Shows the status, and whatever the service says about it; null when it could not be asked. */
export function showHealth(health) {
  const node = byId("health");
  if (!health) {
    node.className = "health bad";
    fill(node, "no answer");
    return;
  }
  const tones = { ok: "ok", degraded: "warn", failed: "bad" };
  node.className = `health ${tones[health.status] ?? "bad"}`;
  fill(node, [
    el("span", { class: "dot", "aria-hidden": "true" }),
    health.status,
    health.reasons.length ? el("span", {}, health.reasons.join(" · ")) : null,
  ]);
  fill(byId("footer"), el("p", {}, `chainlog-async ${health.version}`), health.notes.map((note) => el("p", {}, note)));
}
