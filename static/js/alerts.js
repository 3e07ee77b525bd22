// The page of alerts: filters from the URL, rows from the API, asked again when the feed says that something changed.

import { act, onChange } from "./alert_dialogs.js";
import { fillDetail, openDetail } from "./alert_detail.js";
import { LEVELS, fillOver, fillRow, isSilenced, keyOf, makeRow, place } from "./alert_row.js";
import { ask } from "./ask.js";
import { Feed } from "./feed.js";
import { now, setAgo } from "./format.js";
import { isTyping, showAlerts, showFeed, showProblems } from "./frame.js";

const POLL_SECONDS = 15;
const ROWS = 200;
const SETTLE_MS = 50;
const REST = 4; // times as long as an answer takes
const LEAST_REST_MS = 300;
const STATES = {
  open: (alert) => alert.acknowledged == null && !isSilenced(alert),
  acknowledged: (alert) => alert.acknowledged != null,
  silenced: isSilenced,
};

const list = document.getElementById("alerts");
const form = document.getElementById("filters");
const { q: words, host, tag } = form.elements;
const more = document.getElementById("more");
const announced = document.getElementById("announced");
const rows = new Map();
const details = new Map();
const wanted = read();
let found = JSON.parse(document.getElementById("data").textContent);
let limit = ROWS;
let held = false;
let order = [];

// The URL

function read() {
  const url = new URLSearchParams(location.search);
  const levels = (url.get("level") ?? "").toUpperCase().split(",");
  const state = url.get("state") ?? "";
  return {
    q: (url.get("q") ?? "").trim(),
    levels: new Set(LEVELS.filter((level) => levels.includes(level))),
    host: url.get("host") ?? "",
    tag: url.get("tag") ?? "",
    state: state in STATES ? state : "",
  };
}

function address({ q, levels, host, tag, state }) {
  const url = new URLSearchParams();
  if (q) url.set("q", q);
  if (levels.size) url.set("level", LEVELS.filter((level) => levels.has(level)).join(","));
  if (host) url.set("host", host);
  if (tag) url.set("tag", tag);
  if (state) url.set("state", state);
  const text = url.toString().replaceAll("%2C", ",");
  return text ? `/alerts?${text}` : "/alerts";
}

function toggled(level) {
  const levels = new Set(wanted.levels);
  if (!levels.delete(level)) levels.add(level);
  return levels;
}

// Which alerts

const alike = (a, b) => a.toLowerCase() === b.toLowerCase();

/** Whether an alert fits everything in the URL but the levels. */
function fits(alert, parts) {
  if (wanted.host && !alike(alert.hostname, wanted.host)) return false;
  if (wanted.tag && !alert.tags.some((name) => alike(name, wanted.tag))) return false;
  if (wanted.state && !STATES[wanted.state](alert)) return false;
  const { hostname, name, key, metric_path: path, reason, tags } = alert;
  const text = [hostname, name, key, path, reason, ...tags].join("\n").toLowerCase();
  return parts.every((word) => text.includes(word));
}

/** Draw what is known. While somebody points at the rows they keep their places. */
function render() {
  const parts = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
  const ofAnyLevel = found.alerts.filter((alert) => fits(alert, parts));
  const matching = ofAnyLevel.filter((alert) => !wanted.levels.size || wanted.levels.has(alert.level));
  const shown = matching.slice(0, limit).map(keyOf);
  const known = new Map(found.alerts.map((alert) => [keyOf(alert), alert]));
  order = held ? [...new Set([...order, ...shown])] : shown;
  for (const key of order) {
    const row = rows.get(key) ?? makeRow();
    rows.set(key, row);
    if (known.has(key)) fillRow(row, known.get(key));
    else fillOver(row);
  }
  const kept = new Set(order);
  for (const [key, row] of rows) {
    if (kept.has(key)) continue;
    row.remove();
    rows.delete(key);
    details.delete(key);
  }
  let next = list.firstElementChild;
  for (const key of order) {
    const row = rows.get(key);
    if (row === next) next = row.nextElementSibling;
    else list.insertBefore(row, next);
  }
  showCards(ofAnyLevel);
  showRest(matching.length);
}

