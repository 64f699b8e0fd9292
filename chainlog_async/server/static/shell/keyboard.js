// Keys: / searches, j and k go through a list, Escape leaves.

import { byId } from "../core/dom.js";
import { change, current } from "../core/state.js";

const TYPED_INTO = "input, select, textarea";

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches?.(TYPED_INTO);
  if (event.key === "Escape") leave(event.target, isTyping);
  else if (isTyping || document.querySelector("dialog[open]")) return;
  else if (event.key === "/") search(event);
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
}

function search(event) {
  event.preventDefault();
  byId("search").focus();
  byId("search").select();
}

function step(by) {
  const rows = [...document.querySelectorAll("#figures button.link[aria-expanded]")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function leave(target, isTyping) {
  if (isTyping) target.blur();
  else if (current().open && !document.querySelector(":popover-open, dialog[open]")) change({ open: "" }, { keepInHistory: false });
}

document.addEventListener("keydown", press);
