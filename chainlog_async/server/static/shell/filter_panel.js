// The panel of all filters, and the saved views.

import { byId, el, fill, select } from "../core/dom.js";
import { change, current, DIMENSIONS, dropping, pickedNames, picking, STATUSES } from "../core/state.js";
import { savedViews } from "./saved_views.js";

// What the service accepts.
const MAX_NUMBER = 1_000_000_000_000;
const MAX_CHARS = 1000;
const MANY = 8;

let names = { chains: [], providers: [], models: [], callers: [] };
const lookedFor = {};

/** Sets the names that the panel offers. */
export function offerNames(found) {
  if (JSON.stringify(found) === JSON.stringify(names)) return;
  names = found;
  showPanel();
}

/** Opens or closes the panel. */
export function togglePanel() {
  showPanel({ anyway: true });
  byId("filter-panel").togglePopover();
}

/** Shows the panel with the values of the view. */
export function showPanel({ anyway = false } = {}) {
  const panel = byId("filter-panel");
  if (!anyway && !panel.matches(":popover-open")) return;
  fill(
    panel,
    el("div", { class: "panel-head" }, el("h2", {}, "Filters"), closeButton()),
    el("div", { class: "filter-columns" }, DIMENSIONS.map(nameList)),
    el("h3", {}, "Single requests"),
    el("div", { class: "filter-fields" }, requestFields()),
    savedViews(() => showPanel()),
  );
}

function closeButton() {
  return el("button", { type: "button", class: "quiet", onclick: () => byId("filter-panel").hidePopover() }, "Close");
}

function nameList(name) {
  const picked = pickedNames().filter((one) => one.name === name);
  const offered = [...new Set([...picked.map(({ value }) => value), ...names[`${name}s`]])];
  const rows = offered.map((value) => nameRow(name, value, picked.find((one) => one.value === value)));
  const list = el("div", { class: "name-list" }, rows);
  return el("fieldset", {}, el("legend", {}, name), offered.length > MANY ? finder(name, list) : null, list);
}

function finder(name, list) {
  const narrow = (text) => {
    lookedFor[name] = text;
    for (const row of list.children) row.hidden = !row.title.toLowerCase().includes(text.toLowerCase());
  };
  narrow(lookedFor[name] ?? "");
  return el("input", {
    id: `find-${name}`,
    type: "search",
    value: lookedFor[name] ?? "",
    "aria-label": `Find a ${name}`,
    placeholder: "Find",
    oninput: ({ target }) => narrow(target.value),
  });
}

function nameRow(name, value, picked) {
  const shown = value === "" ? "(none)" : value;
  const press = (isExcluded) => () =>
    change(picked?.isExcluded === isExcluded ? dropping(name, value) : picking(name, value, { isExcluded }));
  const button = (text, isExcluded, word) =>
    el(
      "button",
      {
        type: "button",
        id: `${isExcluded ? "not" : "is"}-${name}-${value}`,
        class: "quiet",
        "aria-pressed": String(picked?.isExcluded === isExcluded),
        "aria-label": `${name} ${word} ${shown}`,
        onclick: press(isExcluded),
      },
      text,
    );
  return el(
    "div",
    { class: "name-row", title: shown },
    button("is", false, "is"),
    button("not", true, "is not"),
    el("span", { class: "name" }, shown),
  );
}

function requestFields() {
  const number = { type: "number", min: "0", max: MAX_NUMBER, step: "any", inputmode: "decimal" };
  const whole = { ...number, step: "1" };
  const text = { type: "search", maxlength: MAX_CHARS };
  return [
    select({ id: "filter-status", label: "status", options: STATUSES, value: current().status, onchange: (status) => change({ status }) }),
    field("error", "error contains", text),
    field("requestId", "request id", text),
    field("session", "session", text),
    field("tag", "tag (key:value)", { ...text, pattern: "[^:]+:.+" }),
    field("minLatencyMs", "took at least (ms)", number),
    field("maxLatencyMs", "took at most (ms)", number),
    field("minTokens", "tokens at least", whole),
    field("maxTokens", "tokens at most", whole),
    field("minCostUsd", "cost at least ($)", number),
    field("maxCostUsd", "cost at most ($)", number),
    field("minAttempts", "attempts at least", whole),
    field("maxAttempts", "attempts at most", whole),
  ];
}

function field(name, label, attributes) {
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
