// The list of requests: newest first, page by page, with new ones on top while the live tail runs.

import { get } from "../core/api.js";
import { byId, el, fill } from "../core/dom.js";
import { bounds } from "../core/ranges.js";
import { change, current, filterParameters, isFiltered, withoutFilters } from "../core/state.js";
import { minute } from "../core/times.js";
import { chooser, comparing, shownColumns, sortableHead } from "../tables/table.js";
import { showApart, showNoneApart } from "./apart.js";
import { COLUMNS } from "./columns.js";
import { details } from "./details.js";
import { showErrors } from "./errors.js";

const PAGE_ROWS = matchMedia("(max-width: 720px)").matches ? 20 : 50;
const MAX_ROWS = 1000;
const ID = "requests";
const NEWEST_FIRST = ["time", "desc"];

let asked = {};
let cursor = null;
let pages = 0;
let newestId = 0;
let listed = null;
let order = NEWEST_FIRST;
let known = new Map();
const head = el("tr");
const body = el("tbody", { id: "request-rows" });
const foot = el("div", { class: "more" });

/** Returns the place of the list, empty as yet. */
export function buildList() {
  listed = null;
  order = NEWEST_FIRST;
  fill(body);
  fill(foot);
  const table = el("table", { class: "reflow list", id: "request-list" }, el("thead", {}, head), body);
  const region = { class: "panel scroll", tabindex: "0", role: "region", "aria-label": "List of requests" };
  return [el("div", region, table), el("div", { id: "list-tools", class: "table-tools" }), foot];
}

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
  known = new Map(page.requests.map((request) => [String(request.id), request]));
  drawRows();
  showFoot(page);
  await settleOpen(signal);
  return null;
}

/** Returns the parameters of the list that is shown. */
export function askedFor() {
  return asked;
}

/** Returns whether the user has loaded more pages, sorted, or opened a row, so that reloading would disturb. */
export function isBeingRead() {
  return pages > 1 || current().open !== "" || order !== NEWEST_FIRST || isHeld();
}

/** Returns whether a row is open, selected, focused by keyboard or scrolled to, so that rows above it would move it. */
export function isHeld() {
  const selection = getSelection();
  const top = byId("request-list")?.getBoundingClientRect().top ?? 0;
  return (
    body.querySelector('[aria-expanded="true"], :focus-visible') !== null ||
    (!selection.isCollapsed && body.contains(selection.anchorNode)) ||
    top < document.querySelector(".top").getBoundingClientRect().bottom - 1
  );
}

/** Returns the highest id on the list, from which the live tail continues. */
export function newest() {
  return newestId;
}

/** Adds new requests to the list, each in its place: one that is logged late does not stand among the newest. */
export function add(requests) {
  const { from } = bounds(current());
  for (const request of requests) {
    newestId = Math.max(newestId, request.id);
    if (request.timestamp >= from && !known.has(String(request.id))) insert(request);
  }
  if (body.children.length > MAX_ROWS) cut();
  if (body.children.length) byId("requests-empty")?.remove();
  if (isListed(current().open)) showNoneApart();
  showErrors([...known.values()]);
}

function insert(request) {
  const next = [...body.querySelectorAll("tr[data-id]")].find(({ dataset }) => inOrder(request, known.get(dataset.id)) < 0);
  // What is older than the last row comes with the next page, if there is one.
  if (!next && cursor && order === NEWEST_FIRST) return;
  known.set(String(request.id), request);
  if (next) next.before(...rowsOf(request, "new"));
  else body.append(...rowsOf(request, "new"));
}

function inOrder(one, other) {
  const column = COLUMNS.find(({ key }) => key === order[0]);
  return comparing(column.value, order[1])(one, other) || other.id - one.id;
}

function drawRows() {
  const columns = shownColumns(ID, COLUMNS);
  fill(head, columns.map((column) => headCell(column)));
  fill(body, [...known.values()].sort(inOrder).flatMap((request) => rowsOf(request)));
  const sorted = order === NEWEST_FIRST ? null : el("span", { id: "sorted-note", class: "muted" }, `Sorted among the ${known.size} requests that are loaded.`);
  fill(byId("list-tools"), sorted, chooser(ID, COLUMNS, drawRows));
  showErrors([...known.values()]);
}

