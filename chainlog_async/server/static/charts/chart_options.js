// Options of Chart.js: axes, tooltips, and the colours of the current theme.

import { el } from "../core/dom.js";
import { axisCount, axisTime, label, minute } from "../core/format.js";

const DAYS_MS = 3 * 86_400_000;
const FONT = { family: "system-ui, sans-serif", size: 11 };

// Chart.js supports neither CSS variables nor light-dark(); the browser resolves both for a real element.
const probe = document.body.appendChild(el("span", { hidden: true }));

/** Returns the current colour of a custom property of the style sheet. */
export function colour(variable) {
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

/** Returns the options of one chart for its data, in the current colours. */
export function chartOptions(chart, { starts, ends }) {
  const stacked = chart.kind === "bar";
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    scales: { x: timeAxis(stacked, starts[0], ends.at(-1)), y: valueAxis(chart, stacked) },
    plugins: { legend: { display: false }, tooltip: tooltip(chart, starts, ends) },
  };
}

function timeAxis(stacked, min, max) {
  return {
    type: "time",
    stacked,
    min,
    max,
    offset: false,
    time: { unit: max - min > DAYS_MS ? "day" : false },
    grid: { display: false },
    border: { color: colour("--line") },
    ticks: { color: colour("--muted"), font: FONT, maxRotation: 0, autoSkipPadding: 24, callback: timeLabel },
  };
}

function timeLabel(ms, place, ticks) {
  return axisTime(ms, place === 0, ticks.map(({ value }) => value));
}

function valueAxis(chart, stacked) {
  const counts = chart.format.name === "count";
  return {
    stacked,
    beginAtZero: true,
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
}

function tooltip(chart, starts, ends) {
  const stacked = chart.kind === "bar";
  return {
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
      label: ({ dataset, raw }) => `${label(dataset.label)}: ${chart.format(raw.y)}`,
      footer: (items) =>
        stacked && items.length > 1 ? `Total: ${chart.format(items.reduce((sum, { raw }) => sum + raw.y, 0))}` : "",
    },
  };
}
