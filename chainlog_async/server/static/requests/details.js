// One request in full: its figures, why it failed, and every attempt of the chain.

import { el } from "../core/dom.js";
import { duration, exactCount, exactMoney, exactTime, NOTHING } from "../core/format.js";
import { sign, tone } from "./status.js";

/** Returns the details that the row of a request opens. */
export function details(request) {
  return el("div", { class: "detail" }, facts(request), errorOf(request), trail(request), metadata(request));
}

function facts(request) {
  const inward = classes(request, [
    ["cachedTokens", "cached"],
    ["cacheWriteTokens", "written to the cache"],
    ["cacheWrite1hTokens", "of these for an hour"],
    ["promptAudioTokens", "audio"],
  ]);
  const outward = classes(request, [
    ["reasoningTokens", "reasoning"],
    ["completionAudioTokens", "audio"],
  ]);
  const tokens = `${exactCount(request.promptTokens)}${inward} in, ${exactCount(request.completionTokens)}${outward} out, ${exactCount(request.totalTokens)} in total`;
  const all = [
    ["Ended", exactTime(request.timestamp)],
    ["Chain", request.chainName],
    [request.httpStatus < 400 ? "Answered by" : "Tried last", `${request.providerId} / ${request.model}`],
    ["Caller", request.caller],
    ["Session", request.sessionId],
    ["Tags", request.tags?.join(", ") || null],
    ["Request id", request.requestId],
    ["Response id", request.responseId],
    ["Row", String(request.id)],
    ["Latency", duration(request.latencyMs)],
    ["First token", request.ttftMs === null ? null : duration(request.ttftMs)],
    ["Tokens", tokens],
    ["Cost", request.costUsd === null ? null : exactMoney(request.costUsd)],
    ["Spent on tries that did not answer", unansweredCost(request)],
    ["Streamed", request.streamed === null ? null : request.streamed ? "yes" : "no"],
    ["Finish reason", request.finishReason],
    ["Service tier", request.serviceTier],
  ];
  return el(
    "dl",
    { class: "facts" },
    all.filter(([, value]) => value !== null).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

function classes(request, names) {
  const known = names.filter(([field]) => request[field]).map(([field, name]) => `${exactCount(request[field])} ${name}`);
  return known.length ? ` (${known.join(", ")})` : "";
}

function unansweredCost({ attemptTrail }) {
  const unanswered = (attemptTrail ?? []).filter(
    ({ httpStatus, errorMessage }) => httpStatus === null || httpStatus >= 400 || errorMessage,
  );
  const cost = unanswered.reduce((sum, { costUsd }) => sum + (costUsd ?? 0), 0);
  return cost ? exactMoney(cost) : null;
}

function errorOf({ errorMessage }) {
  return errorMessage ? el("div", {}, el("h4", {}, "Error"), el("pre", { class: "error-text" }, errorMessage)) : null;
}

function trail({ attempts, attemptTrail }) {
  if (!attemptTrail?.length) {
    const text = attempts > 1 ? `Tried ${exactCount(attempts)} entries of the chain; the attempts were not recorded.` : null;
    return text && el("p", { class: "muted" }, text);
  }
  const longest = Math.max(1, ...attemptTrail.map(({ latencyMs }) => latencyMs ?? 0));
  const items = attemptTrail.map((attempt, place) => oneAttempt(attempt, place, longest));
  return el("div", {}, el("h4", {}, "Attempts"), el("ol", { class: "trail" }, items));
}

function oneAttempt({ providerId, model, httpStatus, latencyMs, errorMessage, costUsd }, place, longest) {
  const bar = el("span", { class: `bar ${tone(httpStatus, Boolean(errorMessage))}`, "aria-hidden": "true" });
  bar.style.setProperty("--share", (latencyMs ?? 0) / longest);
  return el(
    "li",
    {},
    el("span", { class: "place" }, String(place + 1)),
    el("span", { class: "who" }, providerId, el("span", { class: "muted" }, ` ${model}`)),
    sign(httpStatus, Boolean(errorMessage)),
    el("span", { class: "took" }, latencyMs === null ? NOTHING : duration(latencyMs)),
    bar,
    costUsd === null ? null : el("span", { class: "why" }, exactMoney(costUsd)),
    errorMessage ? el("span", { class: "why error-text" }, errorMessage) : null,
  );
}

function metadata({ metadata: value }) {
  if (!value || !Object.keys(value).length) return null;
  return el("div", {}, el("h4", {}, "Metadata"), el("pre", {}, JSON.stringify(value, null, 2)));
}
