// One host as a row: finds the places in a row made from the server's template, and fills them.

import { LEVEL_MARKS, MARKS, NOTHING, SEVERITY, WORDS, bytes, latency, percent, setAgo, stripPaths, stripWords, word } from "./format.js";
import { drawSpark, makeSpark } from "./sparks.js";

const SVG = "http://www.w3.org/2000/svg";
const HIGH_PERCENT = 90;
const template = document.getElementById("row");
const places = new WeakMap();

export function makeRow() {
  const row = template.content.firstElementChild.cloneNode(true);
  const find = (selector) => row.querySelector(selector);
  const meter = (name) => ({
    cell: find(`.c-${name}`),
    value: find(`.c-${name} .value`),
    meter: find(`.c-${name} .meter`),
    fill: find(`.c-${name} .fill`),
  });
  const family = (name) => ({
    cell: find(`.c-${name}`),
    state: find(`.c-${name} .cell`),
    mark: find(`.c-${name} .mark`),
    word: find(`.c-${name} .word`),
  });
  places.set(row, {
    state: find(".c-state"),
    mark: find(".c-state .mark"),
    word: find(".c-state .word"),
    link: find(".c-host a:not(.raised)"),
    tags: find(".tags"),
    v4: family("v4"),
    v6: family("v6"),
    cpu: meter("cpu"),
    memory: meter("memory"),
    disk: meter("disk"),
    load: meter("load"),
    received: find(".received .amount"),
    sent: find(".sent .amount"),
    strip: find(".strip"),
    seen: find(".c-seen"),
    sparks: [
      makeSpark(find(".c-cpu .cell"), "cpu_percent", "CPU"),
      makeSpark(find(".c-memory .cell"), "memory_percent", "Memory"),
    ],
  });
  return row;
}

export function fillRow(row, host) {
  const at = places.get(row);
  if (at.host === host) return;
  const before = at.host;
  at.host = host;
  const { summary } = host;
  if (before && before.state !== host.state) flash(row);
  row.dataset.state = host.state;
  at.state.dataset.state = host.state;
  at.state.title = host.reason;
  setText(at.mark, MARKS[host.state]);
  setText(at.word, word(host));
  if (!before) {
    setText(at.link, host.name);
    at.link.title = host.name;
    at.link.href = `/agent/${encodeURIComponent(host.name)}`;
  }
  setRaised(at, host);
  setTags(at.tags, host.tags);
  setFamily(at.v4, host, "IPv4");
  setFamily(at.v6, host, "IPv6");
  setPercent(at.cpu, summary.cpu_percent);
  setPercent(at.memory, summary.memory_percent);
  setPercent(at.disk, summary.disk_percent, summary.disk_mount ?? "");
  setLoad(at.load, summary.load_1min, summary.cpu_count);
  setText(at.received, bytes(summary.rx_bytes_per_second));
  setText(at.sent, bytes(summary.tx_bytes_per_second));
  setStrip(at.strip, host.strip);
  setSeen(at.seen, host.last_seen);
}

/** Draw the lines of the last hour; see `Sparks.of`. */
export function drawSparks(row, lines) {
  for (const place of places.get(row).sparks) drawSpark(place, lines);
}

/** How rows compare by a column. null: nothing to compare, always at the end. */
export const SORT_KEYS = {
  state: (host) => SEVERITY[host.state],
  host: () => 0,
  v4: (host) => connectionKey(host, "IPv4"),
  v6: (host) => connectionKey(host, "IPv6"),
  cpu: (host) => host.summary.cpu_percent,
  memory: (host) => host.summary.memory_percent,
  disk: (host) => host.summary.disk_percent,
  load: (host) => host.summary.load_1min,
  network: ({ summary: { rx_bytes_per_second: rx, tx_bytes_per_second: tx } }) =>
    rx == null && tx == null ? null : (rx ?? 0) + (tx ?? 0),
  strip: (host) => host.strip.replaceAll("u", "").replaceAll("-", "").length,
  seen: (host) => host.last_seen,
};

