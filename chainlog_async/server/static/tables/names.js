// Names in tables: a press on one filters by it.

import { el } from "../core/dom.js";
import { label } from "../core/format.js";
import { change, picking } from "../core/state.js";

const MAX_CHARS = 32;

/** Returns a name that filters by itself when pressed; with Alt, or with Shift, it is left out. */
export function nameButton(dimension, name) {
  const shown = name === "" || name === null ? "(none)" : name;
  const press = (event) => {
    event.stopPropagation();
    change(picking(dimension, name ?? "", { isExcluded: event.altKey || event.shiftKey }));
  };
  return el(
    "button",
    { type: "button", class: "name-link", title: `${shown}: show only this ${dimension} (with Alt or Shift: all but this one)`, onclick: press },
    label(shown, MAX_CHARS),
  );
}
