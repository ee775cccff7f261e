// Values for people, as diag::profile::units writes them: binary prefixes, one decimal below 100. Times are UTC, as in reports and
// captures.

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

function number(size) {
  return Math.abs(size) < 99.95 ? size.toFixed(1) : Math.round(size).toString();
}

function scaled(value, step, names) {
  let at = 0;
  while (Math.abs(value) >= step - 0.5 && at < names.length - 1) {
    value /= step;
    at += 1;
  }
  return `${number(value)} ${names[at]}`;
}

export function bytes(value) {
  return Math.abs(value) < 1024 ? `${Math.round(value)} B` : scaled(value, 1024, BYTES);
}

export function count(value) {
  return Math.round(value).toLocaleString("en-US");
}

export function nanoseconds(value) {
  const size = Math.abs(value);
  if (size < 1e3) return `${Math.round(value)} ns`;
  if (size < 59.95e9) return scaled(value, 1000, ["ns", "\u00b5s", "ms", "s"]);
  if (size < 3597e9) return `${number(value / 60e9)} min`;
  if (size < 172800e9) return `${number(value / 3600e9)} h`;
  return `${number(value / 86400e9)} d`;
}

export function seconds(value) {
  return nanoseconds(value * 1e9);
}

/** A value in the unit of its sample type. */
export function amount(value, unit) {
  switch (unit) {
    case "bytes": return bytes(value);
    case "nanoseconds": return nanoseconds(value);
    case "count": case "": return count(value);
    default: return `${count(value)} ${unit}`;
  }
}

export function signed(value, unit) {
  return value > 0 ? `+${amount(value, unit)}` : amount(value, unit);
}

export function perHour(value) {
  return Number.isFinite(value) ? `${signed(Math.round(value), "bytes")}/h` : "unknown";
}

/** A share of a whole: what is there is never shown as nothing. */
export function share(part, whole) {
  if (!whole) return "-";
  const percent = part / whole * 100;
  return percent > 0 && percent < 0.05 ? "<0.1 %" : `${percent.toFixed(1)} %`;
}

export function percent(value) {
  if (value > 0 && value < 0.005) return "<0.01 %";
  return `${value < 0.1 ? value.toFixed(2) : value.toFixed(1)} %`;
}

/** `13:05:22` */
export function clock(unixMs) {
  return new Date(unixMs).toISOString().slice(11, 19);
}

/** `2026-11-21 13:05:22 UTC` */
export function moment(unixMs) {
  return `${new Date(unixMs).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** `2026-11-21` */
export function day(unixMs) {
  return new Date(unixMs).toISOString().slice(0, 10);
}

export function ago(unixMs) {
  return `${seconds(Math.max(0, (Date.now() - unixMs) / 1000))} ago`;
}

/** Round values from 0 (or below `from`) to above `to`, about `wanted` of them: of bytes in powers of two. */
export function ticks(from, to, wanted, unit) {
  const span = Math.max(to - from, unit === "bytes" ? 1024 : 1e-9);
  const base = unit === "bytes" ? 1024 ** Math.floor(Math.log(span / wanted) / Math.log(1024)) : 1;
  const raw = span / wanted / base;
  const decade = 10 ** Math.floor(Math.log10(raw));
  const steps = unit === "bytes" ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10].map((n) => n * decade);
  const step = (steps.find((n) => n >= raw) ?? steps.at(-1)) * base;
  const list = [];
  for (let v = Math.floor(from / step) * step; v < to + step && list.length < 20; v += step) {
    list.push(v);
    if (v >= to) break;
  }
  return list;
}
