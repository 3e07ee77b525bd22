// The plugins page: drawn by the server, drawn again when the feed says that its host has news.

import { Feed } from "./feed.js";
import { isTyping, showFeed } from "./frame.js";
import { refresh } from "./refresh.js";

const POLL_SECONDS = 30;
const SETTLE_MS = 300;
const LEAST_MS = 1000;

const form = document.getElementById("picker");
const pause = document.getElementById("pause");
const { host } = form.dataset;
const plugin = document.getElementById("plugin")?.value;

let paused = false;
let timer = null;
let last = 0;
let running = false;

async function draw() {
  clearTimeout(timer);
  timer = null;
  if (running) return;
  running = true;
  last = Date.now();
  try {
    await refresh();
  } catch {
    // The state of the feed tells that the daemon cannot be reached; the next round tries again.
  } finally {
    running = false;
  }
}

// Samples of one report come close together; they are drawn together.
function soon() {
  if (paused || timer) return;
  timer = setTimeout(draw, Math.max(SETTLE_MS, LEAST_MS - (Date.now() - last)));
}

form.addEventListener("change", (event) => {
  // Another host has plugins of its own.
  if (event.target.id === "host") document.getElementById("plugin")?.setAttribute("disabled", "");
  form.submit();
});
pause.addEventListener("click", () => {
  paused = !paused;
  clearTimeout(timer);
  timer = null;
  pause.ariaPressed = String(paused);
  if (!paused) draw();
});
document.getElementById("refresh").addEventListener("click", draw);
document.addEventListener("keydown", (event) => {
  const step = { j: 1, k: -1 }[event.key];
  if (!step || isTyping(event)) return;
  const tabs = [...document.querySelectorAll(".tabs a")];
  const current = tabs.findIndex((tab) => tab.ariaCurrent === "page");
  tabs[current + step]?.click();
});

const concerns = ({ type, data }) => (type === "plugin" ? data.plugin === plugin || !plugin : type !== "message");
const feed = new Feed({ types: ["host", "plugin"], ...(host && { hosts: [host] }) }, (list) => {
  if (list.some(concerns)) soon();
});
showFeed(feed);
setInterval(() => paused || document.hidden || draw(), POLL_SECONDS * 1000);
