// From a chosen range to times in ms, and to the width of a chart's bars.

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

/** The time zone of this browser, such as Europe/Berlin. */
export function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** Whether the range moves on with the clock. */
export function isMoving(view) {
  return view.range !== "custom";
}

/** The range of a view as `{from, until}`, in ms since the epoch. A custom one without an end lasts until now. */
export function bounds(view, now = Date.now()) {
  if (isMoving(view)) return { from: now - LENGTHS[view.range], until: now };
  const until = Date.parse(view.until) || now;
  const from = Date.parse(view.from) || until - DAY;
  return from < until ? { from, until } : { from: until, until: from };
}

/** The finest step that gives no more bars than can be told apart. */
export function step({ from, until }) {
  const fitting = STEPS.find(([, length]) => (until - from) / length <= MAX_BARS);
  return (fitting ?? STEPS.at(-1))[0];
}

/** Ms as the value of a `datetime-local` input, in this browser's zone. */
export function asInput(ms) {
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * MINUTE);
  return local.toISOString().slice(0, 16);
}
