// The list of requests: newest first, page by page, with new ones on top while the live tail runs.

import { get } from "../core/api.js";
import { showApart, showNoneApart } from "./apart.js";
import { details } from "./details.js";
import { byId, el, fill } from "../core/dom.js";
import { count, duration, exactTime, minute, money, NOTHING, shortTime } from "../core/format.js";
import { bounds } from "../core/ranges.js";
import { change, current, DIMENSIONS, isFiltered, REQUEST_FILTERS, withoutFilters } from "../core/state.js";
import { brokeOff, sign } from "./status.js";

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
let listed = null;
const body = el("tbody", { id: "request-rows" });
const foot = el("div", { class: "more" });

/**
 * Loads the first page for these parameters, and the open request if it is not on that page. Returns null, or the error
 * when the service refuses the parameters.
 */
export async function loadRequests(parameters, signal) {
  let page;
  try {
    page = await get("v1/requests", { ...parameters, limit: PAGE_ROWS }, { signal });
  } catch (error) {
    if (error.status !== 400) throw error;
    showRefused(error);
    return error;
  }
  asked = parameters;
  pages = 1;
  newestId = Math.max(newestId, ...page.requests.map(({ id }) => id));
  build();
  fill(body, page.requests.flatMap((request) => rowsOf(request)));
  showFoot(page);
  await settleOpen(signal);
  return null;
}

/** Returns whether the user has loaded more pages or opened a row, so that reloading would disturb. */
export function isBeingRead() {
  return pages > 1 || current().open !== "" || isHeld();
}

/** Returns whether a row is open, selected, focused by keyboard or scrolled to, so that rows above it would move it. */
export function isHeld() {
  const selection = getSelection();
  return (
    body.querySelector('[aria-expanded="true"], :focus-visible') !== null ||
    (!selection.isCollapsed && body.contains(selection.anchorNode)) ||
    (body.firstElementChild?.getBoundingClientRect().top ?? 0) < 0
  );
}

/** Returns the highest id on the list, from which the live tail continues. */
export function newest() {
  return newestId;
}

/** Adds new requests to the list, each in its place: one that is logged late does not stand among the newest. */
export function add(requests) {
  const { from } = bounds(current());
  const known = new Set([...body.children].map((row) => row.dataset.id));
  for (const request of requests) {
    newestId = Math.max(newestId, request.id);
    if (request.timestamp >= from && !known.has(String(request.id))) insert(request);
  }
  if (body.children.length > MAX_ROWS) cut();
  if (body.children.length) byId("requests-empty")?.remove();
  if (isListed(current().open)) showNoneApart();
}

function insert(request) {
  const { id, timestamp } = request;
  const isOlder = ({ dataset }) => Number(dataset.at) < timestamp || (Number(dataset.at) === timestamp && Number(dataset.id) < id);
  const next = [...body.querySelectorAll("tr[data-id]")].find(isOlder);
  // What is older than the last row comes with the next page, if there is one.
  if (next) next.before(...rowsOf(request, "new"));
  else if (!cursor) body.append(...rowsOf(request, "new"));
}

/** Opens the row that the view names, and closes all others. */
export function showOpen() {
  const { open } = current();
  if (!open || isListed(open)) showNoneApart();
  listed = viewOfList();
  for (const row of [...body.querySelectorAll("tr[data-id]")]) {
    const button = row.querySelector("button");
    const open = row.dataset.id === current().open;
    if (open !== (button.getAttribute("aria-expanded") === "true")) {
      button.setAttribute("aria-expanded", String(open));
      row.nextElementSibling.hidden = !open;
    }
  }
}

// A row that was open when the filters or the range changed, and is not on the new list, is closed. One that a link opens
// is shown apart from it.
async function settleOpen(signal) {
  const { open } = current();
  const before = listed;
  listed = viewOfList();
  if (!open || isListed(open)) showNoneApart();
  else if (before !== null && before.open === open && before.shows !== listed.shows) change({ open: "" }, { keepInHistory: false });
  else await showApart(open, asked, signal);
}

function viewOfList() {
  const view = current();
  const shows = ["range", "from", "until", ...DIMENSIONS, ...REQUEST_FILTERS].map((name) => view[name]);
  return { open: view.open, shows: JSON.stringify(shows) };
}

function isListed(id) {
  return [...body.children].some((row) => row.dataset.id === id);
}

// The rows that are loaded next would not follow the ones that remain.
function cut() {
  while (body.children.length > MAX_ROWS) body.lastChild.remove();
  cursor = null;
  fill(foot, el("p", { id: "more-note", class: "muted" }, `Only the newest ${MAX_ROWS / 2} are kept here. Refresh to load older ones.`));
}

function build() {
  if (body.isConnected) return;
  const head = COLUMNS.map(([name, kind]) => el("th", { scope: "col", class: kind }, name));
  const table = el("table", { class: "reflow list" }, el("thead", {}, el("tr", {}, head)), body);
  const region = { class: "panel scroll", tabindex: "0", role: "region", "aria-labelledby": "requests-title" };
  fill(byId("requests"), el("div", region, table), foot);
}

function showRefused({ message, parameter }) {
  build();
  fill(body);
  cursor = null;
  const field = parameter && byId(`filter-${parameter}`);
  field?.setAttribute("aria-invalid", "true");
  field?.setAttribute("aria-describedby", "requests-refused");
  fill(foot, el("p", { class: "empty message", id: "requests-refused" }, `The requests cannot be listed: ${message}`));
}

async function more() {
  byId("more").disabled = true;
  try {
    const page = await get("v1/requests", { ...asked, limit: PAGE_ROWS, cursor });
    pages += 1;
    body.append(...page.requests.flatMap((request) => rowsOf(request)));
    if (isListed(current().open)) showNoneApart();
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
  const row = el("tr", { "data-id": id, "data-at": request.timestamp, class: `request ${kind}` }, cells(request, button));
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
    el("td", label("Chain", { class: "name", title: request.chainName }), request.chainName),
    el("td", label("Provider", { class: "name", title: request.providerId }), request.providerId),
    el("td", label("Model", { class: "name", title: request.model }), request.model),
    el("td", label("Caller", { class: "name", title: request.caller }), request.caller ?? NOTHING),
    el("td", label("Status", { title: request.errorMessage }), sign(request.httpStatus, brokeOff(request))),
    el("td", label("Latency", { class: "number", title: first }), duration(request.latencyMs)),
    el("td", label("Tokens", { class: "number" }), count(request.totalTokens)),
    el("td", label("Cost", { class: "number" }), money(request.costUsd)),
    el("td", label("Attempts", { class: request.attempts > 1 ? "number again" : "number" }), String(request.attempts)),
  ];
}
