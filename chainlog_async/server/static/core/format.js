// Formats numbers, durations, money and times for people.

const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const dollar = { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol" };
const exactDollars = new Intl.NumberFormat(undefined, { ...dollar, minimumFractionDigits: 2, maximumFractionDigits: 9 });
const dollars = new Intl.NumberFormat(undefined, {
  ...dollar,
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  minimumSignificantDigits: 2,
  maximumSignificantDigits: 2,
  roundingPriority: "morePrecision",
});
const compactDollars = new Intl.NumberFormat(undefined, { ...dollar, notation: "compact", maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayOfThisYear = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const dayOfAnyYear = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium",
  timeStyle: "long",
});

const MAX_AGO_DAYS = 60;
const MAX_LABEL = 48;
const LABEL_END = 16;

export const NOTHING = "–";

/** Formats a count: in full up to 99,999, then as 123.4K. */
export function count(value) {
  if (value === null || value === undefined) return NOTHING;
  return Math.abs(value) < 100_000 ? whole.format(value) : compact.format(value);
}

/** Formats a count in full. */
export function exactCount(value) {
  return value === null || value === undefined ? NOTHING : whole.format(value);
}

/** Formats a count briefly, for an axis. */
export function axisCount(value) {
  return compact.format(value);
}

/** Formats a share from 0 to 1 as a percentage; only an exact 0 or 1 reads 0 % or 100 %. */
export function share(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NOTHING;
  const percent = value * 100;
  if (percent > 0 && percent < 0.01) return "<0.01 %";
  if (percent < 100 && percent > 99.9) return ">99.9 %";
  return `${Number(percent.toFixed(percent < 1 ? 2 : 1))} %`;
}

/** Formats milliseconds as 412 ms, 1.53 s, 2 min 5 s. */
export function duration(ms) {
  if (ms === null || ms === undefined) return NOTHING;
  if (ms < 999.5) return `${whole.format(ms)} ms`;
  if (ms < 59_950) return `${Number((ms / 1000).toFixed(ms < 9_995 ? 2 : 1))} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 3600
    ? `${Math.floor(seconds / 60)} min ${seconds % 60} s`
    : `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** Formats US dollars to the cent; smaller amounts with two significant digits. */
export function money(usd) {
  if (usd === null || usd === undefined) return NOTHING;
  return (usd < 100_000 ? dollars : compactDollars).format(usd);
}

/** Formats US dollars exactly, with up to nine decimals: the cost of one request. */
export function exactMoney(usd) {
  return exactDollars.format(usd);
}

/** Formats a name for a place of limited width; a long one loses its middle. */
export function label(name) {
  return name.length > MAX_LABEL ? `${name.slice(0, MAX_LABEL - LABEL_END - 1)}…${name.slice(-LABEL_END)}` : name;
}

/** Formats the day of a time, with the year unless it is this one. */
export function day(ms, now = Date.now()) {
  const date = new Date(ms);
  const format = date.getFullYear() === new Date(now).getFullYear() ? dayOfThisYear : dayOfAnyYear;
  return format.format(date);
}

/** Formats a time for the table, without the day if it is today. */
export function shortTime(ms) {
  return isToday(ms) ? time.format(new Date(ms)) : `${day(ms)}, ${time.format(new Date(ms))}`;
}

/**
 * Formats one of all times on an axis: the day at midnight, otherwise the time of day. Where no midnight names the day,
 * the first time does, on a line of its own, unless it is today.
 */
export function axisTime(ms, isFirst, all) {
  if (isMidnight(ms)) return day(ms);
  const shown = clock.format(new Date(ms));
  return isFirst && !isToday(ms) && !all.some(isMidnight) ? [shown, day(ms)] : shown;
}

function isToday(ms) {
  return new Date(ms).toDateString() === new Date().toDateString();
}

function isMidnight(ms) {
  const date = new Date(ms);
  return date.getHours() + date.getMinutes() === 0;
}

/** Formats a time to the minute, with day and year. */
export function minute(ms) {
  return moment.format(new Date(ms));
}

/** Formats a time with zone and milliseconds, for the details. */
export function exactTime(ms) {
  return `${exact.format(new Date(ms))} (${new Date(ms).toISOString()})`;
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
