// Notices: what to do when there is nothing to show, or something is wrong.

import { byId, el, fill } from "../core/dom.js";
import { viewLink } from "../core/links.js";
import { customRange } from "../core/ranges.js";
import { change, current, isFilter, isFiltered, withoutFilters } from "../core/state.js";
import { minute } from "../core/times.js";

const RETRIES = " This page retries automatically.";
const LAST_DAY = { range: "24h", from: "", until: "" };

/** Shows an error with its remedy; the button calls `retry` where that can help. */
export function showError(error, retry) {
  const again = ["Try again", retry];
  const notices = {
    key: ["This service needs an API key", "Without one there are no figures to show.", ["Enter a key", retry]],
    offline: ["The service cannot be reached", offlineRemedy(error), again],
    refused: ["The service returned an error", `${error.message}${error.status >= 500 ? RETRIES : ""}`, again],
  };
  const [title, text, remedy] =
    error.status === 400
      ? ["The service refused what the page asked for", error.message, wayOut(error.parameter)]
      : (notices[error.kind] ?? ["This page has failed", String(error), again]);
  showFault(title, text, remedy);
}

/** Shows what is wrong with the chosen range, and its remedy. */
export function showRangeProblem({ title, text, remedy }) {
  showFault(title, text, remedy ? ["Swap them", () => change(remedy)] : ["Show the last 24 hours", () => change(LAST_DAY)]);
}

// Asking once more would be refused once more: what was asked for has to change.
function wayOut(parameter) {
  if (isFilter(parameter) && current()[parameter]) {
    return ["Clear this filter", () => change(withoutFilters([parameter]))];
  }
  return isFiltered()
    ? ["Clear the filters", () => change(withoutFilters())]
    : ["Show the last 24 hours", () => change(LAST_DAY)];
}

function showFault(title, text, [name, onclick]) {
  const button = el("button", { type: "button", id: "retry", class: "primary", onclick }, name);
  show("bad", title, [el("p", { class: "message" }, text), button]);
}

/** Shows that nothing is in the range, and where the newest request is. */
export function showEmptyRange(newest) {
  const day = 86_400_000;
  show("", "No requests in this range", [
    el("p", {}, `The newest request is of ${minute(newest)}.`),
    el("div", { class: "buttons" }, [
      viewLink(customRange(newest - day, newest + 60_000), { class: "button", id: "show-newest" }, "Show its day"),
      viewLink({ range: "all", from: "", until: "" }, { class: "button", id: "show-all" }, "Show all"),
    ]),
  ]);
}

/** Removes the notice. */
export function showNothing() {
  fill(byId("notices"));
}

function offlineRemedy(error) {
  return `${error.message} Is chainlog serve still running?${RETRIES}`;
}

/** Shows a notice with a title and content. */
export function show(tone, title, content) {
  fill(byId("notices"), el("section", { class: `notice ${tone}` }, el("h2", {}, title), content));
}
