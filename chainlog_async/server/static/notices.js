// Notices: what to do when there is nothing to show, or something is wrong.

import { base } from "./api.js";
import { byId, el, fill } from "./dom.js";

/** Shows an error with its remedy; the button calls `retry`. */
export function showError(error, retry) {
  const notices = {
    key: ["This service needs an API key", "Without one there are no figures to show.", "Enter a key"],
    offline: ["The service cannot be reached", offlineRemedy(error), "Try again"],
    refused: ["The service returned an error", error.message, "Try again"],
  };
  const [title, text, button] = notices[error.kind] ?? ["This page has failed", String(error), "Try again"];
  show("bad", title, [
    el("p", {}, text),
    el("button", { type: "button", id: "retry", class: "primary", onclick: retry }, button),
  ]);
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
  return `${error.message} Is chainlog serve still running? This page retries automatically.`;
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
