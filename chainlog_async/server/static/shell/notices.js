// Notices: what to do when there is nothing to show, or something is wrong.

import { base } from "../core/api.js";
import { byId, el, fill } from "../core/dom.js";
import { change, current, isFilter, isFiltered, withoutFilters } from "../core/state.js";

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

/** Shows how to send the first entry, while the log is empty. */
export function showFirstSteps() {
  const url = base().href;
  const entry = '{"chainName": "default", "providerId": "groq", "model": "llama-3.1-8b", "latencyMs": 412, "httpStatus": 200}';
  const curl = `curl -X POST ${url}v1/logs -d '${entry}'`;
  const python = [
    "from chainlog_async import ChainLog, RequestLogEntry, Settings",
    "",
    "async with ChainLog(Settings()) as chainlog:",
    '    chainlog.log_request(RequestLogEntry(chain_name="default", provider_id="groq", model="llama-3.1-8b",',
    "                                         latency_ms=412, http_status=200))",
  ].join("\n");
  show("", "No request has been logged yet", [
    el("p", {}, "Send the first one, and it appears here within moments. From any language:"),
    snippet("curl", curl),
    el("p", {}, "From within a Python gateway, with the same ", el("code", {}, "db_path"), ":"),
    snippet("python", python),
    el("p", {}, "If API keys are set, add ", el("code", {}, "-H 'Authorization: Bearer KEY'"), " to curl."),
  ]);
}

/** Removes the notice. */
export function showNothing() {
  fill(byId("notices"));
}

function offlineRemedy(error) {
  return `${error.message} Is chainlog serve still running?${RETRIES}`;
}

function show(tone, title, content) {
  fill(byId("notices"), el("section", { class: `notice ${tone}` }, el("h2", {}, title), content));
}

function snippet(name, text) {
  const button = el("button", { type: "button", class: "quiet" }, "Copy");
  button.setAttribute("aria-label", `Copy the ${name} example`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
  return el("div", { class: "snippet", id: `first-${name}` }, el("pre", { tabindex: "0" }, text), button);
}
