// Numbers with their unit: in words as hbd/web/paint.py says them, and as ticks of an axis, all in one unit.

import { bytes, latency, longSpan, NOTHING, plain } from "./format.js";

const DECIMAL = ["", "k", "M", "G", "T", "P"];
const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];
const scale = (prefixes, base, unit) => prefixes.map((prefix, power) => [base ** power, prefix + unit]);
const fixed = (digits, unit) => ({ say: (value) => `${value.toFixed(digits)} ${unit}`, steps: [[1, unit]] });
const rounded = (digits, unit) => ({ say: (value) => `${plain(Number(value.toFixed(digits)))} ${unit}`, steps: [[1, unit]] });
const LONG = [[60, "min"], [3600, "h"], [86400, "d"]];

function binary(value) {
  let size = Math.abs(value);
  let index = 0;
  while (size >= 1024 * 0.9995 && index < BINARY.length - 1) {
    size /= 1024;
    index += 1;
  }
  return `${value < 0 ? "-" : ""}${size.toFixed(index && size < 9.95 ? 1 : 0)} ${BINARY[index]}B`;
}

function span(seconds) {
  if (seconds <= 0) return "0 s";
  const [factor, unit] = seconds < 0.0005 ? [1e6, "µs"] : seconds < 1 ? [1000, "ms"] : [1, "s"];
  if (seconds >= 60) return longSpan(seconds);
  return unit === "µs" ? `${(seconds * factor).toFixed(0)} µs` : `${Number((seconds * factor).toPrecision(3))} ${unit}`;
}

// The unit as the end of a metric's name says it. steps: [how many of it, what so many are called].
const UNITS = {
  percent: fixed(1, "%"),
  bytes_per_second: { say: (value) => `${bytes(value)}/s`, steps: scale(DECIMAL, 1000, "B/s") },
  bits_per_second: { say: (value) => bytes(value).replace("B", "bit/s"), steps: scale(DECIMAL, 1000, "bit/s") },
  per_second: {
    say: (value) => `${value < 100 ? value.toFixed(1) : plain(Math.round(value))} /s`,
    steps: [[1, "/s"]],
  },
  bytes: { say: binary, steps: scale(BINARY, 1024, "B"), base: 2 },
  kb: { say: (value) => `${plain(value)} kB`, steps: [[1, "kB"]] },
  mb: rounded(1, "MB"),
  gb: rounded(2, "GB"),
  tb: rounded(2, "TB"),
  seconds: { say: span, steps: [[1e-6, "µs"], [1e-3, "ms"], [1, "s"], ...LONG], base: 60 },
  ms: { say: latency, steps: [[1, "ms"], [1000, "s"]] },
  celsius: fixed(1, "°C"),
  mhz: rounded(0, "MHz"),
  mbit: { say: (value) => `${plain(value)} Mbit/s`, steps: [[1, "Mbit/s"]] },
  rpm: rounded(0, "rpm"),
  watts: fixed(1, "W"),
  volts: fixed(2, "V"),
};
const PLAIN = { say: plain, steps: [[1, ""]] };
const of = (unit) => UNITS[unit] ?? PLAIN;

/** One value in words. `unit`: of UNITS, or anything else for numbers without one. */
export const say = (unit, value) => (value == null ? NOTHING : of(unit).say(value));

/** The values of an axis as text; `step`: between two of them. */
export function ticks(unit, values, step) {
  const largest = Math.max(...values.map((value) => Math.abs(value ?? 0)));
  const [factor, word] = of(unit).steps.findLast(([size]) => size <= largest) ?? of(unit).steps[0];
  const digits = decimals(step / factor);
  return values.map((value) => {
    if (value == null) return "";
    const text = (value / factor).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return `${text.replaceAll(",", "\u202f")}${word && ` ${word}`}`;
  });
}

/** How many decimals a step needs to be told as it is: 2 for 0.25. */
function decimals(step) {
  let digits = 0;
  while (digits < 6 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6 * step * 10 ** digits) digits += 1;
  return digits;
}

/** How far apart two values of an axis may be; undefined: as decimal numbers are. */
export function increments(unit) {
  const { base } = of(unit);
  if (base === 2) return Array.from({ length: 61 }, (_, power) => 2 ** power);
  if (base !== 60) return undefined;
  const small = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1].flatMap((size) => [size, 2 * size, 5 * size]);
  const days = [1, 2, 5].flatMap((count) => [1, 10, 100, 1000].map((power) => count * power * 86400));
  return [...small, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, ...days]
    .sort((one, other) => one - other);
}
