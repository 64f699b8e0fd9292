// The view, kept in the URL of the page, so that it can be shared and the back button works.

export const RANGES = [
  ["1h", "1h"],
  ["6h", "6h"],
  ["24h", "24h"],
  ["7d", "7d"],
  ["30d", "30d"],
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
export const STATUSES = [
  ["", "any"],
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

/** Filters for everything on the page, by their names in the service. */
export const DIMENSIONS = ["chain", "provider", "model", "caller"];
/** Further filters for the list of requests only. */
export const REQUEST_FILTERS = ["status", "minLatencyMs", "error", "requestId"];

const DEFAULTS = {
  range: "24h",
  from: "",
  until: "",
  by: "",
  outcome: "",
  refresh: "30",
  live: "",
  open: "",
  ...Object.fromEntries([...DIMENSIONS, ...REQUEST_FILTERS].map((name) => [name, ""])),
};
const CHOICES = { range: RANGES, by: GROUPS, outcome: OUTCOMES, refresh: REFRESH, live: [[""], ["1"]] };

let view = read();
const listeners = [];

/** Returns the view; every value is a string, and an empty one means no filter. */
export function current() {
  return view;
}

/** Changes parts of the view, and notifies the listeners. */
export function change(patch, { keepInHistory = true } = {}) {
  const next = { ...view, ...patch };
  const url = new URL(location.href);
  url.search = new URLSearchParams(Object.entries(next).filter(([name, value]) => value !== DEFAULTS[name]));
  history[keepInHistory ? "pushState" : "replaceState"](null, "", url);
  become(next);
}

/** Calls `listener(names)` after each change, with a Set of the changed names. */
export function onChange(listener) {
  listeners.push(listener);
}

/** Returns whether any filter is set. */
export function isFiltered() {
  return [...DIMENSIONS, ...REQUEST_FILTERS].some((name) => view[name]);
}

/** Returns the change that clears these filters, or every filter. */
export function withoutFilters(names = [...DIMENSIONS, ...REQUEST_FILTERS]) {
  return Object.fromEntries(names.map((name) => [name, ""]));
}

/** Returns whether a parameter of the service is one of the filters. */
export function isFilter(name) {
  return DIMENSIONS.includes(name) || REQUEST_FILTERS.includes(name);
}

function read() {
  const given = new URLSearchParams(location.search);
  const found = { ...DEFAULTS };
  for (const [name, byDefault] of Object.entries(DEFAULTS)) {
    const value = given.get(name) ?? byDefault;
    const allowed = CHOICES[name];
    found[name] = !allowed || allowed.some(([choice]) => choice === value) ? value : byDefault;
  }
  if (!given.has("range") && (found.from || found.until)) found.range = "custom";
  return found;
}

function become(next) {
  const changed = new Set(Object.keys(next).filter((name) => next[name] !== view[name]));
  view = next;
  if (changed.size) for (const listener of listeners) listener(changed);
}

addEventListener("popstate", () => become(read()));
