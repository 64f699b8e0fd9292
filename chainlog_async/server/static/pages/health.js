// Health: what the service says of itself, and what became of every entry.

import { byId, el, fill } from "../core/dom.js";
import { count, duration, exactCount } from "../core/format.js";
import { toneOf } from "../shell/health_dot.js";
import { card } from "./cards.js";
import { section } from "./parts.js";

export const health = {
  applies: { names: false, requests: false },

  build() {
    return [
      section("Status", "status", null, el("div", { id: "status", class: "panel padded" })),
      section("Entries of this process", "accounting", null, el("div", { id: "accounting" })),
    ];
  },

  async load({ ask, unlessForbidden, health: found }) {
    return { health: found, statistics: (await unlessForbidden(ask("v1/statistics"))) ?? found.accounting };
  },

  async show({ health: found, statistics }) {
    fill(byId("status"), [
      el("p", { id: "health", class: `health ${toneOf(found.status)}` }, el("span", { class: "dot", "aria-hidden": "true" }), found.status),
      found.reasons.map((reason) => el("p", { class: "reason" }, reason)),
      found.notes.map((note) => el("p", { class: "muted" }, note)),
      el("p", { class: "muted" }, `chainlog-async ${found.version}, up for ${duration(found.uptime * 1000)}`),
    ]);
    if (!statistics) {
      fill(byId("accounting"), el("p", { class: "panel empty" }, "The log is not open yet."));
      return;
    }
    fill(byId("accounting"), el("div", { class: "cards" }, cards(statistics)));
  },
};

function cards(statistics) {
  const reasons = Object.entries(statistics.dropped);
  const dropped = reasons.reduce((all, [, number]) => all + number, 0);
  const parts = reasons.map(([reason, number]) => `${exactCount(number)} ${reason.replaceAll("_", " ")}`).join(", ");
  return [
    card("Submitted entries", statistics.submitted, count, "written, waiting and dropped"),
    card("Written entries", statistics.written, count, "in the database"),
    card("Waiting entries", statistics.pending, count, "in the queue, or on their way"),
    card("Dropped entries", dropped, count, parts || "nothing was dropped", { tone: dropped ? "bad" : "" }),
  ];
}
