// The live table: filter, sort, group and view from the URL, rows from the store, changes from the feed.

import { ask } from "./ask.js";
import { Feed } from "./feed.js";
import { isTyping, showFeed, showProblems } from "./frame.js";
import { onFilter, showMessages } from "./messages.js";
import { setHosts } from "./palette.js";
import { SORT_KEYS, drawSparks, fillRow, makeRow } from "./row.js";
import { Sparks } from "./sparks.js";
import { Store } from "./store.js";
import { VirtualTable } from "./table.js";

const RESYNC_MINUTES = 5;
const ARRANGE_SECONDS = 1;
const LARGEST_FIRST = new Set(["cpu", "memory", "disk", "load", "network", "strip", "seen"]);
const data = JSON.parse(document.getElementById("data").textContent);
const store = new Store(data.hosts, data.messages);
const sparks = new Sparks();
const roomy = matchMedia("(width >= 1000px)"); // where the style sheet shows lines
const live = document.getElementById("live");
const tableElement = document.getElementById("hosts");
const filter = document.getElementById("filter");
const group = document.getElementById("group");
const folded = document.getElementById("folded");
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const table = new VirtualTable(tableElement, (item) => (item.group ? groupRow() : makeRow()), fill);

const wanted = read();
let held = false;
let order = [];
let arranging = null;
let ranks = new Map();

// The URL

function read() {
  const url = new URLSearchParams(location.search);
  const sort = url.get("sort") in SORT_KEYS ? url.get("sort") : "state";
  return {
    q: url.get("q") ?? "",
    states: new Set((url.get("state") ?? "").toUpperCase().split(",").filter(Boolean)),
    sort,
    order: ["asc", "desc"].includes(url.get("order")) ? url.get("order") : usual(sort),
    group: ["tag", "state"].includes(url.get("group")) ? url.get("group") : "",
    view: ["cards", "messages"].includes(url.get("view")) ? url.get("view") : "table",
  };
}

function usual(sort) {
  return LARGEST_FIRST.has(sort) ? "desc" : "asc";
}

