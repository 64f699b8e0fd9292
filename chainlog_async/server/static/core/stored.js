// Small things that this browser remembers: chosen columns, saved views.

/** Returns what was stored under that name, or `otherwise`: nothing may be stored, or storage may be blocked. */
export function stored(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`chainlog-${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Stores a value under that name, if storage is not blocked. */
export function store(name, value) {
  try {
    localStorage.setItem(`chainlog-${name}`, JSON.stringify(value));
  } catch {
    // It lasts until the page is closed.
  }
}
