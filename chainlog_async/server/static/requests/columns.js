// The columns of the list of requests.

import { el } from "../core/dom.js";
import { count, duration, money, NOTHING } from "../core/format.js";
import { exactTime, shortTime } from "../core/times.js";
import { nameButton } from "../tables/names.js";
import { brokeOff, sign } from "./status.js";

/** `cell(request)` returns the content of a cell, `value` what it is sorted by. */
export const COLUMNS = [
  { key: "time", title: "Time", value: (request) => request.timestamp, cell: (request) => shortTime(request.timestamp), hint: (request) => exactTime(request.timestamp) },
  name("chain", "Chain", "chainName"),
  name("provider", "Provider", "providerId"),
  name("model", "Model", "model"),
  name("caller", "Caller", "caller"),
  {
    key: "status",
    title: "Status",
    value: (request) => request.httpStatus,
    hint: (request) => request.errorMessage,
    cell: (request) => sign(request.httpStatus, brokeOff(request)),
  },
  number("latency", "Latency", (request) => request.latencyMs, duration, {
    hint: ({ ttftMs }) => (ttftMs === null ? null : `first token after ${duration(ttftMs)}`),
  }),
  number("ttft", "First token", (request) => request.ttftMs, duration, { hidden: true }),
  number("tokens", "Tokens", (request) => request.totalTokens, count),
  number("prompt", "Prompt", (request) => request.promptTokens, count, { hidden: true }),
  number("completion", "Completion", (request) => request.completionTokens, count, { hidden: true }),
  number("cached", "Cached", (request) => request.cachedTokens, count, { hidden: true }),
  number("cost", "Cost", (request) => request.costUsd, money),
  number("attempts", "Attempts", (request) => request.attempts, String, {
    tone: (request) => (request.attempts > 1 ? "again" : ""),
  }),
  text("error", "Error", (request) => request.errorMessage),
  text("session", "Session", (request) => request.sessionId),
  text("tags", "Tags", (request) => request.tags?.join(", ")),
  text("requestId", "Request id", (request) => request.requestId),
];

function name(key, title, field) {
  const value = (request) => request[field];
  const cell = (request) => (request[field] === null ? NOTHING : nameButton(key, request[field]));
  return { key, title, value, hint: value, cell, class: "name" };
}

function number(key, title, value, format, rest = {}) {
  return { key, title, value, number: true, cell: (request) => format(value(request)), ...rest };
}

function text(key, title, value) {
  const cell = (request) => el("span", { class: "cut" }, value(request) ?? NOTHING);
  return { key, title, value, hint: value, cell, hidden: true };
}
