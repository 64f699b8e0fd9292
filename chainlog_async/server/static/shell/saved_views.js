// Views that this browser remembers by name.

import { el } from "../core/dom.js";
import { store, stored } from "../core/stored.js";

const NAME = "views";

/** Returns the list of saved views, and a way to save the present one. `onChange` is called when the list changes. */
export function savedViews(onChange) {
  const views = stored(NAME, {});
  const save = (next) => {
    store(NAME, next);
    onChange();
  };
  const input = el("input", { id: "view-name", maxlength: "60", required: true, placeholder: "Name of this view", "aria-label": "Name of this view" });
  const form = el("form", { class: "buttons" }, input, el("button", { type: "submit", id: "save-view" }, "Save"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save({ ...views, [input.value.trim()]: location.search });
  });
  const items = Object.entries(views).map(([name, search]) =>
    el(
      "li",
      { class: "chip" },
      el("a", { href: search || "?" }, name),
      el("button", { type: "button", "aria-label": `Forget the view ${name}`, onclick: () => save(without(views, name)) }, "×"),
    ),
  );
  return el("section", { "aria-labelledby": "views-title" }, el("h3", { id: "views-title" }, "Saved views"), el("ul", { class: "chips" }, items), form);
}

function without(views, name) {
  return Object.fromEntries(Object.entries(views).filter(([other]) => other !== name));
}
