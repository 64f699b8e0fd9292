// The health of the service: its status in the corner, with the reasons when it is not ok.

import { byId, el, fill } from "../core/dom.js";

/** Shows the status and its reasons and notes; `health` is null when the service did not respond. */
export function showHealth(health) {
  const node = byId("health");
  if (!health) {
    node.className = "health bad";
    fill(node, "no response");
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
