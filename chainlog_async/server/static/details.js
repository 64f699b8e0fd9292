// One request in full: its figures, why it failed, and every attempt of the chain.

import { el } from "./dom.js";
import { duration, exactCount, exactTime, money, NOTHING } from "./format.js";
import { sign, tone } from "./status.js";

/** Returns the details that the row of a request opens. */
export function details(request) {
  return el("div", { class: "detail" }, facts(request), errorOf(request), trail(request), metadata(request));
}

function facts(request) {
  const cached = request.cachedTokens ? ` (${exactCount(request.cachedTokens)} cached)` : "";
  const tokens = `${exactCount(request.promptTokens)}${cached} in, ${exactCount(request.completionTokens)} out, ${exactCount(request.totalTokens)} in total`;
  const all = [
    ["Ended", exactTime(request.timestamp)],
    ["Chain", request.chainName],
    [request.httpStatus < 400 ? "Answered by" : "Tried last", `${request.providerId} / ${request.model}`],
    ["Caller", request.caller],
    ["Request id", request.requestId],
    ["Row", String(request.id)],
    ["Latency", duration(request.latencyMs)],
    ["First token", request.ttftMs === null ? null : duration(request.ttftMs)],
    ["Tokens", tokens],
    ["Cost", request.costUsd === null ? null : money(request.costUsd)],
    ["Streamed", request.streamed === null ? null : request.streamed ? "yes" : "no"],
  ];
  return el(
    "dl",
    { class: "facts" },
    all.filter(([, value]) => value !== null).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
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

function oneAttempt({ providerId, model, httpStatus, latencyMs, errorMessage }, place, longest) {
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
    errorMessage ? el("span", { class: "why error-text" }, errorMessage) : null,
  );
}

function metadata({ metadata: value }) {
  if (!value || !Object.keys(value).length) return null;
  return el("div", {}, el("h4", {}, "Metadata"), el("pre", {}, JSON.stringify(value, null, 2)));
}
