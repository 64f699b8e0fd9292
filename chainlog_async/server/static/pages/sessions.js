// Sessions: conversations of several requests, the one with the newest request first.

import { get } from "../core/api.js";
import { byId, el, fill } from "../core/dom.js";
import { count, duration, money, share } from "../core/format.js";
import { viewLink } from "../core/links.js";
import { ago, exactTime, minute, shortTime } from "../core/times.js";
import { nameButton } from "../tables/names.js";
import { showTable } from "../tables/table.js";
import { section } from "./parts.js";

const PAGE_ROWS = 50;

let rows = [];

export const sessions = {
  applies: { names: false, requests: false },

  build() {
    return section("Sessions", "sessions", el("p", { id: "sessions-note", class: "muted" }), el("div", { id: "sessions" }), el("div", { id: "sessions-more", class: "more" }));
  },

  async load({ ask, range, view }) {
    // The service can narrow sessions to one caller.
    const asked = { ...range, caller: view.caller.length === 1 ? view.caller[0] : "", limit: PAGE_ROWS };
    return { asked, page: await ask("v1/sessions", asked) };
  },

  async show({ asked, page }) {
    rows = page.sessions;
    byId("sessions-note").textContent = "By their newest request; of the filters, one caller applies.";
    draw(asked, page);
  },
};

function draw(asked, { nextCursor, searchedBackTo }) {
  showTable(byId("sessions"), { id: "session-list", label: "Sessions", columns: COLUMNS, rows, sort: ["last", "desc"], empty: "No request in this range has a session." });
  const more = async () => {
    const next = await get("v1/sessions", { ...asked, cursor: nextCursor });
    rows = [...rows, ...next.sessions];
    draw(asked, next);
  };
  const searched = searchedBackTo === null ? null : el("p", { class: "muted" }, `Searched back to ${minute(searchedBackTo)}.`);
  fill(byId("sessions-more"), searched, nextCursor ? el("button", { type: "button", id: "more-sessions", onclick: more }, "Load more") : null);
}

const COLUMNS = [
  { key: "session", title: "Session", value: (row) => row.sessionId, cell: (row) => toRequests(row, row.sessionId, {}) },
  { key: "caller", title: "Caller", value: (row) => row.caller, cell: (row) => nameButton("caller", row.caller) },
  number("requests", "Requests", (row) => row.requests, (value, row) => toRequests(row, count(value), {})),
  number("errors", "Errors", (row) => row.errors, (value, row) => (value ? toRequests(row, count(value), { status: "errors" }) : count(value))),
  number("tokens", "Tokens", (row) => row.totalTokens, count),
  number("cached", "Cached", (row) => row.cachedShare, share),
  number("cost", "Cost", (row) => row.costUsd, money),
  number("latency", "Time in requests", (row) => row.latencyMs, duration),
  { key: "first", title: "First", value: (row) => row.firstAt, cell: (row) => time(row.firstAt, shortTime(row.firstAt)) },
  { key: "last", title: "Last", value: (row) => row.lastAt, cell: (row) => time(row.lastAt, ago(row.lastAt)) },
  { key: "models", title: "Models", value: (row) => row.models.join(", "), cell: (row) => row.models.join(", "), class: "name" },
];

function number(key, title, value, format) {
  return { key, title, number: true, value, cell: (row) => format(value(row), row) };
}

// A session may have begun before the range.
function toRequests({ sessionId }, text, filters) {
  return viewLink({ page: "requests", session: sessionId, range: "all", from: "", until: "", ...filters }, { title: "show the requests of this session" }, text);
}

function time(ms, text) {
  return el("span", { title: exactTime(ms) }, text);
}
