// Cards: one figure each, with the change from the period before.

import { el } from "../core/dom.js";
import { change, count, exactCount, percentile, money, share } from "../core/format.js";
import { viewLink } from "../core/links.js";

const MANY_ERRORS = 0.05;
const SUMMED = [
  "requests",
  "errors",
  "cancelled",
  "rateLimited",
  "waterfalls",
  "promptTokens",
  "completionTokens",
  "cachedTokens",
  "totalTokens",
  "costUsd",
  "unansweredCostUsd",
];

/** Returns the sums of points of usage. */
export function summed(points) {
  return Object.fromEntries(SUMMED.map((name) => [name, points.reduce((sum, point) => sum + point[name], 0)]));
}

/**
 * Returns the cards of a whole range: `usage` and `latency` are points of the service. `before` has those of the period
 * before, or is null.
 */
export function cardsOf(usage, latency, before) {
  const total = summed(usage);
  const last = before && summed(before.usage);
  const whole = latency[0] ?? { latencyMs: {}, ttftMs: {} };
  const lastWhole = before?.latency[0];
  return el("div", { class: "cards" }, [
    requests(total, last),
    errors(total, last),
    refusals(total, last),
    tokens(total, last),
    cost(total, last),
    ...["p50", "p95", "p99"].map((name) => latencyCard(name, whole, lastWhole)),
  ]);
}

function requests(total, last) {
  const again = total.waterfalls ? `${share(total.waterfalls / total.requests)} after more than one attempt` : "all at the first attempt";
  return card("Requests", total.requests, count, total.requests ? again : "none in this range", {
    to: { page: "requests" },
    delta: delta(total.requests, last?.requests),
  });
}

function tokens(total, last) {
  return card("Tokens", total.totalTokens, count, `${count(total.promptTokens)} in, ${count(total.completionTokens)} out`, {
    delta: delta(total.totalTokens, last?.totalTokens),
  });
}

function cost(total, last) {
  const wasted = total.unansweredCostUsd ? `, ${money(total.unansweredCostUsd)} on tries that did not answer` : "";
  const each = total.requests ? `${money((total.costUsd / total.requests) * 1000)} per 1,000 requests${wasted}` : "";
  return card("Cost", total.costUsd, money, total.costUsd ? each : "no cost recorded", {
    to: { page: "costs" },
    delta: delta(total.costUsd, last?.costUsd, "less"),
  });
}

function errors(total, last) {
  const rate = rateOf(total, "errors");
  return card("Error rate", rate, share, `${exactCount(total.errors)} failed, ${exactCount(total.cancelled)} hung up`, {
    tone: rate > MANY_ERRORS ? "bad" : "",
    to: { page: "requests", status: "errors" },
    delta: delta(rate, last && rateOf(last, "errors"), "less"),
  });
}

function refusals(total, last) {
  const rate = rateOf(total, "rateLimited");
  return card("429 rate", rate, share, `${exactCount(total.rateLimited)} ended with 429`, {
    tone: rate > MANY_ERRORS ? "warn" : "",
    to: { page: "requests", status: "429" },
    delta: delta(rate, last && rateOf(last, "rateLimited"), "less"),
  });
}

function latencyCard(name, whole, last) {
  return card(`Latency ${name}`, whole.latencyMs[name], percentile, `first token ${percentile(whole.ttftMs[name])}`, {
    delta: delta(whole.latencyMs[name], last?.latencyMs[name], "less"),
  });
}

function rateOf(total, name) {
  return total.requests ? total[name] / total.requests : null;
}

/**
 * Returns how a figure changed, or null without one before. `better` is "less" or "more" where one of them is; the sign
 * says the rest, so that the colour is not needed.
 */
export function delta(now, last, better = "") {
  const text = change(now, last);
  if (text === null) {
    if (last === undefined || last === null) return null;
    return el("span", { class: now && better === "less" ? "delta bad" : "delta" }, now ? "new" : "as before");
  }
  const isBetter = better === "less" ? now < last : now > last;
  const tone = !better || now === last ? "" : isBetter ? "ok" : "bad";
  return el("span", { class: `delta ${tone}`, title: "compared with the period before" }, text);
}

/** Returns one card. `to` is the change of the view that a press on it makes. */
export function card(title, value, format, note, { tone = "", to = null, delta: moved = null } = {}) {
  const full = format === count && value !== null ? exactCount(value) : null;
  const content = [
    el("h3", {}, title),
    el("p", { class: "figure" }, el("span", { title: full }, format(value)), moved),
    el("p", { class: "muted" }, note),
  ];
  const attributes = { class: `panel card ${tone}` };
  const figure = el("div", { ...attributes, role: "group", "aria-label": title }, content);
  if (!to) return figure;
  figure.append(viewLink(to, { class: "cover", "aria-label": `${title}: show more` }));
  return figure;
}
