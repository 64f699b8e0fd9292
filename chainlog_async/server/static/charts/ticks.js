// Round times for an axis, at the edges of bars.

import { clock, day, isToday, minuteAndDay } from "../core/times.js";

const MIN_TICK_PX = 76;
const DAY_MINUTES = 1440;
const EVERY = [1, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => [minutes, ({ minute }) => minute % minutes === 0]);
const DAYS = [1, 2, 4, 7, 14].map((days) => [days * DAY_MINUTES, (at) => at.minute === 0 && at.day % days === 0]);
const MONTHS = [1, 3, 6, 12].map((months) => [months * 30 * DAY_MINUTES, (at) => at.minute === 0 && at.date === 1 && (at.month - 1) % months === 0]);

/** Returns the times among `edges` that are round in the zone that is shown, as many as have room. */
export function roundTimes(edges, widthPx) {
  const all = edges.map((ms) => ({ ms, at: minuteAndDay(ms) }));
  const most = Math.max(2, Math.floor(widthPx / MIN_TICK_PX));
  const minutes = (edges.at(-1) - edges[0]) / 60_000;
  for (const [length, isRound] of [...EVERY, ...DAYS, ...MONTHS]) {
    if (minutes / length > most) continue;
    const found = all.filter(({ at }) => isRound(at));
    if (found.length) return found.map(({ ms }) => ms);
  }
  return [edges[0]];
}

/** Returns the label of one of the times of an axis: the day at midnight, otherwise the time of day. */
export function timeLabel(ms, place, all) {
  if (minuteAndDay(ms).minute === 0 && all.length) return day(ms);
  const isNamed = all.some((other) => minuteAndDay(other).minute === 0);
  return place === 0 && !isNamed && !isToday(ms) ? [clock(ms), day(ms)] : clock(ms);
}
