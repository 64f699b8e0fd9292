// Turns the selected range into times in ms, and into the step of the charts.

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

/** Returns the range of a view as `{from, until}`, in ms since the epoch. A custom one without an end ends now. */
export function bounds(view, now = Date.now()) {
  if (isMoving(view)) return { from: now - LENGTHS[view.range], until: now };
  const until = Date.parse(view.until) || now;
  const from = Date.parse(view.from) || until - DAY;
  return from < until ? { from, until } : { from: until, until: from };
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
