// The API key: asked for once, when the service needs one, and kept for this tab.

import { byId } from "./dom.js";

// One key for each path where a service is mounted on this site.
const STORED = `chainlog-key ${location.pathname}`;

let asking = null;

/** Returns the key in use, or null. */
export function key() {
  return sessionStorage.getItem(STORED);
}

/** Forgets the key. */
export function signOut() {
  sessionStorage.removeItem(STORED);
}

/**
 * Asks for a key, only once however many requests were refused. Resolves to whether a key was entered. `refused` is
 * the key that the service did not accept, if one was sent.
 */
export function askForKey(refused) {
  // Meanwhile a key may have been entered for another request.
  if (key() !== refused && key() !== null) return Promise.resolve(true);
  sessionStorage.removeItem(STORED);
  asking ??= show(refused).finally(() => {
    asking = null;
  });
  return asking;
}

function show(refused) {
  const dialog = byId("key-dialog");
  byId("key-error").textContent = refused ? "The service did not accept this key." : "";
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