function showCards(alerts) {
  for (const card of document.querySelectorAll(".tally[data-level]")) {
    const { level } = card.dataset;
    const count = alerts.filter((alert) => alert.level === level).length;
    card.querySelector(".number").textContent = count;
    card.classList.toggle("zero", !count);
    card.href = address({ ...wanted, levels: toggled(level) });
    if (wanted.levels.has(level)) card.setAttribute("aria-current", "true");
    else card.removeAttribute("aria-current");
  }
  document.getElementById("affected").textContent = new Set(alerts.map((alert) => alert.hostname)).size;
  for (const place of document.querySelectorAll(".host-count")) place.textContent = found.host_count;
  for (const place of document.querySelectorAll(".host-word")) place.textContent = found.host_count === 1 ? "host" : "hosts";
  document.getElementById("metric-count").textContent = found.metric_count;
  for (const link of form.querySelectorAll("[data-state]")) {
    link.href = address({ ...wanted, state: link.dataset.state });
    if (link.dataset.state === wanted.state) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  choices(host, "Every host", found.alerts.map((alert) => alert.hostname), wanted.host);
  choices(tag, "Every tag", found.alerts.flatMap((alert) => alert.tags), wanted.tag);
  const { open_count: count, open_level: level } = found;
  showProblems({ count, level: level.toLowerCase() });
  showAlerts({ count, level });
}

function choices(select, everything, names, chosen) {
  const known = [...new Set([...names, ...(chosen ? [chosen] : [])])].sort((a, b) => a.localeCompare(b));
  const options = ["", ...known];
  if ([...select.options].map((option) => option.value).join("\n") !== options.join("\n")) {
    select.replaceChildren(...options.map((name) => new Option(name || everything, name)));
  }
  if (select.value !== chosen) select.value = chosen;
}

function showRest(matching) {
  const filtered = wanted.q || wanted.levels.size || wanted.host || wanted.tag || wanted.state;
  form.hidden = !found.alerts.length;
  document.getElementById("quiet").hidden = found.alerts.length > 0 || !found.host_count;
  document.getElementById("no-match").hidden = !found.alerts.length || matching > 0;
  document.getElementById("clear").hidden = !filtered;
  document.getElementById("listed").hidden = !order.length;
  more.hidden = matching <= limit;
  more.textContent = `Show ${Math.min(ROWS, matching - limit)} more of ${matching}`;
}

function changed() {
  history.replaceState(null, "", address(wanted));
  held = false;
  limit = ROWS;
  render();
}

// What is new

let asking = null;
let again = false;
let timer = null;

/** Ask what there is now: at once, and again when something has changed while the answer was on its way. */
async function load() {
  clearTimeout(timer);
  timer = null;
  if (asking) {
    again = true;
    return;
  }
  const begun = performance.now();
  asking = ask("GET", "/api/0/alerts").catch(() => null);
  const answer = await asking;
  if (answer) take(answer);
  const rest = Math.max(LEAST_REST_MS, (performance.now() - begun) * REST);
  // Many who look at many alerts must not keep the daemon busy with telling them.
  await new Promise((resolve) => setTimeout(resolve, rest));
  asking = null;
  if (again) {
    again = false;
    load();
  }
}

function soon() {
  timer ??= setTimeout(load, SETTLE_MS);
}

function take(answer) {
  const before = new Map(found.alerts.map((alert) => [keyOf(alert), alert]));
  const after = new Set(answer.alerts.map(keyOf));
  const news = answer.alerts.filter((alert) => !before.has(keyOf(alert)));
  const over = [...before.keys()].filter((key) => !after.has(key));
  if (over.length && !after.size) setAgo(quietSince(), now());
  found = answer;
  render();
  for (const alert of news) rows.get(keyOf(alert))?.classList.add("changed");
  for (const alert of answer.alerts) {
    const known = before.get(keyOf(alert));
    if (details.has(keyOf(alert)) && known && (known.since !== alert.since || known.level !== alert.level)) {
      fillDetail(details.get(keyOf(alert)), alert);
    }
  }
  if (news.length || over.length) {
    const parts = [news.length && `${news.length} new`, over.length && `${over.length} over`].filter(Boolean);
    announced.textContent = `Alerts: ${parts.join(", ")}`;
  }
}

function quietSince() {
  const place = document.getElementById("quiet-since");
  place.hidden = false;
  return place.querySelector("time");
}

// What people do

const alertOf = (row) => found.alerts.find((alert) => keyOf(alert) === row.dataset.key);

function toggle(row) {
  const button = row.querySelector("[data-does=open]");
  const alert = alertOf(row);
  const open = details.get(row.dataset.key);
  if (open) {
    open.remove();
    details.delete(row.dataset.key);
    button.removeAttribute("aria-controls");
  } else if (alert) {
    const detail = openDetail(row, alert);
    details.set(row.dataset.key, detail);
    button.setAttribute("aria-controls", detail.id);
  }
  button.ariaExpanded = String(!open && Boolean(alert));
}

list.addEventListener("click", (event) => {
  const row = event.target.closest("li.alert");
  if (!row || event.target.closest("a, .detail")) return;
  const button = event.target.closest("button");
  if (!button && !getSelection().isCollapsed) return;
  const alert = alertOf(row);
  if (!button || button.dataset.does === "open") toggle(row);
  else if (alert) act(button.dataset.does, alert, button);
});
list.addEventListener("pointerenter", (event) => {
  held = event.pointerType === "mouse";
});
list.addEventListener("pointerleave", () => {
  held = false;
  render();
});

document.querySelector(".tallies").addEventListener("click", (event) => {
  const card = event.target.closest(".tally");
  if (!card || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  wanted.levels = card.dataset.level ? toggled(card.dataset.level) : new Set();
  changed();
});
form.addEventListener("click", (event) => {
  const link = event.target.closest("[data-state]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  wanted.state = link.dataset.state;
  changed();
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => {
  Object.assign(wanted, { q: words.value.trim(), host: host.value, tag: tag.value });
  changed();
});
document.getElementById("clear").addEventListener("click", (event) => {
  event.preventDefault();
  words.value = "";
  Object.assign(wanted, { q: "", levels: new Set(), host: "", tag: "", state: "" });
  changed();
});
more.addEventListener("click", () => {
  const first = limit;
  limit += ROWS;
  render();
  rows.get(order[first])?.querySelector("[data-does=open]").focus();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target === words && words.value) {
    words.value = "";
    wanted.q = "";
    changed();
  }
  if (isTyping(event)) return;
  const row = document.activeElement?.closest?.("li.alert");
  const step = { j: 1, k: -1 }[event.key];
  if (step) {
    const next = row ? (step > 0 ? row.nextElementSibling : row.previousElementSibling) : list.firstElementChild;
    next?.querySelector("[data-does=open]").focus();
    next?.scrollIntoView({ block: "nearest" });
  }
  const does = { a: "acknowledge", s: "silence" }[event.key];
  const button = does && row?.querySelector(`[data-does=${does}]`);
  if (button && !button.hidden) {
    event.preventDefault();
    button.click();
  }
  if (event.key === "Escape" && row && details.has(row.dataset.key)) {
    toggle(row);
    row.querySelector("[data-does=open]").focus();
  }
});

// Start

for (const row of list.children) {
  place(row);
  rows.set(row.dataset.key, row);
}
words.value = wanted.q;
render();
onChange(load);
const feed = new Feed({ types: ["alert"] }, (news) => {
  if (news.some(({ type }) => type === "alert" || type === "gone")) soon();
});
feed.addEventListener("snapshot", soon);
showFeed(feed);
setInterval(() => document.hidden || load(), POLL_SECONDS * 1000);
document.addEventListener("visibilitychange", () => document.hidden || load());
