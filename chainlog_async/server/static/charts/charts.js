// The charts, drawn by Chart.js; each has a legend of buttons and can be shown as a table.

import { byId, el, fill } from "../core/dom.js";
import { minute } from "../core/format.js";
import { chartOptions, colour } from "./chart_options.js";
import { CHARTS, seriesOf, takeColours } from "./series.js";

// The first step of a range may be shorter than the others.
const BARS = { stack: "all", barThickness: "flex", maxBarThickness: 32, categoryPercentage: 0.9, barPercentage: 0.95 };
const LINES = { borderWidth: 2, cubicInterpolationMode: "monotone", pointHitRadius: 8 };

// By far the largest file; it loads in parallel, and may arrive last.
const library = new Promise((resolve, reject) => {
  if (globalThis.Chart) resolve();
  byId("chart-library").addEventListener("load", resolve);
  byId("chart-library").addEventListener("error", () => reject(new Error("chart.js could not be loaded")));
});
const figures = new Map();
/** Names of series that the user has hidden, in every chart. */
const hidden = new Set();

/** Draws the usage and latency points of the service once Chart.js is loaded. */
export async function showCharts(usage, latency, by) {
  await library;
  if (!figures.size) build();
  takeColours(usage, by);
  for (const chart of CHARTS) {
    const points = chart.kind === "line" ? latency : usage;
    const figure = figures.get(chart.id);
    figure.data = seriesOf(chart, points, by);
    figure.title.textContent = (by && chart.groupedTitle) || chart.title;
    draw(figure);
  }
}

function build() {
  for (const chart of CHARTS) {
    const figure = { chart, asTable: false, title: el("h3", { id: `chart-${chart.id}-title` }) };
    figure.canvas = el("canvas", { role: "img", "aria-labelledby": `chart-${chart.id}-title chart-${chart.id}-summary` });
    figure.summary = el("p", { id: `chart-${chart.id}-summary`, class: "hidden" });
    figure.legend = el("div", { class: "legend", role: "group", "aria-label": `${chart.title}: series` });
    figure.plot = el("div", { class: "plot" }, figure.canvas);
    figure.table = el("div", { class: "plot scroll", tabindex: "0", role: "region", hidden: true });
    figure.table.setAttribute("aria-labelledby", `chart-${chart.id}-title`);
    figure.button = el("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "Table");
    figure.button.setAttribute("aria-label", `${chart.title} as a table`);
    figure.button.addEventListener("click", () => {
      figure.asTable = !figure.asTable;
      figure.button.setAttribute("aria-pressed", String(figure.asTable));
      draw(figure);
    });
    figures.set(chart.id, figure);
    byId("charts").append(
      el(
        "figure",
        { class: "panel chart", id: `chart-${chart.id}` },
        el("div", { class: "panel-head" }, figure.title, figure.button),
        figure.summary,
        figure.plot,
        figure.table,
        figure.legend,
      ),
    );
  }
  addEventListener("themechange", () => figures.forEach(draw));
}

function draw(figure) {
  const { chart, data } = figure;
  figure.plot.hidden = figure.asTable;
  figure.table.hidden = !figure.asTable;
  const visible = data.series.filter(({ name }) => !hidden.has(name));
  figure.summary.textContent = summary(chart, visible);
  fill(figure.legend, data.series.map((series) => legendButton(series, chart.id)));
  if (figure.asTable) fill(figure.table, table(chart, data, visible));
  else plot(figure, visible);
}

function plot(figure, visible) {
  const { chart, data } = figure;
  const datasets = visible.map((series) => dataset(chart, series, data));
  const options = chartOptions(chart, data);
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

function legendButton({ name, colour: variable }, chartId) {
  const off = hidden.has(name);
  const swatch = el("span", { class: "swatch" });
  swatch.style.setProperty("--swatch", `var(${variable})`);
  const toggle = () => {
    if (!hidden.delete(name)) hidden.add(name);
    figures.forEach(draw);
  };
  const id = `legend-${chartId}-${name}`;
  const text = el("span", { class: "label" }, name);
  return el("button", { type: "button", id, title: name, "aria-pressed": String(!off), onclick: toggle }, swatch, text);
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
  const head = el("tr", {}, el("th", { scope: "col" }, "From"), visible.map(({ name }) => el("th", { scope: "col", class: "number name", title: name }, name)));
  const rows = starts.map((start, place) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, minute(start)),
      visible.map(({ values }) => el("td", { class: "number" }, chart.format(values[place]))),
    ),
  );
  return el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, rows.reverse()));
}

