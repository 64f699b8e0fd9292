// Options of Chart.js: axes, tooltips, and the colours of the current theme.

import { el } from "../core/dom.js";
import { axisCount, label } from "../core/format.js";
import { minute } from "../core/times.js";
import { roundTimes, timeLabel } from "./ticks.js";

const FONT = { family: "system-ui, sans-serif", size: 11 };
const ASIDE_PX = 14;
const LOG_STEPS = [1, 2, 5];

// Chart.js supports neither CSS variables nor light-dark(); the browser resolves both for a real element.
const probe = document.body.appendChild(el("span", { hidden: true }));

/** Returns the current colour of a custom property of the style sheet. */
export function colour(variable) {
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

/** Returns the options of one chart for its data, in the current colours. `isLog` asks for a logarithmic scale. */
export function chartOptions(chart, { starts, ends }, { isLog, onPress }) {
  const stacked = chart.kind === "bar";
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    onClick: onPress,
    scales: { x: timeAxis(stacked, [...starts, ends.at(-1)]), y: valueAxis(chart, stacked, isLog) },
    plugins: { legend: { display: false }, tooltip: tooltip(chart, starts, ends) },
  };
}

function timeAxis(stacked, edges) {
  return {
    type: "linear",
    stacked,
    min: edges[0],
    max: edges.at(-1),
    offset: false,
    grid: { display: true, drawOnChartArea: false, color: colour("--line") },
    border: { color: colour("--line") },
    afterBuildTicks: (axis) => {
      axis.ticks = roundTimes(edges, axis.width).map((value) => ({ value }));
    },
    ticks: {
      color: colour("--muted"),
      font: FONT,
      maxRotation: 0,
      autoSkipPadding: 12,
      callback: (ms, place, ticks) => timeLabel(ms, place, ticks.map(({ value }) => value)),
    },
  };
}

function valueAxis(chart, stacked, isLog) {
  const counts = chart.format.name === "count";
  const axis = {
    type: isLog ? "logarithmic" : "linear",
    stacked,
    beginAtZero: !isLog,
    border: { display: false },
    grid: { color: colour("--line") },
    ticks: {
      color: colour("--muted"),
      font: FONT,
      maxTicksLimit: 5,
      precision: counts ? 0 : undefined,
      callback: (value) => (counts ? axisCount(value) : chart.format(value)),
    },
  };
  if (isLog) axis.afterBuildTicks = (built) => (built.ticks = fewTicks(built.ticks));
  return axis;
}

function fewTicks(ticks) {
  const begins = ({ value }, digits) => digits.includes(Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9)));
  const some = ticks.filter((tick) => begins(tick, LOG_STEPS));
  return some.length > 6 ? some.filter((tick) => begins(tick, [1])) : some;
}

// Beside what it explains, on the side where there is more room.
function aside(items, { x }) {
  if (!items.length) return false;
  const { left, right, top } = this.chart.chartArea;
  const at = items[0].element.x ?? x;
  const half = (items[0].element.width ?? 0) / 2;
  return at - left > right - at
    ? { x: at - half - ASIDE_PX, y: top, xAlign: "right", yAlign: "top" }
    : { x: at + half + ASIDE_PX, y: top, xAlign: "left", yAlign: "top" };
}

/** Tells Chart.js, once it is loaded, where tooltips stand. */
export function placeTooltips() {
  Chart.Tooltip.positioners.aside = aside;
}

function tooltip(chart, starts, ends) {
  const stacked = chart.kind === "bar";
  const own = (items) => items.filter(({ dataset }) => !dataset.isBefore);
  return {
    position: "aside",
    caretSize: 0,
    caretPadding: 0,
    filter: ({ raw }) => raw.y !== null,
    backgroundColor: colour("--tooltip"),
    titleColor: colour("--tooltip-text"),
    bodyColor: colour("--tooltip-text"),
    footerColor: colour("--tooltip-text"),
    titleFont: FONT,
    bodyFont: FONT,
    footerFont: FONT,
    padding: 10,
    boxPadding: 4,
    callbacks: {
      title: ([first]) => (first ? `${minute(starts[first.dataIndex])} – ${minute(ends[first.dataIndex])}` : ""),
      label: ({ dataset, raw }) => `${label(dataset.label, 36)}: ${chart.format(raw.y)}`,
      footer: (items) =>
        stacked && own(items).length > 1 ? `Total: ${chart.format(own(items).reduce((sum, { raw }) => sum + raw.y, 0))}` : "",
    },
  };
}
