// Copies text, and says that it did.

import { el } from "./dom.js";

const SHOWN_MS = 1500;

/** Returns a button that copies what `text()` returns. */
export function copyButton(name, text, attributes = {}) {
  const button = el("button", { type: "button", class: "quiet", ...attributes }, name);
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    await copy(text());
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = name), SHOWN_MS);
  });
  return button;
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP from another machine, browsers have no other way.
  const area = document.body.appendChild(el("textarea", { class: "hidden" }));
  area.value = text;
  area.select();
  document.execCommand("copy");
  area.remove();
  return null;
}

/** Saves bytes or text as a file. */
export function saveFile(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
