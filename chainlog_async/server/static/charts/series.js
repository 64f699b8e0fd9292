// Turns the points of the service into the series of a chart.

import { count, money, percentile } from "../core/format.js";
import { current } from "../core/state.js";

const PALETTE_SIZE = 10;
/** The name of the series of all groups beyond the largest. */
export const OTHER = "other";
const colours = new Map();

/** The charts: title, kind, format of values, and series without and with groups; a part may be requests of a status. */
export const CHARTS = [
  {
    id: "requests",
    title: "Requests",
    kind: "bar",
    format: count,
    parts: [
      ["Answered", "--series-1", (point) => point.requests - point.errors - point.cancelled],
      ["Hung up", "--series-other", (point) => point.cancelled],
      ["429", "--warn", (point) => point.rateLimited, "429"],
      ["Failed", "--bad", (point) => point.errors - point.rateLimited, "errors"],
    ],
    perGroup: (point) => point.requests,
  },
  {
    id: "tokens",
    title: "Tokens",
    kind: "bar",
    format: count,
    parts: [
      ["Prompt", "--series-1", (point) => point.promptTokens - point.cachedTokens],
      ["Prompt, cached", "--series-6", (point) => point.cachedTokens],
      ["Completion", "--series-2", (point) => point.completionTokens],
    ],
    perGroup: (point) => point.totalTokens,
  },
  {
    id: "errors",
    title: "Errors",
    kind: "bar",
    format: count,
    parts: [
      ["429", "--warn", (point) => point.rateLimited, "429"],
      ["Failed", "--bad", (point) => point.errors - point.rateLimited, "errors"],
    ],
    perGroup: (point) => point.errors,
  },
  {
    id: "cost",
    title: "Cost",
    kind: "bar",
    format: money,
    parts: [["Cost", "--series-3", (point) => point.costUsd]],
    perGroup: (point) => point.costUsd,
  },
  {
    id: "unanswered",
    title: "Spent on tries that did not answer",
    kind: "bar",
    format: money,
    parts: [["Not answered", "--bad", (point) => point.unansweredCostUsd]],
    perGroup: (point) => point.unansweredCostUsd,
  },
  {
    id: "latency",
    title: "Latency",
    kind: "line",
    format: percentile,
    parts: [
      ["p50", "--series-6", (point) => point.latencyMs.p50],
      ["p90", "--series-3", (point) => point.latencyMs.p90],
      ["p95", "--series-1", (point) => point.latencyMs.p95],
      ["p99", "--series-4", (point) => point.latencyMs.p99],
    ],
    perGroup: (point) => point.latencyMs[current().percentile],
  },
  {
    id: "ttft",
    title: "Time to first token",
    kind: "line",
    format: percentile,
    parts: [
      ["p50", "--series-6", (point) => point.ttftMs.p50],
      ["p90", "--series-3", (point) => point.ttftMs.p90],
      ["p95", "--series-1", (point) => point.ttftMs.p95],
      ["p99", "--series-4", (point) => point.ttftMs.p99],
    ],
    perGroup: (point) => point.ttftMs[current().percentile],
  },
];

/**
 * Returns the series of a chart: `{starts, ends, series: [{name, colour, values}]}`, with one value per start; it is
 * null where a group has no point.
 */
export function seriesOf(chart, points, by) {
  const starts = [...new Set(points.map((point) => point.start))].sort((a, b) => a - b);
  const places = new Map(starts.map((start, place) => [start, place]));
  const ends = starts.map(() => null);
  for (const point of points) ends[places.get(point.start)] = point.end;
  const lay = (group, value) => {
    const values = starts.map(() => null);
    for (const point of group) values[places.get(point.start)] = value(point);
    return values;
  };
  const series = by
    ? groupsOf(points).map(([name, group]) => ({
        name,
        group: group[0].name,
        colour: colourOf(by, name),
        values: lay(group, chart.perGroup),
      }))
    : chart.parts.map(([name, colour, value, status]) => ({ name, colour, status, values: lay(points, value) }));
  return { starts, ends, series };
}

/** Assigns colours to the groups: the largest first, all others together last. */
export function takeColours(points, by) {
  if (by) for (const [name] of groupsOf(points)) colourOf(by, name);
}

function groupsOf(points) {
  const groups = new Map();
  for (const point of points) {
    const name = point.other ? OTHER : point.name || "(none)";
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(point);
  }
  const size = ([name, group]) => (name === OTHER ? -1 : group.reduce((sum, point) => sum + point.requests, 0));
  return [...groups].sort((a, b) => size(b) - size(a));
}

// A group keeps its colour while the page is open, even when the order changes.
function colourOf(by, name) {
  if (name === OTHER) return "--series-other";
  const key = JSON.stringify([by, name]);
  if (!colours.has(key)) {
    const taken = [...colours.keys()].filter((other) => JSON.parse(other)[0] === by).length;
    colours.set(key, `--series-${(taken % PALETTE_SIZE) + 1}`);
  }
  return colours.get(key);
}
