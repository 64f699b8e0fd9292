// The charts, drawn by Chart.js; each can be shown as a table.

import { byId, el, fill } from "../core/dom.js";
import { customRange } from "../core/ranges.js";
import { change, current, picking } from "../core/state.js";
import { minute } from "../core/times.js";
import { chartOptions, colour, placeTooltips } from "./chart_options.js";
import { letDrag } from "./drag.js";
import { frame, stepsAsTable } from "./frame.js";
import { isHidden, legendOf } from "./legend.js";
import { CHARTS, OTHER, seriesOf, takeColours } from "./series.js";

// The first step of a range may be shorter than the others.
const BARS = { stack: "all", barThickness: "flex", maxBarThickness: 32, categoryPercentage: 0.9, barPercentage: 0.95 };
const LINES = { borderWidth: 2, tension: 0, spanGaps: false, pointHitRadius: 8 };

// By far the largest file; it loads in parallel, and may arrive last.
const library = new Promise((resolve, reject) => {
  if (globalThis.Chart) resolve();
  byId("chart-library").addEventListener("load", resolve);
  byId("chart-library").addEventListener("error", () => reject(new Error("chart.js could not be loaded")));
});
let figures = new Map();

/** Returns the place of charts with these ids, empty as yet, with the legend that they share. */
export function buildCharts(ids) {
  for (const { plotted } of figures.values()) plotted?.destroy();
  figures = new Map(ids.map((id) => [id, build(CHARTS.find((chart) => chart.id === id))]));
  return [
    el("div", { id: "legend", class: "legend panel", role: "group", "aria-label": "Series of all charts" }),
    el("div", { id: "charts", class: "charts" }, [...figures.values()].map(({ node }) => node)),
  ];
}

/** Draws the usage and latency points of the service once Chart.js is loaded; `before` are those of the period before. */
export async function showCharts({ usage, latency, by, before = null }) {
  await library;
  placeTooltips();
  takeColours(usage, by);
  for (const figure of figures.values()) {
    const { chart } = figure;
    const pointsOf = (found) => (chart.kind === "line" ? found.latency : found.usage);
    figure.by = by;
    figure.data = seriesOf(chart, pointsOf({ usage, latency }), by);
    figure.before = before && seriesOf(chart, pointsOf(before), "").series;
    figure.title.textContent = chart.kind === "line" && by ? `${chart.title}, ${current().percentile}` : chart.title;
  }
  drawAll();
}

function drawAll() {
  figures.forEach(draw);
  const [first] = figures.values();
  const shared = first?.by ? first.data.series : [];
  byId("legend").hidden = !shared.length;
  fill(byId("legend"), legendOf(shared, "all", { onChange: drawAll, press: (one) => pressOnGroup(first.by, one) }));
}

function build(chart) {
  const id = `chart-${chart.id}`;
  const canvas = el("canvas");
  const figure = Object.assign(frame(id, chart.title, canvas, () => draw(figure)), { chart, canvas });
  letDrag(figure.plot, {
    edges: () => [...figure.data.starts, figure.data.ends.at(-1)],
    timeAt: (x) => figure.plotted.scales.x.getValueForPixel(x),
    onRange: (from, until) => change(customRange(from, until)),
  });
  return figure;
}

addEventListener("themechange", () => figures.forEach((figure) => figure.data && draw(figure)));

function draw(figure) {
  const { chart, data } = figure;
  const visible = data.series.filter(({ name }) => !isHidden(name));
  figure.summary.textContent = summary(chart, visible);
  const own = figure.by || data.series.length < 2 ? [] : data.series;
  fill(figure.legend, legendOf(own, chart.id, { onChange: drawAll, press: pressOnPart }));
  if (figure.asTable) fill(figure.table, table(chart, data, visible));
  else plot(figure, visible);
}

