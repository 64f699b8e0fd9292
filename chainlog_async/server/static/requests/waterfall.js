// The attempts of a request, one after the other in time.

import { el } from "../core/dom.js";
import { count, duration, exactCount, exactMoney, NOTHING } from "../core/format.js";
import { sign, tone } from "./status.js";

/** Returns the attempts as bars on the time that the request took, or null where it had one and none was recorded. */
export function waterfall({ attempts, attemptTrail, latencyMs, ttftMs }) {
  if (!attemptTrail?.length) {
    const text = attempts > 1 ? `Tried ${exactCount(attempts)} entries of the chain; the attempts were not recorded.` : null;
    return text && el("p", { class: "muted" }, text);
  }
  const taken = attemptTrail.reduce((sum, attempt) => sum + (attempt.latencyMs ?? 0), 0);
  const whole = Math.max(1, taken, latencyMs);
  let start = 0;
  const items = attemptTrail.map((attempt, place) => {
    const item = oneAttempt(attempt, place, start / whole, whole);
    start += attempt.latencyMs ?? 0;
    return item;
  });
  const rest = latencyMs - taken;
  const notes = [
    ttftMs === null ? "" : `First token after ${duration(ttftMs)}. `,
    rest >= 1 ? `${duration(rest)} passed between and after the attempts.` : "",
  ].join("");
  return el("div", {}, el("h3", {}, `Attempts in ${duration(latencyMs)}`), el("ol", { class: "trail" }, items), notes ? el("p", { class: "muted" }, notes) : null);
}

function oneAttempt(attempt, place, from, whole) {
  const { providerId, model, httpStatus, latencyMs, errorMessage, costUsd } = attempt;
  const bar = el("span", { class: `span ${tone(httpStatus, Boolean(errorMessage))}`, "aria-hidden": "true" });
  bar.style.setProperty("--from", from);
  bar.style.setProperty("--share", (latencyMs ?? 0) / whole);
  const spent = [tokensOf(attempt), costUsd === null ? null : exactMoney(costUsd)].filter(Boolean).join(", ");
  return el(
    "li",
    {},
    el("span", { class: "place" }, String(place + 1)),
    el("span", { class: "who" }, providerId, el("span", { class: "muted" }, ` ${model}`)),
    sign(httpStatus, Boolean(errorMessage)),
    el("span", { class: "took" }, latencyMs === null ? NOTHING : duration(latencyMs)),
    bar,
    spent ? el("span", { class: "why" }, spent) : null,
    errorMessage ? el("span", { class: "why error-text" }, errorMessage) : null,
  );
}

function tokensOf({ promptTokens, completionTokens }) {
  if (promptTokens === null && completionTokens === null) return null;
  return `${count(promptTokens)} tokens in, ${count(completionTokens)} out`;
}
