// Not a module: it runs before the first paint, so that a dark page does not flash white.
(() => {
  const STORED = "chainlog-theme";
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem(STORED);
    } catch {
      return null; // storage may be blocked; the page then follows the system
    }
  }

  function isDark() {
    const chosen = root.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function toggle() {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem(STORED, root.dataset.theme);
    } catch {
      // The choice lasts until the page is closed.
    }
    dispatchEvent(new Event("themechange"));
  }

  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
  globalThis.theme = { isDark, toggle };
})();
