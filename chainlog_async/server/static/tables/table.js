// A table that can be sorted, of which columns are chosen, and that can be saved as a file.

import { saveFile } from "../core/copy.js";
import { byId, el, fill } from "../core/dom.js";
import { store, stored } from "../core/stored.js";

const sorted = new Map();

/**
 * Shows rows in `place`. A column is `{key, title, cell(row), value(row), number, hidden}`: `cell` returns content, `value`
 * what is sorted by and saved. `sort` is `[key, "desc"]`. The first column heads its row.
 */
export function showTable(place, { id, label, columns, rows, sort = null, empty = "Nothing in this range." }) {
  const again = () => showTable(place, { id, label, columns, rows, sort, empty });
  const shown = shownColumns(id, columns);
  const order = sorted.get(id) ?? sort;
  const all = inOrder(rows, columns, order);
  const head = shown.map((column) => headCell(id, column, order, again));
  const body = all.map((row) => el("tr", {}, shown.map((column, at) => bodyCell(column, row, at))));
  const table = el("table", { class: "reflow", id }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body));
  const region = { class: "panel scroll", tabindex: "0", role: "region", "aria-label": `${label}: table` };
  fill(
    place,
    el("div", region, rows.length ? table : el("p", { class: "empty" }, empty)),
    rows.length ? el("div", { class: "table-tools" }, chooser(id, columns, again), savers(id, shown, all)) : null,
  );
}

/** Returns the columns that the user has chosen to see. */
export function shownColumns(id, columns) {
  const chosen = stored(`columns-${id}`, null);
  return columns.filter(({ key, hidden }, at) => at === 0 || (chosen ? chosen.includes(key) : !hidden));
}

function inOrder(rows, columns, order) {
  if (!order) return rows;
  const column = columns.find(({ key }) => key === order[0]);
  return rows.toSorted(comparing(column.value, order[1]));
}

/** Returns a comparison by a value of the rows; what has none comes last. */
export function comparing(value, direction) {
  const sign = direction === "desc" ? -1 : 1;
  return (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === b) return 0;
    if (a === null || a === undefined) return 1;
    if (b === null || b === undefined) return -1;
    return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
  };
}

function headCell(id, column, order, again) {
  const isSorted = order?.[0] === column.key;
  const direction = isSorted ? order[1] : null;
  const turn = () => {
    const first = column.number ? "desc" : "asc";
    sorted.set(id, [column.key, direction === first ? (first === "desc" ? "asc" : "desc") : first]);
    again();
  };
  return sortableHead({ id: `sort-${id}-${column.key}`, column, direction, onclick: turn });
}

/** Returns the head of a column with the button that sorts by it. */
export function sortableHead({ id, column, direction, onclick }) {
  const arrow = direction === "desc" ? " ↓" : direction === "asc" ? " ↑" : "";
  const aria = direction === "desc" ? "descending" : direction === "asc" ? "ascending" : null;
  return el(
    "th",
    { scope: "col", class: column.number ? "number" : null, "aria-sort": aria },
    el("button", { type: "button", class: "sort", id, onclick }, `${column.title}${arrow}`),
  );
}

function bodyCell(column, row, at) {
  const attributes = { "data-label": column.title, class: [column.number ? "number" : "", column.class ?? "", column.isMinor ? "minor" : ""].join(" ").trim() || null };
  return el(at === 0 ? "th" : "td", at === 0 ? { ...attributes, scope: "row" } : attributes, column.cell(row));
}

/** Returns the button that opens the choice of columns. */
export function chooser(id, columns, onChange) {
  const panel = el("div", { id: `columns-${id}`, class: "panel column-panel", popover: true });
  const draw = () => {
    const shown = shownColumns(id, columns).map(({ key }) => key);
    fill(
      panel,
      columns.slice(1).map(({ key, title }) => {
        const choose = ({ target }) => {
          store(`columns-${id}`, target.checked ? [...shown, key] : shown.filter((one) => one !== key));
          onChange();
          byId(panel.id).showPopover();
          byId(target.id).focus();
        };
        const box = el("input", { type: "checkbox", id: `column-${id}-${key}`, checked: shown.includes(key), onchange: choose });
        return el("label", {}, box, title);
      }),
    );
  };
  draw();
  const button = el("button", { type: "button", class: "quiet" }, "Columns");
  button.addEventListener("click", () => panel.togglePopover());
  return el("span", {}, button, panel);
}

function savers(id, columns, rows) {
  const values = () => rows.map((row) => Object.fromEntries(columns.map(({ title, value }) => [title, value(row) ?? null])));
  return [
    saver("CSV", () => saveFile(`${id}.csv`, csv(values(), columns), "text/csv")),
    saver("JSON lines", () => saveFile(`${id}.jsonl`, values().map((one) => `${JSON.stringify(one)}\n`).join(""), "application/x-ndjson")),
  ];
}

function saver(name, onclick) {
  return el("button", { type: "button", class: "quiet", onclick }, name);
}

// A text that begins like a formula would be one in a spreadsheet.
function csv(rows, columns) {
  const quoted = (value) => {
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const titles = columns.map(({ title }) => title);
  return [titles, ...rows.map((row) => titles.map((title) => row[title]))].map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
}

