// Small lines of the last hour, of the hosts in sight: asked for once, then kept up with what the feed says.

import { ask } from "./ask.js";
import { now } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const MINUTES = 60;
const AT_ONCE = 100;
const SETTLE_MS = 150;
const RETRY_MS = 15_000;
const HEIGHT = 16;
const HIGH_PERCENT = 90;
const METRICS = ["cpu_percent", "memory_percent"];

/**
 * The lines of many hosts. Dispatches "change" when some have come. A line is 60 whole minutes and the one that runs, each
 * its mean or null; `version` is another one whenever anything in a host's lines is.
 */
export class Sparks extends EventTarget {
  #lines = new Map();
  #wanted = new Set();
  #timer = null;

  /** The lines of a host that is in sight, {cpu_percent, memory_percent, version}; null until they have come. */
  of({ name }) {
    const lines = this.#lines.get(name);
    if (!lines || lines.stale) this.#want(name);
    if (lines) advance(lines);
    return lines ?? null;
  }

  /** A host has something new. */
  take({ name, state, summary }) {
    const lines = this.#lines.get(name);
    if (!lines) return;
    advance(lines);
    // What a silent host said last is not what it does now.
    if (state !== "UP") return;
    for (const metric of METRICS) if (summary[metric] != null) add(lines, metric, summary[metric]);
  }

  /** The feed was away: what came meanwhile is not in the lines. */
  expire() {
    for (const lines of this.#lines.values()) lines.stale = true;
  }

  #want(name) {
    this.#wanted.add(name);
    this.#timer ??= setTimeout(() => this.#fetch(), SETTLE_MS);
  }

  async #fetch() {
    const names = [...this.#wanted].slice(0, AT_ONCE);
    let delay = SETTLE_MS;
    try {
      const told = await ask("GET", `/api/0/sparklines?${new URLSearchParams({ hosts: names })}`);
      for (const name of names) {
        this.#wanted.delete(name);
        this.#lines.set(name, fresh(told.to / MINUTES, told.hosts[name]));
      }
      this.dispatchEvent(new Event("change"));
    } catch {
      delay = RETRY_MS; // the lines are an extra; that the daemon is away is told elsewhere
    }
    this.#timer = this.#wanted.size ? setTimeout(() => this.#fetch(), delay) : null;
  }
}

let versions = 0;

function fresh(minute, told) {
  const lines = { minute, stale: false, version: ++versions, running: {} };
  for (const metric of METRICS) lines[metric] = [...(told?.[metric] ?? new Array(MINUTES).fill(null)), null];
  return lines;
}

/** Minutes have ended since the lines were last looked at. */
function advance(lines) {
  const minute = Math.floor(now() / MINUTES);
  const ended = minute - lines.minute;
  if (ended <= 0) return;
  const nothing = new Array(Math.min(ended, MINUTES + 1)).fill(null);
  for (const metric of METRICS) lines[metric] = [...lines[metric], ...nothing].slice(-MINUTES - 1);
  lines.minute = minute;
  lines.running = {};
  lines.version = ++versions;
}

function add(lines, metric, value) {
  const running = (lines.running[metric] ??= { sum: 0, count: 0 });
  running.sum += value;
  running.count += 1;
  const mean = Math.round(running.sum / running.count);
  if (lines[metric][MINUTES] === mean) return;
  lines[metric][MINUTES] = mean;
  lines.version = ++versions;
}

/** A place for the line of a metric in a cell of a row. */
export function makeSpark(cell, metric, label) {
  const svg = document.createElementNS(SVG, "svg");
  const [title, area, line] = ["title", "path", "path"].map((name) => svg.appendChild(document.createElementNS(SVG, name)));
  svg.setAttribute("class", "spark hour");
  svg.setAttribute("viewBox", `0 0 ${MINUTES} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  area.setAttribute("class", "area");
  line.setAttribute("class", "line");
  cell.append(svg);
  return { cell, svg, title, area, line, metric, label };
}

/** Draw the line of a host; null: there is none. */
export function drawSpark(place, lines) {
  if (place.version === lines?.version) return;
  place.version = lines?.version;
  const values = lines?.[place.metric] ?? [];
  const known = values.filter((value) => value !== null);
  place.cell.classList.toggle("sparked", known.length > 1);
  if (known.length < 2) return;
  const { line, area } = paths(values);
  place.line.setAttribute("d", line);
  place.area.setAttribute("d", area);
  place.svg.classList.toggle("high", known.at(-1) >= HIGH_PERCENT);
  place.title.textContent = `${place.label}, last hour: ${Math.min(...known)} to ${Math.max(...known)} %`;
}

/** The paths of a line and of what lies below it; where nothing came they are broken. The scale is 0 to 100 for all. */
function paths(values) {
  const runs = [];
  let run = null;
  values.forEach((value, index) => {
    if (value === null) run = null;
    else {
      if (!run) runs.push((run = []));
      run.push(`${index} ${(HEIGHT - 1 - (Math.min(100, Math.max(0, value)) / 100) * (HEIGHT - 2)).toFixed(1)}`);
    }
  });
  const lines = runs.map((points) => `M${points.join("L")}${points.length > 1 ? "" : "h.1"}`);
  const areas = runs.map((points, index) => `${lines[index]}V${HEIGHT}H${points[0].split(" ")[0]}z`);
  return { line: lines.join(""), area: areas.join("") };
}
