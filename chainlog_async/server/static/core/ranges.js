// Turns the selected range into times in ms, and into the step of the charts.

import { minute } from "./format.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const LENGTHS = { "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };
const STEPS = [
  ["15m", 15 * MINUTE],
  ["30m", 30 * MINUTE],
  ["1h", HOUR],
  ["2h", 2 * HOUR],
  ["3h", 3 * HOUR],
  ["6h", 6 * HOUR],
  ["12h", 12 * HOUR],
  ["1d", DAY],
];
const MAX_BARS = 72;

/** Returns the time zone of this browser, such as Europe/Berlin. */
export function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** Returns whether the range moves with the clock. */
export function isMoving(view) {
  return view.range !== "custom";
}

/**
 * Returns the range of a view as `{from, until}`, in ms since the epoch. A custom one without an end ends now, and a
 * time that cannot be read counts as missing; `problem` tells of both.
 */
export function bounds(view, now = Date.now()) {
  if (isMoving(view)) return { from: now - LENGTHS[view.range], until: now };
  const until = timeOf(view.until) ?? now;
  return { from: timeOf(view.from) ?? until - DAY, until };
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
  const swapped = { from: new Date(until).toISOString(), until: new Date(from).toISOString() };
  return {
    title: from === until ? "From and Until are the same" : "From is after Until",
    text: `The range would begin on ${minute(from)} and end on ${minute(until)}. Choose an earlier From or a later Until.`,
    remedy: from === until ? null : swapped,
  };
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

/** Returns the value of a `datetime-local` input for a time in ms, in this browser's zone. */
export function asInput(ms) {
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * MINUTE);
  return local.toISOString().slice(0, 16);
}
