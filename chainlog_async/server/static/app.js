// Loads and shows the data of the view, again whenever the view changes and at the refresh interval.

import { get } from "./core/api.js";
import { showCards } from "./pages/cards.js";
import { showCharts } from "./charts/charts.js";
import { offerNames, showControls } from "./shell/controls.js";
import { byId } from "./core/dom.js";
import { showHealth } from "./shell/health.js";
import { showLive, startLive, stopLive } from "./requests/live.js";
import { showError, showFirstSteps, showNothing, showRangeProblem } from "./shell/notices.js";
import { showProviders } from "./pages/providers.js";
import { bounds, isMoving, problem, step, zone } from "./core/ranges.js";
import { isBeingRead, loadRequests, showOpen } from "./requests/requests.js";
import { current, DIMENSIONS, onChange, REQUEST_FILTERS } from "./core/state.js";

const RETRY_MS = 5000;
const MAX_GROUPS = 9;

let loading = new AbortController();
let timer = 0;
let tz = zone();

/**
 * Loads everything for the current view; what is still loading for an earlier one is aborted. Returns whether it was
 * loaded, or null when it was aborted.
 */
async function load({ quietly = false } = {}) {
  loading.abort();
  loading = new AbortController();
  clearTimeout(timer);
  const { signal } = loading;
  const wrong = problem(current());
  if (wrong) {
    showRangeProblem(wrong);
    settle({ stale: true });
    return false;
  }
  if (!quietly) byId("figures").setAttribute("aria-busy", "true");
  try {
    const refusal = await loadFigures(signal, quietly);
    if (refusal) showError(refusal, () => load());
    settle();
    planNext();
    return true;
  } catch (error) {
    if (signal.aborted) return null;
    loading.abort();
    if (error.status === 400 && tz !== "UTC") {
      // Without time zone data on its machine the service only knows UTC. If it refuses that too, the zone was not why.
      const refused = tz;
      tz = "UTC";
      const loaded = await load();
      if (loaded === false) tz = refused;
      return loaded;
    }
    fail(error);
    return false;
  }
}

// Figures of an earlier view stay, but look it: the notice above them says why.
function settle({ stale = false } = {}) {
  byId("figures").removeAttribute("aria-busy");
  byId("figures").toggleAttribute("data-stale", stale);
}

// Returns why the service refused to list requests, if it did: everything else is shown all the same.
async function loadFigures(signal, quietly) {
  const view = current();
  const range = bounds(view);
  const filters = picked(view, DIMENSIONS);
  const total = { ...range, ...filters };
  const overTime = { ...total, step: step(range), tz, by: view.by, groups: view.by && MAX_GROUPS, fill: true };
  const ask = (path, parameters) => get(path, parameters, { signal });
  const keepList = quietly && (isBeingRead() || view.live);
  const [health, statistics, names, usage, latency, usagePoints, latencyPoints, providers, refusal] = await Promise.all([
    get("health", {}, { signal, also: 503 }),
    accounting(ask),
    ask("v1/names"),
    ask("v1/usage", total),
    ask("v1/latency", { ...total, outcome: view.outcome }),
    ask("v1/usage", overTime),
    ask("v1/latency", { ...overTime, outcome: view.outcome }),
    unlessForbidden(ask("v1/providers/health", range)),
    keepList ? null : loadRequests({ ...range, ...filters, ...picked(view, REQUEST_FILTERS) }, signal),
  ]);
  showHealth(health);
  offerNames(names);
  if (names.chains.length) showNothing();
  else showFirstSteps();
  byId("figures").hidden = !names.chains.length;
  showCards(usage.points, latency.points, statistics ?? health.accounting);
  showProviders(providers ? providers.providers : null, view);
  await showCharts(usagePoints.points, latencyPoints.points, view.by);
  return refusal;
}

// Older services report their statistics only in /health.
async function accounting(ask) {
  try {
    return await unlessForbidden(ask("v1/statistics"));
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

// A key that sees one caller is refused what is known of all callers together only: null then.
async function unlessForbidden(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
}

function fail(error) {
  showError(error, () => load());
  settle({ stale: true });
  if (error.kind === "offline") showHealth(null);
  if (error.kind === "offline" || error.status >= 500) plan(RETRY_MS);
}

function planNext() {
  // A range that has ended needs no refresh.
  plan(isMoving(current()) ? Number(current().refresh) * 1000 : 0);
}

function plan(ms) {
  clearTimeout(timer);
  if (ms) timer = setTimeout(loadIfSeen, ms);
}

// A tab in the background sends no requests.
function loadIfSeen() {
  if (document.hidden) document.addEventListener("visibilitychange", () => load({ quietly: true }), { once: true });
  else load({ quietly: true });
}

function tail() {
  const view = current();
  const possible = isMoving(view);
  showLive(possible);
  if (view.live && possible) startLive(picked(view, [...DIMENSIONS, ...REQUEST_FILTERS]), () => load());
  else stopLive();
}

function picked(view, names) {
  return Object.fromEntries(names.map((name) => [name, view[name]]));
}

function changed(names) {
  const only = (...few) => [...names].every((name) => few.includes(name));
  if (names.has("open")) showOpen();
  if (only("open")) return;
  showControls(() => load());
  if (only("refresh")) planNext();
  else if (only("live")) tail();
  else load().then(() => only("by", "outcome") || tail());
}

onChange(changed);
showControls(() => load());
showLive(isMoving(current()));
await load();
tail();
