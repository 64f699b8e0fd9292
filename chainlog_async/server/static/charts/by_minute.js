// Points by the minute, counted from the requests themselves: the service counts by the quarter of an hour.

import { brokeOff } from "../requests/status.js";

const MINUTE = 60_000;
const QUARTER = 15 * MINUTE;
const LONGEST_MS = 2 * 60 * MINUTE;
const MOST_REQUESTS = 3000;
const PAGE_ROWS = 500;
const CANCELLED = 499;
const FIELDS = { chain: "chainName", provider: "providerId", model: "model", caller: "caller" };

/** Returns whether a range is short, and its requests few, enough to be counted by the minute. */
export function canCountByMinute({ from, until }, requests) {
  return until - from <= LONGEST_MS && requests <= MOST_REQUESTS;
}

/** Returns `{usage, latency, spread}`, points like those of the service, of the quarters of an hour that the service would count. */
export async function countByMinute(ask, total, { by, outcome, groups }) {
  const from = Math.floor(total.from / QUARTER) * QUARTER;
  const until = Math.ceil(total.until / QUARTER) * QUARTER;
  const requests = await allRequests(ask, { ...total, from, until });
  const named = by ? largest(requests, by, groups) : [null];
  const points = [];
  for (let start = from; start < until; start += MINUTE) {
    const within = requests.filter(({ timestamp }) => timestamp >= start && timestamp < start + MINUTE);
    for (const name of named) points.push(pointOf(within.filter((one) => !by || nameOf(one, by) === name), start, name, outcome));
    const rest = by ? within.filter((one) => !named.includes(nameOf(one, by))) : [];
    if (rest.length) points.push({ ...pointOf(rest, start, null, outcome), other: true });
  }
  return { usage: points, latency: points, spread: points };
}

async function allRequests(ask, parameters) {
  const requests = [];
  let cursor = "";
  do {
    const page = await ask("v1/requests", { ...parameters, limit: PAGE_ROWS, cursor });
    requests.push(...page.requests);
    cursor = page.nextCursor;
  } while (cursor);
  return requests;
}

function nameOf(request, by) {
  return request[FIELDS[by]] ?? "";
}

function largest(requests, by, groups) {
  const counts = new Map();
  for (const request of requests) counts.set(nameOf(request, by), (counts.get(nameOf(request, by)) ?? 0) + 1);
  return [...counts].sort(([one, a], [other, b]) => b - a || (one < other ? -1 : 1)).slice(0, groups).map(([name]) => name);
}

function pointOf(requests, start, name, outcome) {
  const sum = (value) => requests.reduce((all, request) => all + (value(request) ?? 0), 0);
  const wanted = requests.filter((request) => outcome === "all" || hasAnswer(request) === (outcome !== "unanswered"));
  return {
    start,
    end: start + MINUTE,
    name,
    other: false,
    requests: requests.length,
    errors: sum((request) => hasFailed(request)),
    cancelled: sum(({ httpStatus }) => httpStatus === CANCELLED),
    rateLimited: sum(({ httpStatus }) => httpStatus === 429),
    promptTokens: sum(({ promptTokens }) => promptTokens),
    completionTokens: sum(({ completionTokens }) => completionTokens),
    cachedTokens: sum(({ cachedTokens }) => cachedTokens),
    totalTokens: sum(({ totalTokens }) => totalTokens),
    costUsd: sum(({ costUsd }) => costUsd),
    latencyMs: percentiles(wanted.map(({ latencyMs }) => latencyMs)),
    latencyBins: wanted.map(({ latencyMs }) => ({ minMs: latencyMs, requests: 1 })),
    ttftMs: percentiles(wanted.map(({ ttftMs }) => ttftMs).filter((ms) => ms !== null)),
  };
}

function hasFailed(request) {
  return (request.httpStatus >= 400 && request.httpStatus !== CANCELLED) || brokeOff(request);
}

function hasAnswer(request) {
  return !hasFailed(request) && request.httpStatus !== CANCELLED;
}

function percentiles(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share) => (sorted.length ? sorted[Math.ceil((share * sorted.length) / 100) - 1] : null);
  return { p50: at(50), p90: at(90), p95: at(95), p99: at(99) };
}
