// Exports of what the list shows, all of it and not only what is loaded.

import { ask } from "../core/api.js";
import { saveFile } from "../core/copy.js";
import { el } from "../core/dom.js";

const FORMATS = [
  ["csv", "CSV"],
  ["jsonl", "JSON lines"],
  ["parquet", "Parquet"],
];

/** Returns the buttons that save all requests that match `parameters()`, in each format. */
export function exportButtons(parameters) {
  return FORMATS.map(([format, name]) => {
    const button = el("button", { type: "button", class: "quiet", title: `Save all requests that match, as ${name}` }, name);
    button.addEventListener("click", () => save(button, format, parameters()));
    return button;
  });
}

// Through a request of its own: a link could not send the key.
async function save(button, format, parameters) {
  button.disabled = true;
  try {
    const reply = await ask("v1/requests/export", { ...parameters, format });
    saveFile(`requests.${format}`, await reply.blob());
    button.title = "";
  } catch (error) {
    button.title = error.message;
    button.setAttribute("aria-invalid", "true");
  } finally {
    button.disabled = false;
  }
}