function plot(figure, visible) {
  const { chart, data } = figure;
  const datasets = visible.map((series) => dataset(chart, series, data));
  if (figure.before) datasets.push(...linesBefore(figure, visible));
  const isLog = chart.kind === "line" && current().scale === "log";
  const onPress = (event, _elements, drawn) => press(figure, visible, drawn.getElementsAtEventForMode(event, "nearest", { intersect: true }, false));
  const options = chartOptions(chart, data, { isLog, onPress });
  if (figure.plotted) {
    figure.plotted.data.datasets = datasets;
    figure.plotted.options = options;
    figure.plotted.update("none");
  } else {
    figure.plotted = new Chart(figure.canvas, { type: chart.kind, data: { datasets }, options });
  }
}

function dataset(chart, { name, colour: variable, values }, { starts, ends }) {
  const drawn = colour(variable);
  // Chart.js would draw an empty bar as a line.
  const shown = chart.kind === "bar" ? values.map((value) => value || null) : values;
  const common = {
    label: name,
    data: shown.map((y, place) => ({ x: (starts[place] + ends[place]) / 2, y })),
    backgroundColor: drawn,
    borderColor: drawn,
  };
  if (chart.kind === "bar") return { ...common, ...BARS };
  // A value between two gaps has no line, so it needs a point.
  const alone = ({ dataIndex: place }) => values[place - 1] == null && values[place + 1] == null;
  return { ...common, ...LINES, pointRadius: (point) => (alone(point) ? 2.5 : 0) };
}

// The period before, step by step under the present one: bars as their total, lines as the chosen percentile.
function linesBefore({ chart, data, before, by }, visible) {
  const wanted = chart.kind === "bar" ? before : before.filter(({ name }) => name === current().percentile);
  if (!wanted.length || !visible.length || (by && chart.kind === "line")) return [];
  const sum = (place) => wanted.reduce((all, { values }) => (values[place] == null ? all : (all ?? 0) + values[place]), null);
  const points = data.starts.map((start, place) => ({ x: (start + data.ends[place]) / 2, y: sum(place) }));
  const drawn = colour("--muted");
  const look = { ...LINES, type: "line", borderWidth: 1.5, borderDash: [4, 3], pointRadius: 0, stack: "before", order: -1 };
  return [{ label: "Period before", data: points, borderColor: drawn, backgroundColor: drawn, isBefore: true, ...look }];
}

function press(figure, visible, [found]) {
  const series = found && visible[found.datasetIndex];
  if (!series) return;
  const action = figure.by ? pressOnGroup(figure.by, series) : pressOnPart(series);
  const range = customRange(figure.data.starts[found.index], figure.data.ends[found.index]);
  if (figure.by) action?.run();
  else change({ ...range, ...action?.patch });
}

function pressOnGroup(by, { name, group }) {
  if (name === OTHER) return null;
  if (by.startsWith("tag:")) return { title: "filter by this tag", run: () => change({ tag: `${by.slice("tag:".length)}:${group}` }) };
  return { title: `filter by this ${by}`, run: () => change(picking(by, group)) };
}

function pressOnPart({ status }) {
  if (!status) return null;
  const patch = { page: "requests", status };
  return { title: "show these requests", patch, run: () => change(patch) };
}

function summary(chart, visible) {
  const largest = (values) => Math.max(...values.filter((value) => value !== null));
  const total = (values) => values.reduce((sum, value) => sum + (value ?? 0), 0);
  const [word, of] = chart.kind === "line" ? ["at most", largest] : ["in total", total];
  return visible
    .filter(({ values }) => values.some((value) => value !== null))
    .map(({ name, values }) => `${name}: ${chart.format(of(values))} ${word}`)
    .join("; ");
}

function table(chart, { starts }, visible) {
  const names = visible.map(({ name }) => name);
  return stepsAsTable(
    names,
    starts.map((start, place) => [minute(start), visible.map(({ values }) => chart.format(values[place]))]),
  );
}
