// The controls: range, refresh interval, theme and filters.

import { byId, el, fill, segments, select } from "../core/dom.js";
import { asInput, bounds, isMoving, zone } from "../core/ranges.js";
import { change, current, DIMENSIONS, GROUPS, isFiltered, OUTCOMES, RANGES, REFRESH, STATUSES, withoutFilters } from "../core/state.js";

// What the service accepts.
const MAX_MS = 1_000_000_000_000;
const MAX_CHARS = 1000;
const REPLACE = { keepInHistory: false };

let names = { chains: [], providers: [], models: [], callers: [] };

/** Shows every control with its value in the view. `onRefresh` reloads everything. */
export function showControls(onRefresh) {
  showRange(onRefresh);
  fill(
    byId("grouping"),
    segments({ idPrefix: "by", options: GROUPS, value: current().by, onchange: (by) => change({ by }) }),
  );
  fill(
    byId("outcomes"),
    segments({
      idPrefix: "outcome",
      options: OUTCOMES,
      value: current().outcome,
      onchange: (outcome) => change({ outcome }),
    }),
  );
  showFilters();
  showRequestFilters();
}

/** Sets the names that the drop-down lists offer. */
export function offerNames(found) {
  if (JSON.stringify(found) === JSON.stringify(names)) return;
  names = found;
  showFilters();
}

function showRange(onRefresh) {
  const view = current();
  // A time is typed part by part, and each part fires a change event.
  if (document.activeElement?.type === "datetime-local" && !isMoving(view)) return;
  fill(byId("controls"), [
    el("div", { class: "segments", role: "group", "aria-label": "Time range" }, ranges(view)),
    isMoving(view) ? null : customRange(view),
    select({ id: "refresh", label: "Refresh", options: REFRESH, value: view.refresh, onchange: (refresh) => change({ refresh }) }),
    el("button", { type: "button", id: "reload", "aria-label": "Refresh now", title: "Refresh now", onclick: onRefresh }, "↻"),
    el(
      "button",
      { type: "button", id: "theme", "aria-label": "Light or dark", title: "Light or dark", onclick: globalThis.theme.toggle },
      "◐",
    ),
  ]);
}

function ranges(view) {
  const choose = (range) => {
    // A custom range starts as the range that is shown.
    const { from, until } = bounds(view);
    const custom = { from: new Date(from).toISOString(), until: new Date(until).toISOString() };
    change({ range, ...(range === "custom" ? custom : { from: "", until: "" }) });
  };
  return segments({ idPrefix: "range", options: RANGES, value: view.range, onchange: choose });
}

function customRange(view) {
  const { from, until } = bounds(view);
  const input = (id, label, ms) =>
    el(
      "label",
      {},
      el("span", {}, label),
      el("input", {
        id,
        type: "datetime-local",
        value: asInput(ms),
        onchange: ({ target }) => target.value && change({ [id]: new Date(target.value).toISOString() }, REPLACE),
      }),
    );
  return el("div", { class: "custom", title: zone() }, input("from", "From", from), input("until", "Until", until));
}

function showFilters() {
  const view = current();
  fill(byId("filters"), [
    DIMENSIONS.map((name) =>
      select({
        id: `filter-${name}`,
        label: name,
        options: [["", "all"], ...names[`${name}s`].map((value) => [value, value])],
        value: view[name],
        onchange: (value) => change({ [name]: value }),
      }),
    ),
    isFiltered()
      ? el("button", { type: "button", id: "clear", onclick: () => change(withoutFilters()) }, "Clear filters")
      : null,
  ]);
}

function showRequestFilters() {
  fill(byId("request-filters"), [
    select({ id: "filter-status", label: "status", options: STATUSES, value: current().status, onchange: (status) => change({ status }) }),
    text("minLatencyMs", "took at least (ms)", { type: "number", min: "0", max: MAX_MS, step: "any", inputmode: "decimal" }),
    text("error", "error contains", { type: "search", maxlength: MAX_CHARS }),
    text("requestId", "request id", { type: "search", maxlength: MAX_CHARS }),
  ]);
}

function text(name, label, attributes) {
  const fault = el("span", { id: `filter-${name}-fault`, class: "fault", role: "alert" });
  const input = el("input", {
    id: `filter-${name}`,
    value: current()[name],
    autocomplete: "off",
    "aria-describedby": fault.id,
    onchange: ({ target }) => {
      fault.textContent = target.validationMessage;
      // What is no number reads as empty, and would clear the filter.
      if (target.validity.valid) change({ [name]: target.value.trim() });
    },
    ...attributes,
  });
  return el("label", {}, el("span", {}, label), input, fault);
}

for (const id of ["filters", "request-filters"]) byId(id).addEventListener("submit", (event) => event.preventDefault());
