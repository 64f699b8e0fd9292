// Costs: who and what they are for, what was spent for nothing, what caches saved, and what is left of budgets.

import { buildCharts, showCharts } from "../charts/charts.js";
import { copyButton } from "../core/copy.js";
import { byId, el, fill } from "../core/dom.js";
import { count, money, share } from "../core/format.js";
import { viewLink } from "../core/links.js";
import { change, picking } from "../core/state.js";
import { exactTime, day } from "../core/times.js";
import { nameButton } from "../tables/names.js";
import { showTable } from "../tables/table.js";
import { card, delta, summed } from "./cards.js";
import { choice, compareToggle, plainSection, section } from "./parts.js";

const MAX_GROUPS = 9;
const MAX_ROWS = 100;
const SHORT_STEPS = ["15m", "30m"];

export const costs = {
  applies: { names: true, requests: false, tags: true },

  build() {
    return [
      plainSection("Totals", "cards", el("div", { id: "cards" })),
      section("Over time", "charts-head", el("div", { id: "cost-choices", class: "choices" }), buildCharts(["cost", "unanswered", "tokens"])),
      section("What it was for", "spent", null, el("div", { id: "spent" })),
      el("div", { id: "budgets-section" }, section("Budgets", "budgets", null, el("div", { id: "budgets" }))),
      el("div", { id: "unpriced-section", hidden: true }, section("Models without a price", "unpriced", null, el("div", { id: "unpriced" }))),
    ];
  },

  async load({ ask, total: untagged, overTime: untaggedSteps, before, names, view }) {
    const by = view.by || "model";
    const isTagged = view.tag || by.startsWith("tag:");
    const total = { ...untagged, tag: view.tag };
    // Tags are counted by the hour.
    const overTime = { ...untaggedSteps, tag: view.tag, step: isTagged && SHORT_STEPS.includes(untaggedSteps.step) ? "1h" : untaggedSteps.step };
    const rows = by === "day" ? { ...overTime, step: "1d" } : { ...total, by, groups: MAX_ROWS };
    const [usage, points, spent, models, budgets, savings, ...earlier] = await Promise.all([
      ask("v1/usage", total),
      ask("v1/usage", { ...overTime, by: chartGroup(by), groups: MAX_GROUPS }),
      ask("v1/usage", rows),
      ask("v1/usage", { ...total, by: "model", groups: MAX_ROWS }),
      ask("v1/budgets"),
      ask("v1/cache-savings", total),
      ...(view.compare ? [ask("v1/usage", { ...total, ...before }), ask("v1/usage", { ...overTime, ...before })] : []),
    ]);
    const unpriced = models.points.filter(({ other, totalTokens, costUsd }) => !other && totalTokens && !costUsd);
    return { usage, points, spent, unpriced: await withProviders(ask, total, unpriced), budgets, savings, earlier, by, tagKeys: names.tagKeys ?? [] };
  },

  async show({ usage, points, spent, unpriced, budgets, savings, earlier, by, tagKeys }) {
    const [lastUsage, pointsBefore] = earlier;
    fill(byId("cost-choices"), choices(by, tagKeys));
    fill(byId("cards"), cards(summed(usage.points), lastUsage && summed(lastUsage.points), savings.savings));
    showTable(byId("spent"), { id: "spending", label: `Cost by ${by}`, columns: columnsOf(by), rows: rowsOf(spent.points, by), sort: by === "day" ? ["name", "desc"] : ["cost", "desc"] });
    showBudgets(budgets.budgets);
    byId("unpriced-section").hidden = !unpriced.length;
    showTable(byId("unpriced"), { id: "unpriced-models", label: "Models without a price", columns: UNPRICED, rows: unpriced, sort: ["tokens", "desc"] });
    await showCharts({ usage: points.points, latency: [], by: chartGroup(by), before: pointsBefore && { usage: pointsBefore.points, latency: [] } });
  },
};

function chartGroup(by) {
  return by === "day" ? "" : by;
}

function choices(by, tagKeys) {
  const groups = ["model", "provider", "caller", "chain", ...tagKeys.map((key) => `tag:${key}`), "day"];
  return [
    compareToggle(),
    choice("by", "Cost by", groups.map((name) => [name, titleOf(name)]), by, (value) => change({ by: value })),
  ];
}

function titleOf(by) {
  return by[0].toUpperCase() + by.slice(1);
}

function cards(total, last, { savedUsd, unpricedTokens }) {
  const answered = total.costUsd - total.unansweredCostUsd;
  const perThousand = (sums) => (sums?.requests ? (sums.costUsd / sums.requests) * 1000 : null);
  const cached = (sums) => (sums?.promptTokens ? sums.cachedTokens / sums.promptTokens : null);
  return el("div", { class: "cards" }, [
    card("Cost", total.costUsd, money, `${money(answered)} on answers`, { delta: delta(total.costUsd, last?.costUsd, "less") }),
    card("Per 1,000 requests", perThousand(total), money, `${count(total.requests)} requests`, { delta: delta(perThousand(total), perThousand(last), "less") }),
    card("Not answered", total.unansweredCostUsd, money, `${share(total.costUsd ? total.unansweredCostUsd / total.costUsd : null)} of the cost, on tries that did not answer`, {
      delta: delta(total.unansweredCostUsd, last?.unansweredCostUsd, "less"),
    }),
    card("Cached share", cached(total), share, `${count(total.cachedTokens)} of ${count(total.promptTokens)} prompt tokens came from a cache`, {
      delta: delta(cached(total), cached(last), "more"),
    }),
    card("Saved by caches", savedUsd, money, unpricedTokens ? `without ${count(unpricedTokens)} tokens of models without a price: chainlog prices update looks them up` : "by the table of prices, after what writing to caches cost"),
  ]);
}

