// The overview: totals, charts and a table of groups.

import { canCountByMinute, countByMinute } from "../charts/by_minute.js";
import { buildCharts, showCharts } from "../charts/charts.js";
import { buildHeatMap, showHeatMap } from "../charts/heat_map.js";
import { byId, el, fill } from "../core/dom.js";
import { DIMENSIONS } from "../core/state.js";
import { showTable } from "../tables/table.js";
import { breakdownColumns, breakdownRows } from "./breakdown.js";
import { cardsOf } from "./cards.js";
import { chartChoices, plainSection, section } from "./parts.js";

const CHARTS = ["requests", "errors", "latency", "ttft", "tokens", "cost"];
const MAX_GROUPS = 9;
const MAX_ROWS = 100;

export const overview = {
  applies: { names: true, requests: false },

  build() {
    return [
      plainSection("Totals", "cards", el("div", { id: "cards" })),
      section("Over time", "charts-head", el("div", { id: "chart-choices" }), buildCharts(CHARTS), buildHeatMap()),
      section("Breakdown", "breakdown", null, el("div", { id: "breakdown" })),
    ];
  },

  async load({ ask, total, overTime, before, view }) {
    const by = grouping(view) || "provider";
    const groups = { by, groups: MAX_ROWS };
    const outcome = { outcome: view.outcome };
    const speed = ask("v1/latency", { ...overTime, ...outcome, bins: true });
    const past = view.compare && { ...total, ...before };
    const [usage, latency, usagePoints, latencyPoints, spread, usageBy, latencyBy, ...earlier] = await Promise.all([
      ask("v1/usage", total),
      ask("v1/latency", { ...total, ...outcome }),
      ask("v1/usage", { ...overTime, by: grouping(view), groups: grouping(view) && MAX_GROUPS }),
      grouping(view) ? ask("v1/latency", { ...overTime, ...outcome, by: grouping(view), groups: MAX_GROUPS }) : speed,
      speed,
      ask("v1/usage", { ...total, ...groups }),
      ask("v1/latency", { ...total, ...outcome, ...groups }),
      ...(past
        ? [
            ask("v1/usage", past),
            ask("v1/latency", { ...past, ...outcome }),
            ask("v1/usage", { ...overTime, ...before }),
            ask("v1/latency", { ...overTime, ...before, ...outcome }),
            ask("v1/usage", { ...past, ...groups }),
          ]
        : []),
    ]);
    const all = usage.points.reduce((sum, { requests }) => sum + requests, 0);
    const charts = { usage: usagePoints.points, latency: latencyPoints.points, spread: spread.points };
    if (!past && canCountByMinute(total, all)) {
      Object.assign(charts, await countByMinute(ask, total, { by: grouping(view), outcome: view.outcome, groups: MAX_GROUPS }));
    }
    return { isEmpty: !all, usage, latency, charts, usageBy, latencyBy, earlier: earlier.map(({ points }) => points) };
  },

  async show(found, view) {
    const [lastUsage, lastLatency, usageBefore, latencyBefore, usageByBefore] = found.earlier;
    const isCompared = found.earlier.length > 0;
    fill(byId("chart-choices"), chartChoices());
    fill(byId("cards"), cardsOf(found.usage.points, found.latency.points, isCompared ? { usage: lastUsage, latency: lastLatency } : null));
    const by = grouping(view) || "provider";
    const rows = breakdownRows(found.usageBy.points, found.latencyBy.points, isCompared ? usageByBefore : null);
    const columns = breakdownColumns(by, { compared: isCompared });
    showTable(byId("breakdown"), { id: "groups", label: `By ${by}`, columns, rows, sort: isCompared ? ["errorsChange", "desc"] : ["requests", "desc"] });
    showHeatMap(found.charts.spread);
    await showCharts({
      ...found.charts,
      by: grouping(view),
      before: isCompared ? { usage: usageBefore, latency: latencyBefore } : null,
    });
  },
};

// The page of costs knows groups that have no latency.
function grouping({ by }) {
  return DIMENSIONS.includes(by) ? by : "";
}
