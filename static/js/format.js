// Values as people read them. hbd/web/paint.py says the same on the server.

export const NOTHING = "–";
export const MARKS = { UP: "●", OVERDUE: "▲", DOWN: "■", UNKNOWN: "?" };
export const LEVEL_MARKS = { CRITICAL: "■", WARNING: "▲", UNKNOWN: "?" };
export const WORDS = { UP: "up", OVERDUE: "overdue", DOWN: "down", UNKNOWN: "unknown" };
const FAREWELLS = ["agent stopped on purpose", "host was shut down"];
export const SEVERITY = { DOWN: 0, OVERDUE: 1, UNKNOWN: 2, UP: 3 };

const PREFIXES = ["", "k", "M", "G", "T", "P"];
const STRIP_BARS = { u: ["u", 0, 10], o: ["o", 3, 7], d: ["d", 6, 4], "-": ["n", 9, 1] };
const STRIP_WORDS = { u: "up", o: "overdue", d: "down", "-": "not known" };

/** The state of a host in a word; "stopped" when it is silent because somebody wanted that. */
export function word({ state, reason }) {
  const silent = state === "OVERDUE" || state === "DOWN";
  return silent && FAREWELLS.some((text) => reason.startsWith(text)) ? "stopped" : WORDS[state];
}

export function percent(value) {
  return value == null ? NOTHING : `${value.toFixed(0)} %`;
}

export function latency(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function bytes(value) {
  if (value == null) return NOTHING;
  let size = Math.abs(value);
  let index = 0;
  while (size >= 999.5 && index < PREFIXES.length - 1) {
    size /= 1000;
    index += 1;
  }
  return `${value < 0 ? "-" : ""}${size.toFixed(index && size < 9.95 ? 1 : 0)} ${PREFIXES[index]}B`;
}

/** One unit, rounded down: 95 → "1 min". */
export function shortSpan(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

/** Two units: 93784 → "1 d 2 h". */
export function longSpan(seconds) {
  let rest = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) parts.push(`${count} ${unit}`);
    else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

/** A number without a unit: grouped when large, at most four digits that matter when small. */
export function plain(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return grouped.format(value).replaceAll(",", "\u202f");
  return String(Number(value.toPrecision(4)));
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** Date and time in the viewer's zone. */
export const clock = (seconds) => absolute.format(seconds * 1000);
export const hours = (seconds) => timeOfDay.format(seconds * 1000);

/** [[class, SVG path], …] for each state in a strip of letters u, o, d, -. */
export function stripPaths(strip) {
  const paths = new Map();
  for (let index = 0; index < strip.length; index++) {
    const [name, top, height] = STRIP_BARS[strip[index]] ?? STRIP_BARS["-"];
    paths.set(name, `${paths.get(name) ?? ""}M${index * 4} ${top}h3v${height}h-3z`);
  }
  return [...paths];
}

export function stripWords(strip) {
  const counts = Object.entries(STRIP_WORDS)
    .map(([letter, word]) => [word, strip.split(letter).length - 1])
    .filter(([, count]) => count);
  if (!counts.length) return "nothing known yet";
  return `last ${strip.length} min: ${counts.map((pair) => pair.join(" ")).join(", ")}`;
}

// The server's clock is the one that counts; a viewer's may be wrong.
let behind = Number(document.body.dataset.now) - Date.now() / 1000;
const still = "past" in document.body.dataset; // a page of the past is always of its moment
export const now = () => (still ? Number(document.body.dataset.now) : Date.now() / 1000 + behind);

/** Learn the server's clock from a page it has just rendered. */
export function setClock(serverNow) {
  behind = serverNow - Date.now() / 1000;
}

/** Make a <time> tell how long ago `at` was; it goes on telling by itself. */
export function setAgo(element, at) {
  if (element.dataset.ago === String(at)) return;
  element.dataset.ago = at;
  element.dateTime = new Date(at * 1000).toISOString();
  element.title = clock(at);
  element.textContent = shortSpan(now() - at);
}

/** Put every time below `root` into the viewer's zone. */
export function localise(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const seconds = Date.parse(element.dateTime) / 1000;
    element.title = clock(seconds);
    if (element.dataset.at) element.textContent = clock(seconds);
  }
}

setInterval(() => {
  const moment = now();
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const text = shortSpan(moment - Number(element.dataset.ago));
    if (element.textContent !== text) element.textContent = text;
  }
}, 1000);
