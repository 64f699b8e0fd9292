// Latency over time as a heat map: how many requests of each step took how long. Drawn on a canvas of its own.

import { binOf, longestOf, shortestOf } from "../core/bins.js";
import { el } from "../core/dom.js";
import { count, duration, percentile, share } from "../core/format.js";
import { customRange } from "../core/ranges.js";
import { change, current } from "../core/state.js";
import { minute } from "../core/times.js";
import { colour } from "./chart_options.js";
import { letDrag } from "./drag.js";
import { frame, stepsAsTable } from "./frame.js";
import { roundTimes, timeLabel } from "./ticks.js";

const TITLE = "Latency heat map";
const MOST_BANDS = 24;
const LEFT_PX = 56;
const TOP_PX = 6;
const BOTTOM_PX = 22;
const FONT = "11px system-ui, sans-serif";
const FAINTEST = 0.12;
const ASIDE_PX = 14;

let map = null;

/** Returns the place of the heat map, empty as yet. */
export function buildHeatMap() {
  map?.resized.disconnect();
  const canvas = el("canvas");
  const parts = frame("heat-map", TITLE, canvas, draw);
  const tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  parts.plot.append(tip);
  const built = Object.assign(parts, { canvas, tip, data: null, resized: new ResizeObserver(() => map === built && draw()) });
  map = built;
  map.resized.observe(parts.plot);
  letDrag(parts.plot, { edges: () => built.data.edges, timeAt, onRange: (from, until) => change(customRange(from, until)) });
  canvas.addEventListener("pointermove", (event) => showTip(cellAt(event)));
  canvas.addEventListener("pointerleave", () => showTip(null));
  canvas.addEventListener("click", (event) => press(cellAt(event)));
  return parts.node;
}

/** Draws points of latency that have bins; those of several groups are summed up. */
export function showHeatMap(points) {
  map.data = cellsOf(points);
  draw();
}

addEventListener("themechange", () => map?.data && draw());

