// The bins in which the service counts durations: each is a tenth wider than the one before.

const LONGEST_MS = 1e12;
const UPPERS = [0];
while (UPPERS.at(-1) < LONGEST_MS) UPPERS.push(Math.floor(((UPPERS.at(-1) + 1) * 21) / 19));

/** Returns the place of the bin of a duration in ms. */
export function binOf(ms) {
  let [low, high] = [0, UPPERS.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (UPPERS[middle] < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Returns the shortest duration of the bin at that place, in ms. */
export function shortestOf(place) {
  return place ? UPPERS[place - 1] + 1 : 0;
}

/** Returns the longest duration of the bin at that place, in ms; infinite for the last. */
export function longestOf(place) {
  return UPPERS[place] ?? Infinity;
}
