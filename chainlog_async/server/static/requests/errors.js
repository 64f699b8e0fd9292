// What went wrong, most often first: the error messages of the requests that are listed.

import { byId, el, fill } from "../core/dom.js";
import { count, share } from "../core/format.js";
import { change } from "../core/state.js";

const MAX_MESSAGES = 6;
const MAX_CHARS = 160;

/** Shows how often each message occurs among these requests; nothing where none failed. */
export function showErrors(requests) {
  const messages = new Map();
  for (const { errorMessage } of requests) {
    if (errorMessage !== null) messages.set(errorMessage, (messages.get(errorMessage) ?? 0) + 1);
  }
  const most = [...messages].sort(([, a], [, b]) => b - a).slice(0, MAX_MESSAGES);
  const failed = [...messages.values()].reduce((sum, number) => sum + number, 0);
  fill(byId("errors"), failed ? panel(most, failed, requests.length) : null);
}

function panel(most, failed, all) {
  const title = `${count(failed)} of the ${count(all)} requests listed have an error (${share(failed / all)})`;
  return el(
    "details",
    { class: "panel padded errors", open: true },
    el("summary", {}, title),
    el("ul", {}, most.map(([message, number]) => el("li", {}, el("b", {}, `${count(number)} × `), line(message)))),
  );
}

function line(message) {
  const text = message.slice(0, MAX_CHARS);
  const press = () => change({ error: text.trim() });
  return el("button", { type: "button", class: "name-link", title: `Show only these: ${message}`, onclick: press }, text);
}
