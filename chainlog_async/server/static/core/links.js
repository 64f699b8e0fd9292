// Links to another view: plain ones, so that they can be opened in a tab of their own.

import { el } from "./dom.js";
import { change, urlOf } from "./state.js";

/** Returns a link to the view with that change. */
export function viewLink(patch, attributes, ...children) {
  const follow = (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    change(patch);
  };
  return el("a", { href: urlOf(patch), onclick: follow, ...attributes }, ...children);
}
