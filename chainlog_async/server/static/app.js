// Loads and shows the page of the view, again whenever the view changes and at the refresh interval.

import { get } from "./core/api.js";
import { byId, fill } from "./core/dom.js";
import { before, bounds, hasExtent, isMoving, newestTime, problem, setExtent, step } from "./core/ranges.js";
import { change, current, filterParameters, hasNoRange, isFiltered, onChange, PAGES } from "./core/state.js";
import { zone } from "./core/times.js";
import { alerts } from "./pages/alerts.js";
import { costs } from "./pages/costs.js";
import { health } from "./pages/health.js";
import { overview } from "./pages/overview.js";
import { providers } from "./pages/providers.js";
import { requests } from "./pages/requests.js";
import { sessions } from "./pages/sessions.js";
import { offerNames, showPanel } from "./shell/filter_panel.js";
import { showFilters } from "./shell/filters.js";
import { showFirstSteps } from "./shell/first_steps.js";
import { showHeader } from "./shell/header.js";
import { showHealth } from "./shell/health_dot.js";
import "./shell/keyboard.js";
import { showEmptyRange, showError, showNothing, showRangeProblem } from "./shell/notices.js";

const PAGE_MODULES = { overview, requests, costs, providers, sessions, alerts, health };
const RETRY_MS = 5000;
const FIRST_MS = 1000;

let loading = new AbortController();
let timer = 0;
let refusedZone = null;
let built = null;

/** Loads everything for the current view; what is still loading for an earlier one is aborted. */
async function load({ quietly = false } = {}) {
  loading.abort();
  loading = new AbortController();
  clearTimeout(timer);
  const { signal } = loading;
  build();
  const wrong = problem(current());
  if (wrong) {
    showRangeProblem(wrong);
    settle({ stale: true });
    return;
  }
  if (!quietly) byId("figures").setAttribute("aria-busy", "true");
  try {
    const notice = await loadPage(signal, quietly);
    if (signal.aborted) return;
    if (notice instanceof Error) showError(notice, () => load());
    settle();
    planNext();
  } catch (error) {
    if (signal.aborted) return;
    loading.abort();
    if (error.status === 400 && tz() !== "UTC") {
      // Without time zone data on its machine the service only knows UTC. If it refuses that too, the zone was not why.
      refusedZone = zone();
      await load();
      if (byId("figures").hasAttribute("data-stale")) refusedZone = null;
      return;
    }
    fail(error);
  }
}

function tz() {
  return zone() === refusedZone ? "UTC" : zone();
}

function pageModule() {
  return PAGE_MODULES[current().page];
}

function build() {
  const { page } = current();
  if (built === page) return;
  built = page;
  const [, name] = PAGES.find(([id]) => id === page);
  byId("page-title").textContent = name;
  document.title = page === "overview" ? "chainlog" : `${name} – chainlog`;
  fill(byId("figures"), pageModule().build());
  byId("figures").dataset.page = page;
}

// Figures of an earlier view stay, but look it: the notice above them says why.
function settle({ stale = false } = {}) {
  byId("figures").removeAttribute("aria-busy");
  byId("figures").toggleAttribute("data-stale", stale);
}

// Returns an error that costs a part of the page only, if there is one.
async function loadPage(signal, quietly) {
  const ask = (path, parameters) => get(path, parameters, { signal });
  const [found, names, newest] = await Promise.all([
    get("health", {}, { signal, also: 503 }),
    ask("v1/names"),
    hasExtent() ? null : ask("v1/extent"),
  ]);
  showHealth(found);
  offerNames(names);
  if (newest) takeExtent(newest);
  const isEmpty = !names.chains.length;
  byId("figures").hidden = isEmpty;
  if (isEmpty) {
    showFirstSteps();
    return null;
  }
  const view = current();
  const range = bounds(view);
  const total = { ...range, ...filterParameters() };
  const context = {
    ask,
    unlessForbidden,
    signal,
    quietly,
    view,
    range,
    names,
    health: found,
    total,
    before: before(range),
    overTime: { ...total, step: step(range), tz: tz(), fill: true },
    reload: () => load(),
  };
  const data = await pageModule().load(context);
  if (signal.aborted) return null;
  showNothing();
  await pageModule().show(data, view);
  if (data.isEmpty && newestTime() !== null && !isFiltered()) showEmptyRange(newestTime());
  return data.refusal ?? null;
}

// A log that was imported is looked at where its requests are, unless the link says otherwise.
function takeExtent(found) {
  setExtent(found);
  const day = 86_400_000;
  if (found.newest !== null && found.newest < Date.now() - day && hasNoRange()) change({ range: "all" }, { keepInHistory: false });
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
  // An empty log is about to get its first request; a range that has ended needs no refresh.
  if (byId("figures").hidden) plan(FIRST_MS);
  else plan(isMoving(current()) ? Number(current().refresh) * 1000 : 0);
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

function showShell() {
  showHeader(() => load());
  showFilters(pageModule().applies);
  showPanel();
}

function changed(names) {
  const only = (...few) => [...names].every((name) => few.includes(name));
  const { opened, followed } = pageModule();
  if (names.has("open") && !names.has("page")) opened?.();
  if (only("open")) return;
  showShell();
  if (only("refresh")) planNext();
  else if (only("live") && followed) followed();
  else load().then(() => pageModule().followed?.());
}

onChange(changed);
showShell();
await load();
pageModule().followed?.();
