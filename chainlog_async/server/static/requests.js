// The list of requests: newest first, page by page, with new ones on top while the live tail runs.

import { get } from "./api.js";
import { details } from "./details.js";
import { byId, el, fill } from "./dom.js";
import { count, duration, exactTime, minute, money, NOTHING, shortTime } from "./format.js";
import { change, current, isFiltered, withoutFilters } from "./state.js";
import { sign } from "./status.js";

const PAGE_ROWS = 50;
const MAX_ROWS = 1000;
const COLUMNS = [
  ["Time"],
  ["Chain"],
  ["Provider"],
  ["Model"],
  ["Caller"],
  ["Status"],
  ["Latency", "number"],
  ["Tokens", "number"],
  ["Cost", "number"],
  ["Attempts", "number"],
];

let asked = {};
let cursor = null;
let pages = 0;
let newestId = 0;
const body = el("tbody", { id: "request-rows" });
const foot = el("div", { class: "more" });

/** Loads the first page for these parameters, and the open request if it is not on that page. */
export async function loadRequests(parameters, signal) {
  const page = await get("v1/requests", { ...parameters, limit: PAGE_ROWS }, { signal });
  const open = current().open;
  const elsewhere = open && !page.requests.some(({ id }) => String(id) === open) ? await single(open, signal) : [];
  asked = parameters;
  pages = 1;
  newestId = Math.max(newestId, ...page.requests.map(({ id }) => id));
  build();
  fill(body, [...elsewhere, ...page.requests].flatMap(rowsOf));
  showFoot(page);
}

/** Returns whether the user has loaded more pages or opened a row, so that reloading would disturb. */
export function isBeingRead() {
  return pages > 1 || current().open !== "";
}

/** Returns the highest id on the list, from which the live tail continues. */
export function newest() {
  return newestId;
}

/** Adds new requests, given oldest first, on top of the list. */
export function prepend(requests) {
  const known = new Set([...body.children].map((row) => row.dataset.id));
  for (const request of requests) {
    newestId = Math.max(newestId, request.id);
    if (!known.has(String(request.id))) body.prepend(...rowsOf(request, "new"));
  }
  while (body.children.length > MAX_ROWS) body.lastChild.remove();
  if (body.children.length) byId("requests-empty")?.remove();
}

/** Opens the row that the view names, and closes all others. */
export function showOpen() {
  for (const row of [...body.querySelectorAll("tr[data-id]")]) {
    const button = row.querySelector("button");
    const open = row.dataset.id === current().open;
    if (open !== (button.getAttribute("aria-expanded") === "true")) {
      button.setAttribute("aria-expanded", String(open));
      row.nextElementSibling.hidden = !open;
    }
  }
}

async function single(id, signal) {
  try {
    return [await get(`v1/requests/${encodeURIComponent(id)}`, {}, { signal })];
  } catch (error) {
    if (error.status === 404 || error.status === 400) return []; // deleted since, or never existed
    throw error;
  }
}

function build() {
  if (body.isConnected) return;
  const head = COLUMNS.map(([name, kind]) => el("th", { scope: "col", class: kind }, name));
  const table = el("table", { class: "reflow list" }, el("thead", {}, el("tr", {}, head)), body);
  const region = { class: "panel scroll", tabindex: "0", role: "region", "aria-labelledby": "requests-title" };
  fill(byId("requests"), el("div", region, table), foot);
}

async function more() {
  byId("more").disabled = true;
  try {
    const page = await get("v1/requests", { ...asked, limit: PAGE_ROWS, cursor });
    pages += 1;
    body.append(...page.requests.flatMap((request) => rowsOf(request)));
    showFoot(page);
  } catch (error) {
    byId("more").disabled = false;
    byId("more-note").textContent = error.message;
  }
}

function showFoot({ nextCursor, searchedBackTo }) {
  cursor = nextCursor;
  const searched = searchedBackTo === null ? "" : `Searched back to ${minute(searchedBackTo)}.`;
  const text = searchedBackTo === null ? "Load more" : "Search further back";
  const empty = body.children.length === 0 && !nextCursor;
  fill(foot, [
    empty ? nothing() : null,
    el("p", { id: "more-note", class: "muted", role: "status" }, searched),
    nextCursor ? el("button", { type: "button", id: "more", onclick: more }, text) : null,
  ]);
}

function nothing() {
  const clear = el("button", { type: "button", onclick: () => change(withoutFilters()) }, "Clear the filters");
  const text = isFiltered() ? "No requests in this range match the filters. " : "There are no requests in this range.";
  return el("p", { class: "empty", id: "requests-empty" }, text, isFiltered() ? clear : null);
}

function rowsOf(request, kind = "") {
  const id = String(request.id);
  const open = id === current().open;
  const toggle = () => change({ open: current().open === id ? "" : id }, { keepInHistory: false });
  const button = el(
    "button",
    { type: "button", class: "link", id: `row-${id}`, "aria-expanded": String(open), "aria-controls": `details-${id}` },
    shortTime(request.timestamp),
  );
  const row = el("tr", { "data-id": id, class: `request ${typeof kind === "string" ? kind : ""}` }, cells(request, button));
  row.addEventListener("click", () => {
    if (getSelection().isCollapsed) toggle();
  });
  const content = el("td", { colspan: COLUMNS.length }, details(request));
  return [row, el("tr", { id: `details-${id}`, class: "details", hidden: !open }, content)];
}

function cells(request, button) {
  const label = (name, ...rest) => ({ "data-label": name, ...Object.assign({}, ...rest) });
  const first = request.ttftMs === null ? null : `first token after ${duration(request.ttftMs)}`;
  return [
    el("th", label("Time", { scope: "row", title: exactTime(request.timestamp) }), button),
    el("td", label("Chain", { class: "name" }), request.chainName),
    el("td", label("Provider", { class: "name" }), request.providerId),
    el("td", label("Model", { class: "name", title: request.model }), request.model),
    el("td", label("Caller", { class: "name" }), request.caller ?? NOTHING),
    el("td", label("Status", { title: request.errorMessage }), sign(request.httpStatus)),
    el("td", label("Latency", { class: "number", title: first }), duration(request.latencyMs)),
    el("td", label("Tokens", { class: "number" }), count(request.totalTokens)),
    el("td", label("Cost", { class: "number" }), money(request.costUsd)),
    el("td", label("Attempts", { class: request.attempts > 1 ? "number again" : "number" }), String(request.attempts)),
  ];
}
