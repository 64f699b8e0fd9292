// Parts that several pages have.

import { el, segments } from "../core/dom.js";
import { change, current, GROUPS, OUTCOMES, PERCENTILES } from "../core/state.js";

/** Returns a section with a heading, and controls beside it. */
export function section(title, id, controls, ...content) {
  const heading = el("h2", { id: `${id}-title` }, title);
  return el("section", { "aria-labelledby": heading.id }, el("div", { class: "section-head" }, heading, controls), content);
}

/** Returns a section whose heading only screen readers need. */
export function plainSection(title, id, ...content) {
  const heading = el("h2", { id: `${id}-title`, class: "hidden" }, title);
  return el("section", { "aria-labelledby": heading.id }, heading, content);
}

/** Returns the choices of what the charts show. */
export function chartChoices({ grouping = true, comparing = true } = {}) {
  const { by, outcome, percentile, scale } = current();
  return el("div", { class: "choices" }, [
    choice("outcome", "Latency of which requests", OUTCOMES, outcome, (value) => change({ outcome: value })),
    choice("percentile", "Percentile of latency", PERCENTILES, percentile, (value) => change({ percentile: value })),
    toggle("scale", "Log scale", scale === "log", () => change({ scale: scale ? "" : "log" })),
    comparing ? compareToggle() : null,
    grouping ? choice("by", "Group by", GROUPS, by, (value) => change({ by: value })) : null,
  ]);
}

/** Returns buttons of which one is pressed. */
export function choice(idPrefix, label, options, value, onchange) {
  return el("div", { class: "segments", role: "group", "aria-label": label }, segments({ idPrefix, options, value, onchange }));
}

/** Returns the button that shows the period before as well. */
export function compareToggle() {
  const { compare } = current();
  return toggle("compare", "Compare", compare === "1", () => change({ compare: compare ? "" : "1" }), "Show the period before as well");
}

function toggle(id, text, isOn, onclick, title = null) {
  return el("button", { type: "button", id, title, "aria-pressed": String(isOn), onclick }, text);
}
