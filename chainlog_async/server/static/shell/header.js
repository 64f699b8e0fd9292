// The header: pages, range, refresh interval, zone and theme, always in sight.

import { key, signOut } from "../core/key.js";
import { byId, el, fill, segments, select } from "../core/dom.js";
import { viewLink } from "../core/links.js";
import { bounds, customRange, isMoving } from "../core/ranges.js";
import { change, current, PAGES, RANGES, REFRESH } from "../core/state.js";
import { asInput, localZone, ofInput, zone } from "../core/times.js";

const REPLACE = { keepInHistory: false };
const ZONES = [
  ["", "Local time"],
  ["utc", "UTC"],
];

/** Shows every control with its value in the view. `onRefresh` reloads everything. */
export function showHeader(onRefresh) {
  const view = current();
  fill(byId("nav"), PAGES.map(([page, name]) => pageLink(page, name, view)));
  showTools(view);
  showControls(view, onRefresh);
}

function pageLink(page, name, view) {
  const here = page === view.page;
  const mark = page === "health" ? el("span", { id: "health-dot", class: "dot" }) : null;
  return viewLink({ page, open: "", live: "" }, { id: `page-${page}`, "aria-current": here ? "page" : null }, name, mark);
}

function showTools(view) {
  fill(byId("tools"), [
    select({ id: "zone", label: "Times in", options: ZONES, value: view.zone, onchange: (zone) => change({ zone }) }),
    el(
      "button",
      { type: "button", id: "theme", "aria-label": "Light or dark", title: "Light or dark", onclick: globalThis.theme.toggle },
      "◐",
    ),
    key() ? el("button", { type: "button", id: "sign-out", onclick: leave }, "Sign out") : null,
  ]);
  byId("zone").title = localZone();
}

function leave() {
  signOut();
  location.reload();
}

function showControls(view, onRefresh) {
  // A time is typed part by part, and each part fires a change event.
  if (document.activeElement?.type === "datetime-local" && !isMoving(view)) return;
  fill(byId("controls"), [
    el("div", { class: "segments ranges", role: "group", "aria-label": "Time range" }, ranges(view)),
    view.range === "custom" ? customInputs(view) : null,
    select({ id: "refresh", label: "Refresh", options: REFRESH, value: view.refresh, onchange: (refresh) => change({ refresh }) }),
    el("button", { type: "button", id: "reload", "aria-label": "Refresh now", title: "Refresh now", onclick: onRefresh }, "↻"),
  ]);
}

function ranges(view) {
  const choose = (range) => {
    // A custom range starts as the range that is shown.
    const { from, until } = bounds(view);
    change(range === "custom" ? customRange(from, until) : { range, from: "", until: "" });
  };
  return segments({ idPrefix: "range", options: RANGES, value: view.range, onchange: choose });
}

function customInputs(view) {
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
        onchange: ({ target }) => target.value && change({ [id]: new Date(ofInput(target.value)).toISOString() }, REPLACE),
      }),
    );
  return el("div", { class: "custom", title: zone() }, input("from", "From", from), input("until", "Until", until));
}
