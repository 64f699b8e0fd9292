// Turns the selected range into times in ms, and into the step of the charts.

import { minute, startOfDay } from "./times.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const LENGTHS = { "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };
const STEPS = [
  ["15m", HOUR / 4],
  ["30m", HOUR / 2],
  ["1h", HOUR],
  ["2h", 2 * HOUR],
  ["3h", 3 * HOUR],
  ["6h", 6 * HOUR],
  ["12h", 12 * HOUR],
  ["1d", DAY],
];
const MAX_BARS = 100;

let extent = null;

/** Sets the times of the oldest and the newest request of the log, in ms, or null. */
export function setExtent(found) {
  extent = found;
}

/** Returns whether the times of the oldest and the newest request are known. */
export function hasExtent() {
  return extent !== null;
}

/** Returns the time of the newest request that was seen, or null. */
export function newestTime() {
  return extent?.newest ?? null;
}

/** Returns whether the range moves with the clock. */
export function isMoving(view) {
  return view.range !== "custom" && view.range !== "yesterday";
}

/**
 * Returns the range of a view as `{from, until}`, in ms since the epoch. Yesterday is a day of the shown zone. A custom
 * one without an end ends now, and a time that cannot be read counts as missing; `problem` tells of both.
 */
export function bounds(view, now = Date.now()) {
  if (view.range === "all") return { from: extent?.oldest ?? now - DAY, until: Math.max(extent?.newest ?? 0, now - 1) + 1 };
  if (view.range === "yesterday") return { from: startOfDay(startOfDay(now) - 1), until: startOfDay(now) };
  if (isMoving(view)) return { from: now - LENGTHS[view.range], until: now };
  const until = timeOf(view.until) ?? now;
  return { from: timeOf(view.from) ?? until - DAY, until };
}

/** Returns the period of the same length before a range. */
export function before({ from, until }) {
  return { from: Math.max(0, 2 * from - until), until: from };
}

/** Returns what is wrong with the range of a view as `{title, text, remedy}`, or null. The remedy is a change of it. */
export function problem(view) {
  if (isMoving(view)) return null;
  for (const [label, text] of [["From", view.from], ["Until", view.until]]) {
    if (text && timeOf(text) === null) {
      return { title: `${label} is not a time`, text: `It is “${text}”. A time looks like 2026-03-28T10:00Z.`, remedy: null };
    }
  }
  const { from, until } = bounds(view);
  if (from < 0) return { title: "From is before 1970", text: "Choose a later time.", remedy: null };
  if (from < until) return null;
  const swapped = customRange(until, from);
  return {
    title: from === until ? "From and Until are the same" : "From is after Until",
    text: `The range would begin on ${minute(from)} and end on ${minute(until)}. Choose an earlier From or a later Until.`,
    remedy: from === until ? null : swapped,
  };
}

/** Returns the change of the view to a range between two times in ms. */
export function customRange(from, until) {
  return { range: "custom", from: new Date(from).toISOString(), until: new Date(until).toISOString() };
}

// Date.parse alone takes "7" for a day in July 2001.
function timeOf(text) {
  const ms = /^\d{4,6}-\d\d-\d\d/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(ms) ? null : ms;
}

/** Returns the finest step that gives at most `MAX_BARS` bars. */
export function step({ from, until }) {
  const fitting = STEPS.find(([, length]) => (until - from) / length <= MAX_BARS);
  return (fitting ?? STEPS.at(-1))[0];
}
