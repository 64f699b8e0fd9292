// The cards: totals of the range, and the state of the log itself.

import { byId, el, fill } from "../core/dom.js";
import { count, duration, exactCount, money, share } from "../core/format.js";

const MANY_ERRORS = 0.05;

/** Shows the totals and percentiles of the whole range, and the counters of the log. */
export function showCards(usage, latency, accounting) {
  const total = summed(usage);
  const whole = latency[0] ?? { latencyMs: {}, ttftMs: {} };
  fill(byId("cards"), [
    requests(total),
    tokens(total),
    cost(total),
    errors(total),
    refusals(total),
    durations(whole),
    ...(accounting ? [waiting(accounting), dropped(accounting)] : []),
  ]);
}

function requests(total) {
  const again = total.waterfalls ? `${share(total.waterfalls / total.requests)} after more than one attempt` : "all at the first attempt";
  return card("Requests", total.requests, count, total.requests ? again : "none in this range");
}

function tokens(total) {
  return card("Tokens", total.totalTokens, count, `${count(total.promptTokens)} in, ${count(total.completionTokens)} out`);
}

function cost(total) {
  const wasted = total.unansweredCostUsd ? `, ${money(total.unansweredCostUsd)} on tries that did not answer` : "";
  const each = total.requests ? `${money((total.costUsd / total.requests) * 1000)} per 1,000 requests${wasted}` : "";
  return card("Cost", total.costUsd, money, total.costUsd ? each : "no cost recorded");
}

function errors(total) {
  const rate = total.requests ? total.errors / total.requests : null;
  const tone = rate > MANY_ERRORS ? "bad" : "";
  return card("Error rate", rate, share, `${exactCount(total.errors)} failed, ${exactCount(total.cancelled)} hung up`, tone);
}

function refusals(total) {
  const rate = total.requests ? total.rateLimited / total.requests : null;
  const tone = rate > MANY_ERRORS ? "warn" : "";
  return card("429 rate", rate, share, `${exactCount(total.rateLimited)} ended with 429`, tone);
}

function waiting({ pending, written }) {
  return card("Waiting entries", pending, count, `${count(written)} written since startup`);
}

function dropped(accounting) {
  const reasons = Object.entries(accounting.dropped);
  const sum = reasons.reduce((all, [, number]) => all + number, 0);
  const parts = reasons.map(([reason, number]) => `${exactCount(number)} ${reason.replaceAll("_", " ")}`).join(", ");
  return card("Dropped entries", sum, count, parts || "nothing was dropped", sum ? "bad" : "");
}

function card(title, value, format, note, tone = "") {
  const shown = format(value);
  const full = format === count && value !== null ? exactCount(value) : null;
  return el(
    "div",
    { class: `panel card ${tone}`, role: "group", "aria-label": title },
    el("h3", {}, title),
    el("p", { class: "figure", title: full }, shown),
    el("p", { class: "muted" }, note),
  );
}

function durations({ latencyMs, ttftMs }) {
  const columns = ["p50", "p95", "p99"].map((name) =>
    el(
      "div",
      {},
      el("h3", {}, `Latency ${name}`),
      el("p", { class: "figure" }, duration(latencyMs[name])),
      el("p", { class: "muted" }, `first token ${duration(ttftMs[name])}`),
    ),
  );
  return el("div", { class: "panel card durations", role: "group", "aria-label": "Latency" }, columns);
}

function summed(points) {
  const total = {
    requests: 0,
    errors: 0,
    rateLimited: 0,
    waterfalls: 0,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
    totalTokens: 0,
    costUsd: 0,
    unansweredCostUsd: 0,
  };
  for (const point of points) for (const name of Object.keys(total)) total[name] += point[name];
  return total;
}
