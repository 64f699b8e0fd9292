// Builds elements. Text is always set as text, so nothing in an entry can become markup.

/**
 * Returns an element with attributes, listeners (`onclick: …`) and children. Attributes that are null, undefined or
 * false are left out, and so are children that are null or undefined; strings become text.
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

/** Returns the element of the page with that id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Replaces the children of `node`; an element that had the focus gives it to the new one with the same id. */
export function fill(node, ...children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.id : "";
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  if (focused) byId(focused)?.focus();
}

/** Returns a drop-down list of `[value, label]` pairs; a value that is not among them is added. */
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

/** Returns buttons for `[value, label]` pairs, of which one is pressed. */
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
