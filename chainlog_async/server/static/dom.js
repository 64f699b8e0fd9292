// Builds elements. Text is only ever set as text, so nothing that an entry holds can become markup.

/**
 * An element with attributes, listeners (`onclick: …`) and children. Attributes that are null, undefined or false
 * are left out; children that are null are, too; strings become text.
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element of the page with that id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Replaces what is in `node`, and keeps the focus where it was if an element with the same id is there again. */
export function fill(node, ...children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.id : "";
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  if (focused) byId(focused)?.focus();
}

/** A drop-down list of `[value, label]` pairs; a value that is not among them is shown all the same. */
export function select({ id, label, options, value, onchange }) {
  const known = options.some(([option]) => option === value);
  const all = known ? options : [...options, [value, value]];
  const list = el(
    "select",
    { id, onchange: (event) => onchange(event.target.value) },
    all.map(([option, text]) => el("option", { value: option, selected: option === value }, text)),
  );
  return el("label", {}, el("span", {}, label), list);
}

/** Buttons of which one is chosen, from `[value, label]` pairs. */
export function segments({ idPrefix, options, value, onchange }) {
  return options.map(([option, text]) =>
    el(
      "button",
      {
        type: "button",
        id: `${idPrefix}-${option || "none"}`,
        "aria-pressed": String(option === value),
        onclick: () => onchange(option),
      },
      text,
    ),
  );
}
