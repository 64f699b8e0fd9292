// The filters in the header: what is set, each with a way to turn it round or take it away, and a search.

import { byId, el, fill } from "../core/dom.js";
import { label } from "../core/format.js";
import { change, current, dropping, isFiltered, pickedNames, picking, REQUEST_FILTERS, withoutFilters } from "../core/state.js";
import { togglePanel } from "./filter_panel.js";

const MAX_CHARS = 1000;
const WORDS = {
  status: "status",
  error: "error has",
  requestId: "request id",
  session: "session",
  tag: "tag",
  minLatencyMs: "latency ≥ ms",
  maxLatencyMs: "latency ≤ ms",
  minTokens: "tokens ≥",
  maxTokens: "tokens ≤",
  minCostUsd: "cost ≥ $",
  maxCostUsd: "cost ≤ $",
  minAttempts: "attempts ≥",
  maxAttempts: "attempts ≤",
};

/** Shows the filters of the view. Those that `page` cannot apply look faint, and say so. */
export function showFilters({ names, requests, tags = false }) {
  const view = current();
  const picked = pickedNames();
  const others = REQUEST_FILTERS.filter((name) => name !== "search" && view[name]);
  const number = picked.length + others.length;
  fill(byId("filters"), [
    search(view),
    el(
      "button",
      { type: "button", id: "filter-button", "aria-haspopup": "dialog", onclick: togglePanel },
      number ? `Filter (${number})` : "Filter",
    ),
    el("ul", { class: "chips", "aria-label": "Filters that are set" }, [
      ...picked.map((one) => nameChip(one, names)),
      ...others.map((name) => valueChip(name, view[name], requests || (name === "tag" && tags))),
    ]),
    isFiltered()
      ? el("button", { type: "button", id: "clear", class: "quiet", onclick: () => change(withoutFilters()) }, "Clear")
      : null,
  ]);
}

function search(view) {
  const input = el("input", {
    id: "search",
    type: "search",
    value: view.search,
    maxlength: MAX_CHARS,
    placeholder: "Search requests  /",
    "aria-label": "Search names, errors, ids and metadata of requests",
    autocomplete: "off",
    onchange: ({ target }) => change({ search: target.value.trim(), page: "requests" }),
  });
  return input;
}

function nameChip({ name, value, isExcluded }, applies) {
  const shown = value === "" ? "none" : value;
  const turn = () => change(picking(name, value, { isExcluded: !isExcluded }));
  return chip(
    { id: `${name}-${value}`, title: `${name} ${isExcluded ? "is not" : "is"} ${shown}. Press to turn it round.`, applies, onclick: turn },
    [el("span", { class: "muted" }, `${name} ${isExcluded ? "≠" : "="} `), label(shown, 24)],
    `Remove the filter ${name} ${shown}`,
    () => change(dropping(name, value)),
  );
}

function valueChip(name, value, applies) {
  return chip(
    { id: name, title: `${WORDS[name]} ${value}`, applies, onclick: togglePanel },
    [el("span", { class: "muted" }, `${WORDS[name]} `), label(value, 24)],
    `Remove the filter ${WORDS[name]} ${value}`,
    () => change(withoutFilters([name])),
  );
}

function chip({ id, title, applies, onclick }, text, removal, remove) {
  const note = applies ? title : `${title} This page cannot apply it.`;
  return el(
    "li",
    { class: applies ? "chip" : "chip faint" },
    el("button", { type: "button", id: `chip-${id}`, title: note, onclick }, text),
    el("button", { type: "button", id: `drop-${id}`, "aria-label": removal, onclick: remove }, "×"),
  );
}
