// The table of providers: how often each was called, refused with 429, or failed.

import { byId, el, fill } from "../core/dom.js";
import { ago, count, exactTime, share } from "../core/format.js";
import { sign } from "../requests/status.js";

const COLUMNS = ["Provider", "Model", "Attempts", "Answered", "Refusals (429)", "Failures", "Clients left (499)", "Last error"];

const EVERY = "Every attempt of every chain, including those after which another provider answered.";

/**
 * Shows the health of every provider and model that the view asks for, the highest rate of refusals and failures first.
 * Attempts are counted for all chains and callers together, so filters of these cannot apply, and a note says so. `all` is
 * null when the key sees one caller only.
 */
export function showProviders(all, view) {
  if (all === null) {
    byId("providers-note").textContent = EVERY;
    fill(byId("providers"), el("p", { class: "panel empty" }, "Your key sees one caller; attempts are counted for all callers together."));
    return;
  }
  const providers = all.filter(
    ({ providerId, model }) => ["", providerId].includes(view.provider) && ["", model].includes(view.model),
  );
  const unapplied = ["chain", "caller"].filter((name) => view[name]).join(" and ");
  byId("providers-note").textContent = unapplied ? `${EVERY} The filter of ${unapplied} does not apply here.` : EVERY;
  if (!providers.length) {
    fill(byId("providers"), el("p", { class: "panel empty" }, "No provider was called in this range."));
    return;
  }
  const troubled = (provider) => provider.refusalRate + provider.failureRate;
  const sorted = providers.toSorted((a, b) => troubled(b) - troubled(a) || b.attempts - a.attempts);
  fill(
    byId("providers"),
    el(
      "div",
      { class: "panel scroll", tabindex: "0", role: "region", "aria-labelledby": "providers-title" },
      el(
        "table",
        { class: "reflow" },
        el("thead", {}, el("tr", {}, COLUMNS.map((name, place) => el("th", { scope: "col", class: place > 1 && place < 7 ? "number" : null }, name)))),
        el("tbody", {}, sorted.map(row)),
      ),
    ),
  );
}

function row(provider) {
  return el(
    "tr",
    {},
    el("th", { scope: "row", "data-label": "Provider", class: "name", title: provider.providerId }, provider.providerId),
    el("td", { "data-label": "Model", class: "name", title: provider.model }, provider.model),
    el("td", { "data-label": "Attempts", class: "number" }, count(provider.attempts)),
    el("td", { "data-label": "Answered", class: "number" }, count(provider.successes)),
    rate("Refusals (429)", provider.refusalRate, provider.rateLimited, "warn"),
    rate("Failures", provider.failureRate, provider.failures, "bad"),
    el("td", { "data-label": "Clients left (499)", class: "number" }, count(provider.cancelled)),
    lastError(provider),
  );
}

function rate(label, value, number, tone) {
  const bar = el("span", { class: `bar ${tone}`, "aria-hidden": "true" });
  bar.style.setProperty("--share", value);
  const text = el("span", {}, `${share(value)} `, el("span", { class: "muted" }, `(${count(number)})`));
  return el("td", { "data-label": label, class: "number rate" }, text, bar);
}

function lastError({ lastError: message, lastErrorStatus: status, lastErrorAt: at }) {
  if (at === null) return el("td", { "data-label": "Last error", class: "muted" }, "none");
  return el(
    "td",
    { "data-label": "Last error" },
    el(
      "div",
      { class: "error-text two-lines", title: message },
      sign(status),
      ` ${message ?? ""} `,
      el("span", { class: "muted", title: exactTime(at) }, ago(at)),
    ),
  );
}
