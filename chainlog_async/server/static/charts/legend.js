// Legends: a swatch hides or shows a series in every chart, and its name leads to the requests it stands for.

import { el } from "../core/dom.js";
import { label } from "../core/format.js";

/** Names of series that the user has hidden, in every chart. */
const hidden = new Set();

/** Returns whether a series is hidden. */
export function isHidden(name) {
  return hidden.has(name);
}

/** Returns the entries of a legend. `onChange` is called when a series is hidden or shown; `press(series)` returns what
 * a press on its name does, or null. */
export function legendOf(series, id, { onChange, press }) {
  return series.map((one) => {
    const action = press(one);
    const text = label(one.name, 28);
    return el(
      "span",
      { class: "entry" },
      switchOf(one, id, onChange),
      action
        ? el("button", { type: "button", id: `only-${id}-${one.name}`, title: `${one.name}: ${action.title}`, onclick: action.run }, text)
        : el("span", { title: one.name }, text),
    );
  });
}

function switchOf({ name, colour }, id, onChange) {
  const toggle = () => {
    if (!hidden.delete(name)) hidden.add(name);
    onChange();
  };
  const isOn = !hidden.has(name);
  const swatch = el("button", {
    type: "button",
    class: "swatch",
    id: `legend-${id}-${name}`,
    title: isOn ? `Hide ${name}` : `Show ${name}`,
    "aria-label": `${name} in the charts`,
    "aria-pressed": String(isOn),
    onclick: toggle,
  });
  swatch.style.setProperty("--swatch", `var(${colour})`);
  return swatch;
}