// Trouble first, then by latency.
function connectionKey(host, family) {
  const connection = host.connections.find((entry) => entry.family === family);
  if (!connection) return null;
  return connection.state === "UP" ? (connection.rtt_ms ?? 0) : SEVERITY[connection.state] - 10;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setFamily(at, host, family) {
  const connection = host.connections.find((entry) => entry.family === family);
  at.cell.classList.toggle("dead", !connection);
  if (!connection) {
    at.state.dataset.state = "";
    setText(at.mark, "");
    setText(at.word, NOTHING);
    at.cell.title = `${family}: never seen`;
    return;
  }
  const { state, rtt_ms: rtt, lost, address } = connection;
  at.state.dataset.state = state;
  setText(at.mark, MARKS[state]);
  setText(at.word, state === "UP" && rtt != null ? latency(rtt) : WORDS[state]);
  at.cell.title = `${family} ${address}: ${WORDS[state]}${lost ? `, ${lost} lost` : ""}`;
}

function setMeter(at, text, fill, high, title) {
  setText(at.value, text);
  at.cell.title = title;
  at.cell.classList.toggle("dead", fill == null);
  at.meter.classList.toggle("none", fill == null);
  at.meter.classList.toggle("high", high);
  at.fill.setAttribute("width", Math.min(100, Math.max(0, fill ?? 0)).toFixed(1));
}

function setPercent(at, value, title = "") {
  setMeter(at, percent(value), value ?? null, value >= HIGH_PERCENT, title);
}

// The meter is full when every processor has work for the whole minute.
function setLoad(at, load, cpus) {
  if (load == null) setMeter(at, NOTHING, null, false, "");
  else if (!cpus) setMeter(at, load.toFixed(2), null, false, "");
  else setMeter(at, load.toFixed(2), (load / cpus) * 100, load >= cpus, `${load.toFixed(2)} on ${cpus} CPUs`);
}

// How many alerts there are, where there are some, with the sign of the worst.
function setRaised(at, { name, alerts }) {
  const some = Object.entries(LEVEL_MARKS).map(([level, mark]) => [level, mark, alerts[level.toLowerCase()]]).filter(([, , count]) => count);
  const words = some.map(([level, , count]) => `${count} ${level.toLowerCase()}`).join(", ");
  if (at.raised?.dataset.words === words || (!at.raised && !words)) return;
  at.raised?.remove();
  at.raised = null;
  if (!words) return;
  const link = document.createElement("a");
  link.className = "raised";
  link.dataset.words = words;
  link.href = `/alerts?host=${encodeURIComponent(name)}`;
  link.ariaLabel = `Alerts of ${name}: ${words}`;
  const [[level, mark]] = some;
  const part = document.createElement("span");
  const sign = document.createElement("span");
  part.dataset.level = level;
  sign.className = "mark";
  sign.ariaHidden = "true";
  sign.textContent = mark;
  part.append(sign, some.reduce((sum, [, , count]) => sum + count, 0));
  link.title = words;
  link.append(part);
  at.link.before(link);
  at.raised = link;
}

function setTags(element, tags) {
  if (element.childElementCount === tags.length && tags.every((tag, i) => element.children[i].textContent === tag)) return;
  element.replaceChildren(
    ...tags.map((tag) => {
      const span = document.createElement("span");
      span.className = "tag";
      span.textContent = tag;
      return span;
    }),
  );
}

function setStrip(svg, strip) {
  if (svg.dataset.strip === strip) return;
  svg.dataset.strip = strip;
  svg.ariaLabel = stripWords(strip);
  svg.replaceChildren(
    ...stripPaths(strip).map(([name, d]) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", name);
      path.setAttribute("d", d);
      return path;
    }),
  );
}

function setSeen(cell, at) {
  if (at == null) {
    cell.textContent = "never";
    return;
  }
  let element = cell.querySelector("time");
  if (!element) {
    element = document.createElement("time");
    cell.replaceChildren(element);
  }
  setAgo(element, at);
}

function flash(row) {
  row.classList.remove("changed");
  requestAnimationFrame(() => row.classList.add("changed"));
}
