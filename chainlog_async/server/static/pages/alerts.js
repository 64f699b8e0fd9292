// Alerts: which are firing, which rules there are, and what happened.

import { byId, el } from "../core/dom.js";
import { exactCount } from "../core/format.js";
import { ago, exactTime, shortTime } from "../core/times.js";
import { showTable } from "../tables/table.js";
import { section } from "./parts.js";

const HISTORY = 200;
const NONE = "No alert is set. Settings have them under alerts: docs/how-to/alerts.md.";

export const alerts = {
  applies: { names: false, requests: false },

  build() {
    return [
      section("Alerts", "alerts", null, el("div", { id: "alerts" })),
      section("What happened", "episodes", null, el("div", { id: "episodes" })),
    ];
  },

  async load({ ask, unlessForbidden }) {
    try {
      return { report: await unlessForbidden(ask("v1/alerts", { limit: HISTORY })), why: "Your key sees one caller; alerts look at all of them." };
    } catch (error) {
      // Where the log is kept on another machine.
      if (error.status === 404) return { report: null, why: error.message };
      throw error;
    }
  },

  async show({ report, why }) {
    const { alerts: rules, history } = report ?? { alerts: [], history: [] };
    showTable(byId("alerts"), { id: "rules", label: "Alerts", columns: RULES, rows: rules, sort: ["firing", "desc"], empty: report ? NONE : why });
    showTable(byId("episodes"), { id: "episodes-table", label: "Episodes", columns: EPISODES, rows: history, empty: "No alert has fired." });
  },
};

const RULES = [
  { key: "name", title: "Alert", value: (row) => row.name, cell: (row) => row.name },
  { key: "when", title: "When", value: (row) => row.when, cell: (row) => el("code", {}, row.when) },
  {
    key: "firing",
    title: "Now",
    value: (row) => row.firing.length,
    cell: ({ firing }) =>
      firing.length
        ? firing.map(({ group, value, firedAt }) => el("div", {}, badge("firing", "bad"), ` ${group} ${value} `, el("span", { class: "muted" }, ago(firedAt))))
        : badge("quiet", "ok"),
  },
  { key: "targets", title: "Tells", value: (row) => row.targets.join(", "), cell: (row) => row.targets.join(", ") || "nobody" },
];

const EPISODES = [
  { key: "fired", title: "Fired", value: (row) => row.firedAt, cell: (row) => el("span", { title: exactTime(row.firedAt) }, shortTime(row.firedAt)) },
  { key: "alert", title: "Alert", value: (row) => row.alert, cell: (row) => row.alert },
  { key: "group", title: "Group", value: (row) => row.group, cell: (row) => row.group },
  { key: "value", title: "Measured", value: (row) => row.value, cell: (row) => row.value },
  { key: "when", title: "When", value: (row) => row.when, cell: (row) => el("code", {}, row.when), hidden: true },
  {
    key: "cleared",
    title: "Cleared",
    value: (row) => row.clearedAt,
    cell: ({ clearedAt }) => (clearedAt === null ? badge("firing", "bad") : el("span", { title: exactTime(clearedAt) }, shortTime(clearedAt))),
  },
  { key: "deliveries", title: "Messages", value: (row) => row.deliveries.length, cell: (row) => row.deliveries.map(delivery) },
];

function delivery({ event, target, tries, deliveredAt, error }) {
  if (deliveredAt !== null) return el("div", {}, `${event}: told ${target} `, el("span", { class: "muted" }, shortTime(deliveredAt)));
  return el("div", { class: "bad", title: error }, `${event}: ${target} not told after ${exactCount(tries)} tries`);
}

function badge(text, tone) {
  return el("span", { class: `status ${tone}` }, text);
}
