// The API key: asked for once, when the service wants one, and kept for this tab.

import { byId } from "./dom.js";

// Of its own for each place where the service is mounted on this site.
const STORED = `chainlog-key ${location.pathname}`;

let asking = null;

/** The key in use, or null. */
export function key() {
  return sessionStorage.getItem(STORED);
}

/**
 * Asks for a key. However many requests were refused at once, one question is asked. Resolves to whether a key was
 * given. `refused` is the key that the service did not take, if one was sent.
 */
export function askForKey(refused) {
  // Another request may have been answered meanwhile, with a key that this one did not have yet.
  if (key() !== refused && key() !== null) return Promise.resolve(true);
  sessionStorage.removeItem(STORED);
  asking ??= show(refused).finally(() => {
    asking = null;
  });
  return asking;
}

function show(refused) {
  const dialog = byId("key-dialog");
  byId("key-error").textContent = refused ? "The service does not know this key." : "";
  byId("key").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(key() !== null), { once: true });
  });
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(STORED, byId("key").value.trim());
  byId("key-dialog").close();
});
byId("key-cancel").addEventListener("click", () => byId("key-dialog").close());