function rowsOf(points, by) {
  const all = points.reduce((sum, { costUsd }) => sum + costUsd, 0);
  return points.filter(({ requests }) => requests).map((point) => ({ ...point, share: all ? point.costUsd / all : null, key: by === "day" ? point.start : point.name }));
}

function columnsOf(by) {
  const number = (key, title, value, format, hidden = false) => ({ key, title, number: true, hidden, value, cell: (row) => format(value(row)) });
  return [
    { key: "name", title: titleOf(by), value: (row) => row.key, cell: (row) => nameCell(by, row) },
    number("cost", "Cost", (row) => row.costUsd, money),
    number("share", "Share", (row) => row.share, share),
    number("unanswered", "Not answered", (row) => row.unansweredCostUsd, money),
    number("thousand", "Per 1,000 requests", (row) => (row.costUsd / row.requests) * 1000, money),
    number("requests", "Requests", (row) => row.requests, count),
    number("prompt", "Prompt tokens", (row) => row.promptTokens, count),
    number("cached", "Cached", (row) => (row.promptTokens ? row.cachedTokens / row.promptTokens : null), share),
    number("written", "Written to caches", (row) => row.cacheWriteTokens, count, true),
    number("completion", "Completion tokens", (row) => row.completionTokens, count),
    number("reasoning", "Reasoning", (row) => row.reasoningTokens, count, true),
  ];
}

function nameCell(by, row) {
  if (row.other) return "other";
  if (by === "day") return day(row.start);
  return by.startsWith("tag:") ? tagButton(by, row.name) : nameButton(by, row.name);
}

function tagButton(by, value) {
  const tag = `${by.slice("tag:".length)}:${value}`;
  return el("button", { type: "button", class: "name-link", title: `Show only what has the tag ${tag}`, onclick: () => change({ tag }) }, value);
}

function showBudgets(budgets) {
  const none = "No budget is set. Settings have them under budgets.";
  showTable(byId("budgets"), { id: "budget-list", label: "Budgets", columns: BUDGETS, rows: budgets, empty: none });
}

/** Returns the share of a budget's period that has passed. */
function passed({ startsAt, resetsAt }) {
  return Math.min(1, (Date.now() - startsAt) / (resetsAt - startsAt));
}

function spentShare({ spentUsd, limitUsd }) {
  return limitUsd ? spentUsd / limitUsd : 1;
}

const BUDGETS = [
  { key: "name", title: "Budget", value: (row) => row.name, cell: (row) => row.name },
  {
    key: "spent",
    title: "Spent",
    number: true,
    class: "rate",
    value: spentShare,
    cell: (row) => {
      const tone = spentShare(row) >= 1 ? "bad" : spentShare(row) > passed(row) ? "warn" : "ok";
      const bar = el("span", { class: `bar ${tone}`, "aria-hidden": "true" });
      bar.style.setProperty("--share", Math.min(1, spentShare(row)));
      return [el("span", {}, `${money(row.spentUsd)} `, el("span", { class: "muted" }, `of ${money(row.limitUsd)} (${share(spentShare(row))})`)), bar];
    },
  },
  { key: "left", title: "Left", number: true, value: (row) => row.leftUsd, cell: (row) => money(row.leftUsd) },
  { key: "passed", title: "Of the period", number: true, value: passed, cell: (row) => share(passed(row)) },
  {
    key: "burn",
    title: "At this rate",
    number: true,
    value: (row) => row.spentUsd / passed(row),
    cell: (row) => el("span", { class: row.spentUsd / passed(row) > row.limitUsd ? "bad" : null }, `${money(row.spentUsd / passed(row))} in the ${row.per}`),
  },
  { key: "resets", title: "Begins anew", value: (row) => row.resetsAt, cell: (row) => el("span", { title: exactTime(row.resetsAt) }, day(row.resetsAt)) },
];

// A price is set for a provider and a model.
async function withProviders(ask, total, unpriced) {
  const MOST = 10;
  const pairs = unpriced.slice(0, MOST).map(async (point) => {
    const { points } = await ask("v1/usage", { ...total, model: [point.name], by: "provider", groups: MAX_ROWS });
    return points.filter(({ requests, other }) => requests && !other).map(({ name, totalTokens, requests }) => ({ provider: name, model: point.name, totalTokens, requests }));
  });
  return (await Promise.all(pairs)).flat();
}

function command({ provider, model }) {
  return `chainlog prices set ${quoted(provider)} ${quoted(model)} --input 0.00 --output 0.00`;
}

function quoted(text) {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

const UNPRICED = [
  { key: "model", title: "Model", value: (row) => row.model, cell: (row) => nameButton("model", row.model) },
  { key: "provider", title: "Provider", value: (row) => row.provider, cell: (row) => nameButton("provider", row.provider) },
  { key: "requests", title: "Requests", number: true, value: (row) => row.requests, cell: (row) => viewLink({ page: "requests", ...picking("model", row.model) }, {}, count(row.requests)) },
  { key: "tokens", title: "Tokens", number: true, value: (row) => row.totalTokens, cell: (row) => count(row.totalTokens) },
  {
    key: "command",
    title: "Set a price, in $ per million tokens",
    value: command,
    cell: (row) => el("span", { class: "command" }, el("code", {}, command(row)), copyButton("Copy", () => command(row))),
  },
];
