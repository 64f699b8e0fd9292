// The view, kept in the URL of the page, so that it can be shared and the back button works.

export const PAGES = [
  ["overview", "Overview"],
  ["requests", "Requests"],
  ["costs", "Costs"],
  ["providers", "Providers"],
  ["sessions", "Sessions"],
  ["alerts", "Alerts"],
  ["health", "Health"],
];
export const RANGES = [
  ["1h", "1h"],
  ["6h", "6h"],
  ["24h", "24h"],
  ["yesterday", "Yesterday"],
  ["7d", "7d"],
  ["30d", "30d"],
  ["all", "All"],
  ["custom", "Custom"],
];
export const GROUPS = [
  ["", "None"],
  ["provider", "Provider"],
  ["chain", "Chain"],
  ["model", "Model"],
  ["caller", "Caller"],
];
/** The requests whose latency and time to first token are shown. */
export const OUTCOMES = [
  ["", "Answered"],
  ["unanswered", "Unanswered"],
  ["all", "All"],
];
export const PERCENTILES = [
  ["p50", "p50"],
  ["p90", "p90"],
  ["p95", "p95"],
  ["p99", "p99"],
];
export const STATUSES = [
  ["", "any"],
  ["answered", "answered"],
  ["unanswered", "unanswered"],
  ["errors", "errors"],
  ["2xx", "2xx"],
  ["4xx", "4xx"],
  ["429", "429"],
  ["5xx", "5xx"],
];
export const REFRESH = [
  ["0", "off"],
  ["10", "10 s"],
  ["30", "30 s"],
  ["60", "1 min"],
  ["300", "5 min"],
];

/** Names to filter by, as the service calls them. Any number of each may be asked for, or left out (`notChain`). */
export const DIMENSIONS = ["chain", "provider", "model", "caller"];
/** Filters that only single requests have, by their names in the service. */
export const REQUEST_FILTERS = [
  "status",
  "error",
  "requestId",
  "session",
  "tag",
  "search",
  "minLatencyMs",
  "maxLatencyMs",
  "minTokens",
  "maxTokens",
  "minCostUsd",
  "maxCostUsd",
  "minAttempts",
  "maxAttempts",
];
const EXCLUDED = Object.fromEntries(DIMENSIONS.map((name) => [name, `not${name[0].toUpperCase()}${name.slice(1)}`]));
const LISTS = [...DIMENSIONS, ...Object.values(EXCLUDED)];
const FILTERS = [...LISTS, ...REQUEST_FILTERS];

const DEFAULTS = {
  page: "overview",
  range: "24h",
  from: "",
  until: "",
  zone: "",
  by: "",
  outcome: "",
  percentile: "p95",
  scale: "",
  compare: "",
  refresh: "30",
  live: "",
  open: "",
  ...Object.fromEntries(LISTS.map((name) => [name, []])),
  ...Object.fromEntries(REQUEST_FILTERS.map((name) => [name, ""])),
};
// What usage is grouped by may also be a key of tags, and on the page of costs a day.
const CHOICES = {
  page: PAGES,
  range: RANGES,
  zone: [[""], ["utc"]],
  outcome: OUTCOMES,
  percentile: PERCENTILES,
  scale: [[""], ["log"]],
  compare: [[""], ["1"]],
  refresh: REFRESH,
  live: [[""], ["1"]],
};

let view = read();
const listeners = [];

/** Returns the view. Names to filter by are arrays; every other value is a string, and an empty one means no filter. */
export function current() {
  return view;
}

/** Changes parts of the view, and notifies the listeners. */
export function change(patch, { keepInHistory = true } = {}) {
  const next = { ...view, ...patch };
  history[keepInHistory ? "pushState" : "replaceState"](null, "", urlOf(patch));
  become(next);
}

/** Returns the URL of the view with that change. */
export function urlOf(patch) {
  const url = new URL(location.href);
  const pairs = Object.entries({ ...view, ...patch })
    .filter(([name, value]) => !same(value, DEFAULTS[name]))
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  url.search = new URLSearchParams(pairs);
  return url.href;
}

/** Calls `listener(names)` after each change, with a Set of the changed names. */
export function onChange(listener) {
  listeners.push(listener);
}

/** Returns whether the first look at the page names no range. */
export function hasNoRange() {
  return !["range", "from", "until"].some((name) => new URLSearchParams(location.search).has(name));
}

/** Returns whether any filter is set. */
export function isFiltered() {
  return FILTERS.some((name) => view[name].length);
}

/** Returns the change that clears these filters, or every filter. */
export function withoutFilters(names = FILTERS) {
  return Object.fromEntries(names.map((name) => [name, DEFAULTS[name]]));
}

/** Returns whether a parameter of the service is one of the filters. */
export function isFilter(name) {
  return FILTERS.includes(name);
}

/** Returns the name filters as parameters of the service; with `requests` those of single requests as well. */
export function filterParameters({ requests = false } = {}) {
  return Object.fromEntries((requests ? FILTERS : LISTS).map((name) => [name, view[name]]));
}

/** Returns the name filters that are set: `[{name, value, isExcluded}]`. */
export function pickedNames() {
  return DIMENSIONS.flatMap((name) => [
    ...view[name].map((value) => ({ name, value, isExcluded: false })),
    ...view[EXCLUDED[name]].map((value) => ({ name, value, isExcluded: true })),
  ]);
}

/** Returns the change that asks for a name besides those that are asked for, or leaves it out. */
export function picking(name, value, { isExcluded = false } = {}) {
  const list = isExcluded ? EXCLUDED[name] : name;
  return { ...dropping(name, value), [list]: [...view[list].filter((one) => one !== value), value] };
}

/** Returns the change that neither asks for a name nor leaves it out. */
export function dropping(name, value) {
  return Object.fromEntries([name, EXCLUDED[name]].map((list) => [list, view[list].filter((one) => one !== value)]));
}

function read() {
  const given = new URLSearchParams(location.search);
  const found = { ...DEFAULTS };
  for (const [name, byDefault] of Object.entries(DEFAULTS)) {
    const allowed = CHOICES[name];
    const value = LISTS.includes(name) ? given.getAll(name) : (given.get(name) ?? byDefault);
    found[name] = !allowed || allowed.some(([choice]) => choice === value) ? value : byDefault;
  }
  if (!given.has("range") && (found.from || found.until)) found.range = "custom";
  return found;
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function become(next) {
  const changed = new Set(Object.keys(next).filter((name) => !same(next[name], view[name])));
  view = next;
  if (changed.size) for (const listener of listeners) listener(changed);
}

addEventListener("popstate", () => become(read()));
