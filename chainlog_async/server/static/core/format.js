// Formats numbers, durations and money for people.

const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const dollar = { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol" };
const exactDollars = new Intl.NumberFormat(undefined, { ...dollar, minimumFractionDigits: 2, maximumFractionDigits: 9 });
const dollars = new Intl.NumberFormat(undefined, {
  ...dollar,
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  minimumSignificantDigits: 2,
  maximumSignificantDigits: 2,
  roundingPriority: "morePrecision",
});
const compactDollars = new Intl.NumberFormat(undefined, { ...dollar, notation: "compact", maximumFractionDigits: 1 });

const MAX_LABEL = 48;

export const NOTHING = "–";

/** Formats a count: in full up to 99,999, then as 123.4K. */
export function count(value) {
  if (value === null || value === undefined) return NOTHING;
  return Math.abs(value) < 100_000 ? whole.format(value) : compact.format(value);
}

/** Formats a count in full. */
export function exactCount(value) {
  return value === null || value === undefined ? NOTHING : whole.format(value);
}

/** Formats a count briefly, for an axis. */
export function axisCount(value) {
  return compact.format(value);
}

/** Formats a share from 0 to 1 as a percentage; only an exact 0 or 1 reads 0 % or 100 %. */
export function share(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NOTHING;
  const percent = value * 100;
  if (percent > 0 && percent < 0.01) return "<0.01 %";
  if (percent < 100 && percent > 99.9) return ">99.9 %";
  return `${Number(percent.toFixed(percent < 1 ? 2 : 1))} %`;
}

/** Formats milliseconds as 412 ms, 1.53 s, 2 min 5 s. */
export function duration(ms) {
  if (ms === null || ms === undefined) return NOTHING;
  if (ms < 999.5) return `${whole.format(ms)} ms`;
  if (ms < 59_950) return `${Number((ms / 1000).toFixed(ms < 9_995 ? 2 : 1))} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 3600
    ? `${Math.floor(seconds / 60)} min ${seconds % 60} s`
    : `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** Formats US dollars to the cent; smaller amounts with two significant digits. */
export function money(usd) {
  if (usd === null || usd === undefined) return NOTHING;
  return (usd < 100_000 ? dollars : compactDollars).format(usd);
}

/** Formats US dollars exactly, with up to nine decimals: the cost of one request. */
export function exactMoney(usd) {
  return exactDollars.format(usd);
}

/** Formats a percentile of durations with two digits: the bins it comes from are as wide as that. */
export function percentile(ms) {
  return duration(ms === null || ms === undefined ? ms : Number(ms.toPrecision(2)));
}

/** Formats a change as +12 %, or as a factor where it has more than doubled; null where there was nothing before. */
export function change(now, before) {
  if (!before || now === null || now === undefined) return null;
  const part = now / before - 1;
  if (Math.abs(part) < 0.0005) return "±0 %";
  if (part > 1) return `×${Number((now / before).toPrecision(2))}`;
  const percent = 100 * Math.abs(part);
  return `${part < 0 ? "−" : "+"}${Number(percent.toFixed(percent < 10 ? 1 : 0))} %`;
}

/** Formats a name for a place of limited width; a long one loses its middle. */
export function label(name, most = MAX_LABEL) {
  const end = Math.floor(most / 3);
  return name.length > most ? `${name.slice(0, most - end - 1)}…${name.slice(-end)}` : name;
}
