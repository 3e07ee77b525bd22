// The page of history: the server draws tables and picture, the charts are made of the picture.

import { fromLocal, ownZone, toLocal } from "./choices.js";
import { Chart } from "./chart.js";
import { Feed } from "./feed.js";
import { clock, now } from "./format.js";
import { showFeed } from "./frame.js";
import { refresh } from "./refresh.js";

const LEAST_ZOOM = 60;
const LEAST_SECONDS = 10; // between two looks at what goes on; a coarser picture changes less often
const MOST_SECONDS = 60;
const SLOW_MS = 200;

const source = document.getElementById("picture");
const charts = document.getElementById("charts");
const failed = document.getElementById("failed");
const loading = document.getElementById("loading");
const plots = new Map();

let picture = null;
let running = false;
let again = false;
let timer = null;
let last = Date.now();

function show() {
  picture = JSON.parse(source.textContent);
  for (const chart of picture?.charts ?? []) {
    const place = [...document.querySelectorAll(".plot")].find((plot) => plot.dataset.key === chart.key);
    if (!plots.has(chart.key)) plots.set(chart.key, new Chart(place, zoom));
    plots.get(chart.key).draw(chart, picture);
  }
}

/** Ask the server for what the URL says. `acted`: somebody waits for it. */
async function draw(acted = false) {
  clearTimeout(timer);
  timer = null;
  if (running) {
    again = true;
    return;
  }
  running = true;
  last = Date.now();
  const slow = setTimeout(() => acted && busy(true), SLOW_MS);
  try {
    await refresh(acted);
    failed.hidden = true;
    show();
  } catch (error) {
    fail(error);
  } finally {
    running = false;
    clearTimeout(slow);
    busy(false);
  }
  if (again) {
    again = false;
    draw(true);
  }
}

function busy(waiting) {
  charts?.toggleAttribute("data-busy", waiting);
  loading.textContent = waiting ? "Loading" : "";
}

function fail(error) {
  const reason = error instanceof TypeError ? "the daemon cannot be reached" : error.message;
  failed.querySelector(".text").textContent = `What is shown is of ${clock(now())} or before: ${reason}.`;
  failed.hidden = false;
}

function go(url) {
  history.pushState(null, "", url);
  draw(true);
}

function zoom(from, to) {
  const url = new URL(location.href);
  const middle = (from + to) / 2;
  const half = Math.max(LEAST_ZOOM, to - from) / 2;
  url.searchParams.delete("range");
  url.searchParams.set("from", Math.floor(middle - half));
  url.searchParams.set("to", Math.ceil(middle + half));
  go(url);
}

// What goes on is asked for when samples came in, as often as its points change.
function soon() {
  if (!picture?.live || timer || document.hidden) return;
  const wait = Math.min(MOST_SECONDS, Math.max(LEAST_SECONDS, picture.step / 4)) * 1000;
  timer = setTimeout(draw, Math.max(0, wait - (Date.now() - last)));
}

function pickMetrics() {
  const search = document.getElementById("search-metrics");
  const list = document.querySelector("#metrics .choices");
  search?.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const label of list.querySelectorAll("label")) {
      const text = `${label.title} ${label.textContent}`.toLowerCase();
      label.hidden = !words.every((word) => text.includes(word));
    }
    for (const group of list.querySelectorAll("fieldset")) group.hidden = !group.querySelector("label:not([hidden])");
    document.getElementById("no-metric").hidden = list.querySelector("fieldset:not([hidden])") !== null;
  });
  document.getElementById("metrics")?.addEventListener("toggle", ({ target }) => target.open && search.focus());
}

function pickTimes() {
  const form = document.getElementById("times");
  if (!form) return;
  document.getElementById("zone").textContent = ownZone();
  const fields = [...form.querySelectorAll("[type=datetime-local]")];
  document.getElementById("custom").addEventListener("toggle", ({ target }) => {
    if (!target.open || !picture) return;
    fields[0].value = toLocal(picture.start);
    fields[1].value = picture.live ? "" : toLocal(picture.end);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const url = new URL(location.href);
    url.searchParams.delete("range");
    for (const { name, value } of fields) {
      if (value) url.searchParams.set(name, fromLocal(value));
      else url.searchParams.delete(name);
    }
    document.getElementById("custom").open = false;
    go(url);
  });
}

function recolour() {
  for (const plot of plots.values()) plot.rebuild();
}

document.getElementById("host").addEventListener("change", ({ target }) => target.form.submit());
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-way]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.href);
});
document.getElementById("again")?.addEventListener("click", () => draw(true));
if (source) addEventListener("popstate", () => draw(true));
document.addEventListener("visibilitychange", soon);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });

pickMetrics();
pickTimes();
if (source) show();

const hosts = source ? [document.getElementById("host").value] : [];
const feed = new Feed({ types: ["plugin"], ...(hosts.length && { hosts }) }, (list) => {
  if (list.some(({ type, data }) => type === "plugin" && picture?.plugins.includes(data.plugin))) soon();
});
showFeed(feed);
setInterval(soon, MOST_SECONDS * 1000);
