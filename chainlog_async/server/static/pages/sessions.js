// Sessions: conversations, each with its requests.

import { byId, el } from "../core/dom.js";
import { section } from "./parts.js";
import { showTable } from "../tables/table.js";

export const sessions = {
  applies: { names: false, requests: false },

  build() {
    return [section("Sessions", "sessions", null, el("div", { id: "sessions" }))];
  },

  async load() {
    return { sessions: [] };
  },

  async show({ sessions: rows }) {
    showTable(byId("sessions"), { id: "sessions-table", label: "Sessions", columns: [], rows, empty: "No request in this range has a session." });
  },
};
