// The panel of a chart: its title, its legend, its summary for screen readers, and the button that shows it as a table.

import { el } from "../core/dom.js";

/**
 * Returns the parts of a chart without content: `{node, title, legend, summary, plot, table, button, asTable}`.
 * `onToggle` is called whenever `asTable` has changed.
 */
export function frame(id, title, drawing, onToggle) {
  const parts = { asTable: false, title: el("h3", { id: `${id}-title` }, title) };
  parts.summary = el("p", { id: `${id}-summary`, class: "hidden" });
  parts.legend = el("div", { class: "legend", role: "group", "aria-label": `${title}: series` });
  parts.plot = el("div", { class: "plot" }, drawing);
  parts.table = el("div", { class: "plot scroll", tabindex: "0", role: "region", hidden: true, "aria-labelledby": `${id}-title` });
  parts.button = el("button", { type: "button", class: "quiet", "aria-pressed": "false", "aria-label": `${title} as a table` }, "Table");
  parts.button.addEventListener("click", () => {
    parts.asTable = !parts.asTable;
    parts.button.setAttribute("aria-pressed", String(parts.asTable));
    parts.plot.hidden = parts.asTable;
    parts.table.hidden = !parts.asTable;
    onToggle();
  });
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-labelledby", `${id}-title ${id}-summary`);
  const head = el("div", { class: "panel-head" }, parts.title, parts.legend, parts.button);
  parts.node = el("figure", { class: "panel chart", id }, head, parts.summary, parts.plot, parts.table);
  return parts;
}

/** Returns the table of a chart, its newest step first: `rows` are `[label, values]`, the values formatted. */
export function stepsAsTable(names, rows) {
  const head = el("tr", {}, el("th", { scope: "col" }, "From"), names.map((name) => el("th", { scope: "col", class: "number name", title: name }, name)));
  const body = rows.map(([label, values]) =>
    el("tr", {}, el("th", { scope: "row" }, label), values.map((value) => el("td", { class: "number" }, value))),
  );
  return el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, body.reverse()));
}
