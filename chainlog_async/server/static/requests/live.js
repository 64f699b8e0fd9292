// The live tail: new requests as they are written. While paused, and while a row is being read that they would move, it
// collects them and shows how many there are.

import { ask } from "../core/api.js";
import { byId, el, fill } from "../core/dom.js";
import { add, isHeld, newest } from "./list.js";
import { eventsOf } from "../core/sse.js";
import { change, onChange } from "../core/state.js";

const MAX_KEPT_REQUESTS = 500;
const MIN_RECONNECT_MS = 1000;
const MAX_RECONNECT_MS = 30_000;

let running = null;
let paused = false;
let kept = [];
let missed = false;
let reload = () => {};
let state = "";
let isPossible = false;

/** Starts or restarts the tail with these filters. `onMissed` loads the list anew when too much was collected. */
export function startLive(parameters, onMissed) {
  stop();
  reload = onMissed;
  running = new AbortController();
  follow(parameters, running.signal);
}

/** Ends the tail. */
export function stopLive() {
  stop();
  state = "";
  show();
}

/** Shows the buttons; the tail is not available for a range that has ended. */
export function showLive(possible) {
  isPossible = possible;
  show();
}

function stop() {
  running?.abort();
  running = null;
  paused = false;
  forget();
}

function forget() {
  kept = [];
  missed = false;
}

async function follow(parameters, signal) {
  let wait = MIN_RECONNECT_MS;
  let seen = newest();
  while (!signal.aborted) {
    say("connecting …");
    try {
      const headers = seen ? { "Last-Event-ID": String(seen) } : {};
      const response = await ask("v1/requests/stream", parameters, { signal, headers });
      say("live");
      for await (const { id, event, data } of eventsOf(response)) {
        wait = MIN_RECONNECT_MS;
        if (id) seen = id;
        if (event === "request") take(JSON.parse(data));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.kind === "key" || error.kind === "refused") {
        say(error.message);
        return;
      }
    }
    if (signal.aborted) return;
    say("connection lost; reconnecting …");
    await pause(wait, signal);
    wait = Math.min(2 * wait, MAX_RECONNECT_MS);
  }
}

function take(request) {
  kept.push(request);
  if (kept.length > MAX_KEPT_REQUESTS) {
    kept.shift();
    missed = true;
  }
  release();
  show();
}

// Shows what was collected, unless it has to wait.
function release() {
  if (!paused && kept.length && !isHeld()) showKept();
}

function showKept() {
  if (missed) reload();
  else add(kept);
  forget();
}

function togglePause() {
  paused = !paused;
  if (!paused) showKept();
  show();
}

// Not by a change of the layout: the button lies over the list, so that nothing moves when it appears.
function showArrivals() {
  const text = kept.length === 1 && !missed ? "1 new request" : `${amount()} new requests`;
  const catchUp = () => {
    showKept();
    show();
    scrollTo({ top: 0 });
  };
  const shown = paused || !kept.length ? "" : text;
  // A button that is replaced while it is pressed would not notice.
  if (!byId("arrivals") || byId("arrivals").textContent === shown) return;
  fill(byId("arrivals"), !shown ? null : el("button", { type: "button", id: "catch-up", onclick: catchUp }, text));
}

function amount() {
  return missed ? `more than ${MAX_KEPT_REQUESTS}` : String(kept.length);
}

function say(text) {
  state = text;
  show();
}

function show() {
  if (!byId("live")) return;
  const resume = kept.length ? `Resume (${amount()} new)` : "Resume";
  showArrivals();
  fill(byId("live"), [
    running ? el("span", { class: `dot ${state === "live" && !paused ? "on" : ""}`, "aria-hidden": "true" }) : null,
    el("span", { id: "live-state", class: "muted", role: "status" }, paused ? "paused" : state),
    running ? el("button", { type: "button", id: "pause", onclick: togglePause }, paused ? resume : "Pause") : null,
    el(
      "button",
      {
        type: "button",
        id: "live-toggle",
        "aria-pressed": String(running !== null),
        disabled: !isPossible,
        title: isPossible ? null : "Choose a range that ends now.",
        onclick: () => change({ live: running ? "" : "1" }),
      },
      "Live tail",
    ),
  ]);
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

// Whatever ends the reading of a row.
function look() {
  if (paused || !kept.length) return;
  release();
  show();
}

onChange((names) => names.has("open") && queueMicrotask(look));
for (const event of ["scroll", "selectionchange", "focusout"]) {
  document.addEventListener(event, () => kept.length && requestAnimationFrame(look), { passive: true });
}