// Bins are a tenth wide; so many of them make a band that all bands have room.
function cellsOf(points) {
  const edges = [...new Set(points.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const places = new Map(edges.map((edge, place) => [edge, place]));
  const found = points.flatMap(({ start, latencyBins }) => (latencyBins ?? []).map(({ minMs, requests }) => [places.get(start), binOf(minMs), requests]));
  const bins = found.map(([, bin]) => bin);
  const [lowest, highest] = bins.length ? [bins.reduce((a, b) => Math.min(a, b)), bins.reduce((a, b) => Math.max(a, b))] : [0, -1];
  const width = Math.max(1, Math.ceil((highest - lowest + 1) / MOST_BANDS));
  const bands = Array.from({ length: Math.ceil((highest - lowest + 1) / width) }, (_, band) => {
    const first = lowest + band * width;
    return { minMs: shortestOf(first), maxMs: longestOf(first + width - 1) };
  });
  const steps = edges.slice(0, -1).map(() => bands.map(() => 0));
  for (const [step, bin, requests] of found) steps[step][Math.floor((bin - lowest) / width)] += requests;
  const most = steps.flat().reduce((a, b) => Math.max(a, b), 0);
  return { edges, bands, steps, most };
}

function draw() {
  if (!map.data) return;
  const { edges, bands, steps, most } = map.data;
  map.summary.textContent = summary();
  if (map.asTable) {
    const rows = steps.map((counts, step) => [minute(edges[step]), counts.map((requests) => (requests ? count(requests) : ""))]);
    map.table.replaceChildren(stepsAsTable(bands.map(nameOf), rows));
    return;
  }
  const { clientWidth: width, clientHeight: height } = map.plot;
  const ratio = globalThis.devicePixelRatio || 1;
  Object.assign(map.canvas, { width: width * ratio, height: height * ratio });
  const pen = map.canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = FONT;
  if (!bands.length) return;
  map.area = { left: LEFT_PX, width: width - LEFT_PX, height: height - TOP_PX - BOTTOM_PX };
  pen.fillStyle = colour("--series-1");
  steps.forEach((counts, step) => {
    counts.forEach((requests, band) => {
      if (!requests) return;
      const [left, right] = [x(edges[step]), x(edges[step + 1])];
      pen.globalAlpha = FAINTEST + (1 - FAINTEST) * Math.sqrt(requests / most);
      pen.fillRect(left, y(band + 1), Math.max(1, right - left - 1), Math.max(1, y(band) - y(band + 1) - 1));
    });
  });
  pen.globalAlpha = 1;
  drawAxes(pen);
}

function drawAxes(pen) {
  const { edges, bands } = map.data;
  pen.fillStyle = colour("--muted");
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  const every = Math.max(1, Math.ceil(bands.length / Math.max(2, Math.floor(map.area.height / 34))));
  for (let band = 0; band < bands.length; band += every) pen.fillText(percentile(bands[band].minMs), LEFT_PX - 8, y(band + 0.5));
  pen.textAlign = "center";
  pen.textBaseline = "top";
  const times = roundTimes(edges, map.area.width);
  times.forEach((ms, place) => {
    const [text] = [timeLabel(ms, place, times)].flat();
    const furthest = LEFT_PX + map.area.width - pen.measureText(text).width / 2;
    pen.fillText(text, Math.min(x(ms), furthest), TOP_PX + map.area.height + 6);
  });
}

function x(ms) {
  const { edges } = map.data;
  return map.area.left + (map.area.width * (ms - edges[0])) / (edges.at(-1) - edges[0]);
}

function y(band) {
  return TOP_PX + map.area.height * (1 - band / map.data.bands.length);
}

function timeAt(at) {
  const { edges } = map.data;
  return edges[0] + ((at - map.area.left) / map.area.width) * (edges.at(-1) - edges[0]);
}

function cellAt({ offsetX, offsetY }) {
  if (!map.area || !map.data.bands.length) return null;
  const step = map.data.edges.findLastIndex((edge) => edge <= timeAt(offsetX));
  const band = Math.floor((1 - (offsetY - TOP_PX) / map.area.height) * map.data.bands.length);
  const requests = map.data.steps[step]?.[band];
  return requests ? { step, band, requests, offsetX, offsetY } : null;
}

function showTip(cell) {
  map.tip.hidden = !cell;
  map.canvas.classList.toggle("pressable", Boolean(cell));
  if (!cell) return;
  const { edges, bands, steps } = map.data;
  const all = steps[cell.step].reduce((a, b) => a + b, 0);
  map.tip.replaceChildren(
    el("div", {}, `${minute(edges[cell.step])} – ${minute(edges[cell.step + 1])}`),
    el("div", {}, `${nameOf(bands[cell.band])}: ${count(cell.requests)} of ${count(all)} (${share(cell.requests / all)})`),
  );
  const isRight = cell.offsetX > map.area.left + map.area.width / 2;
  map.tip.style.left = `${cell.offsetX + (isRight ? -ASIDE_PX - map.tip.offsetWidth : ASIDE_PX)}px`;
  map.tip.style.top = `${Math.min(cell.offsetY, map.area.height - map.tip.offsetHeight)}px`;
}

function press(cell) {
  if (!cell) return;
  const { edges, bands } = map.data;
  const { minMs, maxMs } = bands[cell.band];
  const { outcome } = current();
  change({
    ...customRange(edges[cell.step], edges[cell.step + 1]),
    page: "requests",
    minLatencyMs: String(minMs),
    maxLatencyMs: Number.isFinite(maxMs) ? String(maxMs) : "",
    status: outcome === "all" ? "" : outcome || "answered",
  });
}

function nameOf({ minMs, maxMs }) {
  return Number.isFinite(maxMs) ? `${duration(minMs)} – ${duration(maxMs)}` : `${duration(minMs)} and more`;
}

function summary() {
  const { bands, steps } = map.data;
  const sums = bands.map((_, band) => steps.reduce((sum, counts) => sum + counts[band], 0));
  return bands.map((band, place) => `${nameOf(band)}: ${count(sums[place])}`).filter((_, place) => sums[place]).join("; ");
}
