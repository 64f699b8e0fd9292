// Providers: how often each was called, refused with 429, or failed, and how fast it is.

import { buildCharts, showCharts } from "../charts/charts.js";
import { byId, el, fill } from "../core/dom.js";
import { count, share } from "../core/format.js";
import { ago, exactTime } from "../core/times.js";
import { sign } from "../requests/status.js";
import { nameButton } from "../tables/names.js";
import { showTable } from "../tables/table.js";
import { chartChoices, section } from "./parts.js";

const CHARTS = ["requests", "errors", "latency", "ttft", "tokens", "cost"];
const MAX_GROUPS = 9;
const EVERY = "Every attempt of every chain, including those after which another provider answered.";

export const providers = {
  applies: { names: true, requests: false },

  build() {
    return [
      section("Attempts", "providers", el("p", { id: "providers-note", class: "muted" }), el("div", { id: "providers" })),
      section("Answers over time", "charts-head", el("div", { id: "chart-choices" }), buildCharts(CHARTS)),
    ];
  },

  async load({ ask, unlessForbidden, overTime, range, view }) {
    const grouped = { ...overTime, by: "provider", groups: MAX_GROUPS };
    const [health, usage, latency] = await Promise.all([
      unlessForbidden(ask("v1/providers/health", range)),
      ask("v1/usage", grouped),
      ask("v1/latency", { ...grouped, outcome: view.outcome }),
    ]);
    return { health, usage, latency };
  },

  async show({ health, usage, latency }, view) {
    fill(byId("chart-choices"), chartChoices({ grouping: false, comparing: false }));
    showHealthOf(health?.providers ?? null, view);
    await showCharts({ usage: usage.points, latency: latency.points, by: "provider" });
  },
};

function showHealthOf(all, view) {
  const note = byId("providers-note");
  note.textContent = EVERY;
  if (all === null) {
    fill(byId("providers"), el("p", { class: "panel empty" }, "Your key sees one caller; attempts are counted for all callers together."));
    return;
  }
  const unapplied = ["chain", "caller"].filter((name) => view[name].length || view[`not${name[0].toUpperCase()}${name.slice(1)}`].length);
  if (unapplied.length) note.textContent = `${EVERY} The filter of ${unapplied.join(" and ")} does not apply here.`;
  const passes = (wanted, excluded, name) => (!wanted.length || wanted.includes(name)) && !excluded.includes(name);
  const rows = all.filter(
    ({ providerId, model }) => passes(view.provider, view.notProvider, providerId) && passes(view.model, view.notModel, model),
  );
  showTable(byId("providers"), {
    id: "attempts",
    label: "Attempts by provider and model",
    columns: COLUMNS,
    rows,
    sort: ["trouble", "desc"],
    empty: "No provider was called in this range.",
  });
}

const COLUMNS = [
  { key: "provider", title: "Provider", value: (row) => row.providerId, cell: (row) => nameButton("provider", row.providerId) },
  { key: "model", title: "Model", value: (row) => row.model, cell: (row) => nameButton("model", row.model) },
  { key: "attempts", title: "Attempts", number: true, value: (row) => row.attempts, cell: (row) => count(row.attempts) },
  { key: "answered", title: "Answered", number: true, value: (row) => row.successes, cell: (row) => count(row.successes) },
  rate("refusals", "Refusals (429)", "refusalRate", "rateLimited", "warn"),
  rate("failures", "Failures", "failureRate", "failures", "bad"),
  { key: "trouble", title: "Not answered", number: true, hidden: true, value: troubled, cell: (row) => share(troubled(row)) },
  { key: "left", title: "Clients left (499)", number: true, value: (row) => row.cancelled, cell: (row) => count(row.cancelled) },
  { key: "error", title: "Last error", value: (row) => row.lastErrorAt, cell: lastError },
];

function troubled({ refusalRate, failureRate }) {
  return refusalRate + failureRate;
}

function rate(key, title, value, number, tone) {
  const cell = (row) => {
    const bar = el("span", { class: `bar ${tone}`, "aria-hidden": "true" });
    bar.style.setProperty("--share", row[value]);
    return [el("span", {}, `${share(row[value])} `, el("span", { class: "muted" }, `(${count(row[number])})`)), bar];
  };
  return { key, title, number: true, class: "rate", value: (row) => row[value], cell };
}

function lastError({ lastError: message, lastErrorStatus: status, lastErrorAt: at }) {
  if (at === null) return el("span", { class: "muted" }, "none");
  return el(
    "div",
    { class: "error-text two-lines", title: message },
    sign(status),
    ` ${message ?? ""} `,
    el("span", { class: "muted", title: exactTime(at) }, ago(at)),
  );
}