function headCell(column) {
  const isSorted = order[0] === column.key;
  const turn = () => {
    const first = column.number || column.key === "time" ? "desc" : "asc";
    const direction = isSorted && order[1] === first ? (first === "desc" ? "asc" : "desc") : first;
    order = column.key === "time" && direction === "desc" ? NEWEST_FIRST : [column.key, direction];
    drawRows();
  };
  return sortableHead({ id: `sort-${column.key}`, column, direction: isSorted ? order[1] : null, onclick: turn });
}

/** Opens the row that the view names, and closes all others. */
export function showOpen() {
  const { open } = current();
  if (!open || isListed(open)) showNoneApart();
  listed = viewOfList();
  for (const row of [...body.querySelectorAll("tr[data-id]")]) {
    const button = row.querySelector("[aria-expanded]");
    const isOpen = row.dataset.id === open;
    if (isOpen === (button.getAttribute("aria-expanded") === "true")) continue;
    button.setAttribute("aria-expanded", String(isOpen));
    row.nextElementSibling.hidden = !isOpen;
    if (isOpen) showDetails(row.nextElementSibling, known.get(open));
  }
}

// Details are made when they are first looked at: a page of rows would make fifty of them for nothing.
function showDetails(row, request) {
  if (!row.firstChild.children.length) fill(row.firstChild, details(request));
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
  const { range, from, until, open } = current();
  return { open, shows: JSON.stringify([range, from, until, filterParameters({ requests: true })]) };
}

function isListed(id) {
  return known.has(id);
}

// The rows that are loaded next would not follow the ones that remain.
function cut() {
  while (body.children.length > MAX_ROWS) {
    known.delete(body.lastChild.previousSibling.dataset.id);
    body.lastChild.remove();
    body.lastChild.remove();
  }
  cursor = null;
  fill(foot, el("p", { id: "more-note", class: "muted" }, `Only the newest ${MAX_ROWS / 2} are kept here. Refresh to load older ones.`));
}

function showRefused({ message, parameter }) {
  fill(body);
  known = new Map();
  cursor = null;
  const field = parameter && byId(`chip-${parameter}`);
  field?.setAttribute("aria-invalid", "true");
  field?.setAttribute("aria-describedby", "requests-refused");
  fill(foot, el("p", { class: "empty message", id: "requests-refused" }, `The requests cannot be listed: ${message}`));
}

async function more() {
  byId("more").disabled = true;
  try {
    const page = await get("v1/requests", { ...asked, limit: PAGE_ROWS, cursor });
    pages += 1;
    for (const request of page.requests) known.set(String(request.id), request);
    if (order === NEWEST_FIRST) body.append(...page.requests.flatMap((request) => rowsOf(request)));
    else drawRows();
    if (isListed(current().open)) showNoneApart();
    showErrors([...known.values()]);
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
  const isOpen = id === current().open;
  const columns = shownColumns(ID, COLUMNS);
  const row = el("tr", { "data-id": id, class: `request ${kind}` }, columns.map((column, at) => cell(column, request, at === 0 ? isOpen : null)));
  row.addEventListener("click", () => {
    if (getSelection().isCollapsed) change({ open: current().open === id ? "" : id }, { keepInHistory: false });
  });
  const detail = el("tr", { id: `details-${id}`, class: "details", hidden: !isOpen }, el("td", { colspan: columns.length }));
  if (isOpen) showDetails(detail, request);
  return [row, detail];
}

function cell(column, request, isOpen) {
  const classes = [column.number ? "number" : "", column.class ?? "", column.tone?.(request) ?? ""].join(" ").trim();
  const attributes = { "data-label": column.title, class: classes || null, title: column.hint?.(request) };
  if (isOpen === null) return el("td", attributes, column.cell(request));
  const id = request.id;
  const expands = { type: "button", class: "link", id: `row-${id}`, "aria-expanded": String(isOpen), "aria-controls": `details-${id}` };
  return el("th", { ...attributes, scope: "row" }, el("button", expands, column.cell(request)));
}
