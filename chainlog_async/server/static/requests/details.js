// One request in full: its figures, why it failed, every attempt in time, and its neighbours.

import { get, base } from "../core/api.js";
import { copyButton } from "../core/copy.js";
import { el, fill } from "../core/dom.js";
import { count, duration, exactCount, exactMoney, money } from "../core/format.js";
import { viewLink } from "../core/links.js";
import { urlOf } from "../core/state.js";
import { exactTime, shortTime } from "../core/times.js";
import { brokeOff, sign } from "./status.js";
import { waterfall } from "./waterfall.js";

const NEIGHBOURS = 50;

/** Returns the details that the row of a request opens. */
export function details(request) {
  return el("div", { class: "detail" }, [
    tools(request),
    facts(request),
    errorOf(request),
    waterfall(request),
    neighbours(request),
    metadata(request),
    raw(request),
  ]);
}

function tools(request) {
  const path = `v1/requests/${request.id}`;
  const curl = `curl -H 'Authorization: Bearer KEY' ${new URL(path, base())}`;
  return el("div", { class: "buttons" }, [
    copyButton("Copy id", () => request.requestId ?? String(request.id)),
    copyButton("Copy link", () => urlOf({ page: "requests", open: String(request.id) })),
    copyButton("Copy curl", () => curl),
    copyButton("Copy JSON", () => JSON.stringify(request, null, 2)),
  ]);
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
    ["Session", request.sessionId && viewLink({ session: request.sessionId, open: "" }, { title: "show only this session" }, request.sessionId)],
    ["Tags", request.tags && el("span", {}, request.tags.map((tag) => [viewLink({ tag, open: "" }, { title: "show only this tag" }, tag), " "]))],
    ["Request id", request.requestId],
    ["Response id", request.responseId],
    ["Row", String(request.id)],
    ["Latency", duration(request.latencyMs)],
    ["First token", request.ttftMs === null ? null : duration(request.ttftMs)],
    ["Tokens", tokens],
    ["Cost", request.costUsd === null ? null : `${exactMoney(request.costUsd)}${request.costSource ? ` (${SOURCES[request.costSource] ?? request.costSource})` : ""}`],
    ["Spent on tries that did not answer", unansweredCost(request)],
    ["Streamed", request.streamed === null ? null : request.streamed ? "yes" : "no"],
    ["Finish reason", request.finishReason],
    ["Service tier", request.serviceTier],
  ];
  return el(
    "dl",
    { class: "facts" },
    all.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

const SOURCES = { provider: "as the provider says", gateway: "as the gateway says", table: "by the table of prices" };

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
  return errorMessage ? el("div", {}, el("h3", {}, "Error"), el("pre", { class: "error-text", tabindex: "0" }, errorMessage)) : null;
}

// Looked up when the details are opened: what else was said in the same conversation.
function neighbours({ id, sessionId }) {
  if (!sessionId) return null;
  const place = el("div", {}, el("h3", {}, "The same session"), el("p", { class: "muted" }, "loading …"));
  showNeighbours(place, id, sessionId);
  return place;
}

async function showNeighbours(place, id, sessionId) {
  try {
    const { requests, nextCursor } = await get("v1/requests", { session: sessionId, limit: NEIGHBOURS });
    const items = requests.toReversed().map((one) => neighbour(one, one.id === id));
    const note = nextCursor ? el("p", { class: "muted" }, `The newest ${NEIGHBOURS} of the session.`) : null;
    fill(place, el("h3", {}, `The same session: ${count(requests.length)} requests`), el("ol", { class: "neighbours" }, items), note);
  } catch (error) {
    if (error.status === 400) place.remove();
    else fill(place, el("p", { class: "bad" }, error.message));
  }
}

function neighbour(request, isThis) {
  const text = [shortTime(request.timestamp), request.model, duration(request.latencyMs), `${count(request.totalTokens)} tokens`, money(request.costUsd)].join(" · ");
  const shown = isThis ? el("b", {}, text) : viewLink({ page: "requests", open: String(request.id) }, {}, text);
  return el("li", {}, sign(request.httpStatus, brokeOff(request)), " ", shown);
}

function metadata({ metadata: value }) {
  if (!value || !Object.keys(value).length) return null;
  return el("div", {}, el("h3", {}, "Metadata"), el("pre", { tabindex: "0" }, JSON.stringify(value, null, 2)));
}

function raw(request) {
  return el("details", { class: "raw" }, el("summary", {}, "Raw JSON"), el("pre", { tabindex: "0" }, JSON.stringify(request, null, 2)));
}
