// What an empty log shows: three ways to send the first request.

import { base } from "../core/api.js";
import { copyButton } from "../core/copy.js";
import { el } from "../core/dom.js";
import { show } from "./notices.js";

/** Shows how to send the first request. */
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
  const file = "chainlog import requests.jsonl --db chainlog.db";
  show("", "No request has been logged yet", [
    el("p", {}, "Send the first one, and it appears here within moments: this page looks every second. From any language:"),
    snippet("curl", curl),
    el("p", {}, "From within a Python gateway, with the same ", el("code", {}, "db_path"), ":"),
    snippet("python", python),
    el("p", {}, "From a file: CSV, JSON lines or Parquet, also of another program; ", el("code", {}, "--help"), " has the rest:"),
    snippet("import", file),
    el("p", {}, "If API keys are set, add ", el("code", {}, "-H 'Authorization: Bearer KEY'"), " to curl."),
  ]);
}

function snippet(name, text) {
  const button = copyButton("Copy", () => text, { "aria-label": `Copy the ${name} example` });
  return el("div", { class: "snippet", id: `first-${name}` }, el("pre", { tabindex: "0" }, text), button);
}
