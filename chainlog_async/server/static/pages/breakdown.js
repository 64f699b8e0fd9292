// The table of groups: what each provider, chain, model or caller did in the range.

import { delta } from "./cards.js";
import { count, money, percentile, share } from "../core/format.js";
import { viewLink } from "../core/links.js";
import { picking } from "../core/state.js";
import { nameButton } from "../tables/names.js";

/** Returns the rows of the table for points of usage and latency of the whole range, by group. */
export function breakdownRows(usage, latency, before) {
  const latencies = new Map(latency.map((point) => [point.name, point]));
  const earlier = before && new Map(before.map((point) => [point.name, point]));
  const all = usage.reduce((sum, point) => sum + point.requests, 0);
  return usage
    .filter(({ requests, name }) => requests || earlier?.get(name)?.requests)
    .map((point) => ({ ...point, share: point.requests / all, speed: latencies.get(point.name), before: earlier?.get(point.name) ?? null, compared: earlier !== null }));
}

/** Returns the columns of the table. */
export function breakdownColumns(by, { compared }) {
  const columns = [
    { key: "name", title: by[0].toUpperCase() + by.slice(1), value: nameOf, cell: (row) => (row.other ? "other" : nameButton(by, row.name)) },
    number("requests", "Requests", (row) => row.requests, count),
    number("share", "Share", (row) => row.share, share),
    number("errors", "Errors", (row) => row.errors, (value, row) => toRequests(by, row, value, "errors")),
    number("errorRate", "Error rate", (row) => (row.requests ? row.errors / row.requests : null), share),
    number("rateLimited", "429", (row) => row.rateLimited, (value, row) => toRequests(by, row, value, "429")),
    number("cancelled", "Hung up", (row) => row.cancelled, count, true),
    number("waterfalls", "Waterfalls", (row) => row.waterfalls, count),
    number("totalTokens", "Tokens", (row) => row.totalTokens, count),
    number("cachedTokens", "Cached tokens", (row) => row.cachedTokens, count, true),
    number("costUsd", "Cost", (row) => row.costUsd, money),
    ...["p50", "p90", "p95", "p99"].map((name) => number(name, name, (row) => row.speed?.latencyMs[name], percentile, name === "p90")),
    number("ttft", "First token p95", (row) => row.speed?.ttftMs.p95, percentile, true),
  ];
  if (!compared) return columns;
  const changes = [
    changed("requestsChange", "Requests ±", "requests", ""),
    changed("errorsChange", "Errors ±", "errors", "less"),
    changed("costChange", "Cost ±", "costUsd", "less"),
  ];
  columns.splice(6, 0, ...changes);
  return columns;
}

// Not on a phone.
const MINOR = ["share", "rateLimited", "waterfalls", "totalTokens", "p50", "p99"];

function nameOf(row) {
  return row.other ? "other" : row.name;
}

function number(key, title, value, format, hidden = false) {
  return { key, title, value, number: true, hidden, isMinor: MINOR.includes(key), cell: (row) => format(value(row), row) };
}

// What is sorted by is the difference: it is what somebody looks for who asks what rose.
function changed(key, title, field, better) {
  const value = (row) => row[field] - (row.before?.[field] ?? 0);
  return { key, title, number: true, value, cell: (row) => delta(row[field], row.before?.[field] ?? 0, better) };
}

function toRequests(by, row, value, status) {
  const shown = count(value);
  if (!value || row.other) return shown;
  return viewLink({ page: "requests", status, ...picking(by, row.name) }, { title: "show these requests" }, shown);
}
