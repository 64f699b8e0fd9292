// Times in the zone that the view shows: this browser's, or UTC.

import { current } from "./state.js";

const MINUTE = 60_000;
const MAX_AGO_DAYS = 60;
const made = new Map();

/** Returns the time zone of this browser, such as Europe/Berlin. */
export function localZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** Returns the time zone in which times are shown. */
export function zone() {
  return current().zone === "utc" ? "UTC" : localZone();
}

// Making a formatter takes a hundred times as long as using one.
function formatter(options, locale) {
  const id = JSON.stringify([zone(), options, locale]);
  if (!made.has(id)) made.set(id, new Intl.DateTimeFormat(locale, { ...options, timeZone: zone() }));
  return made.get(id);
}

/** Returns what calendar and clock show at a time: `{year, month, day, hour, minute, second}`, as numbers. */
export function parts(ms) {
  const options = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric", hourCycle: "h23" };
  const found = formatter(options, "en").formatToParts(new Date(ms));
  return Object.fromEntries(found.filter(({ type }) => type !== "literal").map(({ type, value }) => [type, Number(value)]));
}

function sameDay(one, other) {
  const [a, b] = [parts(one), parts(other)];
  return a.year === b.year && a.month === b.month && a.day === b.day;
}

/** Formats the day of a time, with the year unless it is this one. */
export function day(ms, now = Date.now()) {
  const year = parts(ms).year === parts(now).year ? {} : { year: "numeric" };
  return formatter({ ...year, month: "short", day: "numeric" }).format(new Date(ms));
}

/** Formats a time for a table, without the day if it is today. */
export function shortTime(ms) {
  const time = formatter({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(ms));
  return sameDay(ms, Date.now()) ? time : `${day(ms)}, ${time}`;
}

/** Formats the time of day, for an axis. */
export function clock(ms) {
  return formatter({ hour: "numeric", minute: "2-digit" }).format(new Date(ms));
}

/** Returns whether a time is on the present day. */
export function isToday(ms) {
  return sameDay(ms, Date.now());
}

/** Formats a time to the minute, with day and year. */
export function minute(ms) {
  return formatter({ dateStyle: "medium", timeStyle: "short" }).format(new Date(ms));
}

/** Formats a time with zone and milliseconds, for the details. */
export function exactTime(ms) {
  return `${formatter({ dateStyle: "medium", timeStyle: "long" }).format(new Date(ms))} (${new Date(ms).toISOString()})`;
}

/** Formats how long ago a time was: 5 s, 3 min, 2 h, 4 d; after two months the day it was on. */
export function ago(ms, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days > MAX_AGO_DAYS ? day(ms, now) : `${days} d ago`;
}

/** Returns the value of a `datetime-local` input for a time. */
export function asInput(ms) {
  const { year, month, day: date, hour, minute: minutes } = parts(ms);
  const two = (number) => String(number).padStart(2, "0");
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(date)}T${two(hour)}:${two(minutes)}`;
}

/** Returns when the day of a time began, in ms. */
export function startOfDay(ms) {
  return ofInput(`${asInput(ms).slice(0, 10)}T00:00`);
}

/** Returns the time, in ms, that a `datetime-local` input shows. */
export function ofInput(text) {
  return current().zone === "utc" ? Date.parse(`${text}Z`) : new Date(text).getTime();
}

/** Returns the minutes since midnight, and the days since 1970, that clock and calendar show. */
export function minuteAndDay(ms) {
  const { year, month, day: date, hour, minute: minutes } = parts(ms);
  return { minute: hour * 60 + minutes, day: Math.round(Date.UTC(year, month - 1, date) / (24 * 60 * MINUTE)), date, month };
}
