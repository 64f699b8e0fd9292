// Requests: single ones, newest first, live if wanted.

import { byId, el, fill } from "../core/dom.js";
import { isMoving } from "../core/ranges.js";
import { current, filterParameters } from "../core/state.js";
import { exportButtons } from "../requests/export.js";
import { askedFor, buildList, isBeingRead, loadRequests, showOpen } from "../requests/list.js";
import { showLive, startLive, stopLive } from "../requests/live.js";
import { section } from "./parts.js";

export const requests = {
  applies: { names: true, requests: true },

  build() {
    stopLive();
    return section(
      "Requests",
      "requests",
      el("div", { class: "choices" }, el("div", { id: "exports" }), el("div", { id: "live", class: "live", role: "group", "aria-label": "Live tail" })),
      el("div", { id: "apart" }),
      el("div", { id: "errors" }),
      el("div", { id: "arrivals", class: "arrivals", role: "status" }),
      el("div", { id: "requests" }, buildList()),
    );
  },

  async load({ range, signal, quietly, view, reload }) {
    this.reload = reload;
    if (quietly && (isBeingRead() || view.live)) return {};
    const refusal = await loadRequests({ ...range, ...filterParameters({ requests: true }) }, signal);
    return { refusal };
  },

  async show(_data, view) {
    fill(byId("exports"), exportButtons(askedFor));
    showLive(isMoving(view));
  },

  opened: showOpen,

  followed() {
    const view = current();
    const possible = isMoving(view);
    showLive(possible);
    if (view.live && possible) startLive(filterParameters({ requests: true }), () => this.reload());
    else stopLive();
  },
};
