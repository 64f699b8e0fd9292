// The open request when the list does not hold it, as after following a link: shown apart, so that the list stays what
// the filters and the range say.

import { get } from "../core/api.js";
import { details } from "./details.js";
import { byId, el, fill } from "../core/dom.js";
import { change, isFiltered } from "../core/state.js";

const UNKNOWN = "It is not in the log: it was deleted since, or never in it.";

/** Shows the request with that id above the list of the requests of `range`. Throws ServiceError. */
export async function showApart(id, range, signal) {
  const request = await find(id, signal);
  const why = request ? whyNotListed(request, range) : UNKNOWN;
  const close = el("button", { type: "button", class: "quiet", onclick: () => change({ open: "" }, { keepInHistory: false }) }, "Close");
  fill(
    byId("apart"),
    el(
      "section",
      { class: "panel details apart", "aria-labelledby": "apart-title" },
      el("div", { class: "panel-head" }, el("h3", { id: "apart-title" }, `Request ${id}`), close),
      el("p", { class: "muted" }, why),
      request ? details(request) : null,
    ),
  );
}

/** Shows no request apart from the list. */
export function showNoneApart() {
  if (byId("apart")) fill(byId("apart"));
}

async function find(id, signal) {
  try {
    return await get(`v1/requests/${encodeURIComponent(id)}`, {}, { signal });
  } catch (error) {
    if (error.status === 404 || error.status === 400) return null;
    throw error;
  }
}

function whyNotListed({ timestamp }, { from, until }) {
  if (timestamp < from || timestamp >= until) return "It ended outside the range of this page.";
  return isFiltered()
    ? "It is not on the list below: it is further back, or the filters leave it out."
    : "It is further back than the list below.";
}