function write() {
  const url = new URLSearchParams();
  if (wanted.q) url.set("q", wanted.q);
  if (wanted.states.size) url.set("state", [...wanted.states].join(","));
  if (wanted.sort !== "state") url.set("sort", wanted.sort);
  if (wanted.order !== usual(wanted.sort)) url.set("order", wanted.order);
  if (wanted.group) url.set("group", wanted.group);
  if (wanted.view !== "table") url.set("view", wanted.view);
  const text = url.toString().replaceAll("%2C", ",");
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

// Which hosts, in which order

function fits(host, words) {
  if (wanted.states.size && !wanted.states.has(host.state)) return false;
  if (!words.length) return true;
  const text = [host.name, host.label, host.os, ...host.tags].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

// Comparing names is slow and they hardly change: each has a number.
function rank(name) {
  if (ranks.size !== store.hosts.size || !ranks.has(name)) {
    const names = [...store.hosts.keys()].sort(collator.compare);
    ranks = new Map(names.map((entry, index) => [entry, index]));
  }
  return ranks.get(name);
}

function sorted(hosts) {
  const key = SORT_KEYS[wanted.sort];
  const sign = wanted.order === "asc" ? 1 : -1;
  const byName = wanted.sort === "host" ? sign : 1;
  const keyed = hosts.map((host) => ({ host, key: key(host) ?? null }));
  keyed.sort((a, b) => {
    if (a.key !== b.key) {
      if (a.key === null) return 1;
      if (b.key === null) return -1;
      if (a.key < b.key) return -sign;
      if (a.key > b.key) return sign;
    }
    return byName * (rank(a.host.name) - rank(b.host.name));
  });
  return keyed.map((entry) => entry.host);
}

function grouped(hosts) {
  if (!wanted.group) return hosts.map((host) => ({ key: host.name, name: host.name }));
  const groups = new Map();
  for (const host of hosts) {
    const names = wanted.group === "state" ? [host.state.toLowerCase()] : host.tags.length ? host.tags : [""];
    for (const name of names) groups.set(name, [...(groups.get(name) ?? []), host]);
  }
  const names = [...groups.keys()];
  if (wanted.group === "tag") names.sort((a, b) => (a === "") - (b === "") || collator.compare(a, b));
  return names.flatMap((name) => [
    { key: `group ${name}`, group: name || "no tag", count: groups.get(name).length },
    ...groups.get(name).map((host) => ({ key: `${name} ${host.name}`, name: host.name })),
  ]);
}

// Rows say what is new at once; they change places at most once a second.
function arrangeSoon() {
  table.render();
  arranging ??= setTimeout(() => arrange(), ARRANGE_SECONDS * 1000);
}

/** Choose and order anew. While somebody points at the table its rows keep their places. */
function arrange(force = false) {
  clearTimeout(arranging);
  arranging = null;
  const words = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
  if (force || !held) {
    order = grouped(sorted([...store.hosts.values()].filter((host) => fits(host, words))));
  } else {
    order = order.filter((item) => item.group || store.hosts.has(item.name));
  }
  table.setItems(order);
  document.getElementById("no-match").hidden = order.length > 0;
}

function fill(row, item) {
  if (item.group) {
    row.firstElementChild.textContent = `${item.group} · ${item.count}`;
    row.firstElementChild.colSpan = table.columns;
    return;
  }
  const host = store.hosts.get(item.name);
  if (!host) return;
  fillRow(row, host);
  if (roomy.matches && wanted.view !== "cards") drawSparks(row, sparks.of(host));
}

function groupRow() {
  const row = document.createElement("tr");
  const cell = document.createElement("th");
  row.className = "group";
  row.role = "row";
  cell.role = "rowheader";
  cell.scope = "rowgroup";
  row.append(cell);
  return row;
}

// What is shown beside the rows

function showCounts() {
  const counts = store.counts();
  for (const chip of document.querySelectorAll(".chip[data-state]")) {
    const count = counts[chip.dataset.state];
    const number = chip.querySelector("b");
    if (number.textContent !== String(count)) number.textContent = count;
    chip.classList.toggle("zero", !count);
    if (wanted.states.has(chip.dataset.state)) chip.setAttribute("aria-current", "true");
    else chip.removeAttribute("aria-current");
  }
  const raised = store.raised();
  document.getElementById("raised").hidden = Object.values(raised).every((count) => !count);
  for (const chip of document.querySelectorAll("#raised .chip")) {
    const count = raised[chip.dataset.level];
    chip.hidden = !count;
    chip.querySelector("b").textContent = count;
  }
  showProblems(store.problems());
  document.getElementById("empty").hidden = store.hosts.size > 0;
  document.getElementById("monitor").hidden = !store.hosts.size;
}

function showChoices() {
  for (const head of tableElement.tHead.rows[0].cells) {
    if (head.dataset.sort === wanted.sort) {
      head.ariaSort = wanted.order === "asc" ? "ascending" : "descending";
    } else {
      head.removeAttribute("aria-sort");
    }
  }
  for (const button of document.querySelectorAll("button[data-view]")) {
    button.ariaPressed = String(button.dataset.view === wanted.view);
  }
  live.dataset.view = wanted.view;
  folded.media = wanted.view === "cards" ? "all" : "(width < 760px)";
  group.value = wanted.group;
}

function changed() {
  write();
  showChoices();
  showCounts();
  arrange(true);
}

// What people do

document.querySelector(".chips").addEventListener("click", (event) => {
  const chip = event.target.closest(".chip");
  if (!chip || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const { state } = chip.dataset;
  if (!wanted.states.delete(state)) wanted.states.add(state);
  changed();
});

tableElement.tHead.addEventListener("click", (event) => {
  const head = event.target.closest("th");
  if (!head || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const { sort } = head.dataset;
  if (sort === wanted.sort) wanted.order = wanted.order === "asc" ? "desc" : "asc";
  else Object.assign(wanted, { sort, order: usual(sort) });
  changed();
});

for (const button of document.querySelectorAll("button[data-view]")) {
  button.addEventListener("click", () => {
    wanted.view = button.dataset.view;
    changed();
    // A style sheet that has just been switched on is laid out in the next frame.
    requestAnimationFrame(() => table.layout());
  });
}

filter.form.addEventListener("submit", (event) => event.preventDefault());
filter.addEventListener("input", () => {
  wanted.q = filter.value.trim();
  changed();
});
group.addEventListener("change", () => {
  wanted.group = group.value;
  changed();
});
onFilter(() => showMessages(store.messages));

tableElement.addEventListener("pointerenter", (event) => {
  held = event.pointerType === "mouse";
});
tableElement.addEventListener("pointerleave", () => {
  held = false;
  arrange();
});
tableElement.tBodies[0].addEventListener("click", (event) => {
  const row = event.target.closest("tr.host");
  if (row && !event.target.closest("a") && getSelection().isCollapsed) row.querySelector(".c-host a:not(.raised)").click();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target === filter) {
    filter.value = "";
    wanted.q = "";
    filter.blur();
    changed();
  }
  const step = { j: 1, k: -1 }[event.key];
  if (!step || isTyping(event)) return;
  const row = document.activeElement?.closest?.("tr.host");
  let index = row ? Number(row.ariaRowIndex) - 2 + step : 0;
  while (order[index]?.group) index += step;
  if (order[index]) table.reveal(index)?.querySelector(".c-host a:not(.raised)").focus({ preventScroll: true });
});

// Start

store.addEventListener("change", (event) => {
  if (event.changed.size) {
    for (const name of event.changed) if (store.hosts.has(name)) sparks.take(store.hosts.get(name));
    showCounts();
    // Whoever may not see a host any more loses it at once.
    if ([...event.changed].some((name) => !store.hosts.has(name))) arrange();
    else arrangeSoon();
  }
  if (event.messages) showMessages(store.messages);
});
// An answer that never came says nothing about who is gone: ask.
store.addEventListener("silence", async () => {
  const hosts = await ask("GET", "/api/0/hosts").catch(() => null);
  if (hosts) store.keep(new Set(hosts.map((host) => host.name)));
});
filter.value = wanted.q;
showChoices();
showCounts();
arrange(true);
showMessages(store.messages);
setHosts(async () => [...store.hosts.values()]);

const feed = new Feed({ types: ["host", "message"] }, (list) => store.take(list));
feed.addEventListener("snapshot", () => {
  store.beginSnapshot();
  sparks.expire();
});
sparks.addEventListener("change", () => table.render());
showFeed(feed, () => store.counts().UP > 0);
setInterval(() => feed.resync(), RESYNC_MINUTES * 60 * 1000);
