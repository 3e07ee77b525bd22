// What every page has: theme, density, search, keys, the state of the feed, title and icon.

import { ask } from "./ask.js";
import { hours, localise } from "./format.js";
import { openPalette } from "./palette.js";
import { applyChoices } from "./theme.js";

const STALE_SECONDS = 45;
const COUNT_MS = 1000;
const MOST_COUNTED = 999;
const page = document.body.dataset;
const icon = document.getElementById("icon");
const status = document.getElementById("feed");

/** Title and icon say how many watched hosts are not up, and how bad it is. */
export function showProblems({ count, level }) {
  const title = `${count ? `(${count}) ` : ""}${page.title} · hbd`;
  if (document.title !== title) document.title = title;
  const href = `/static/${page.version}/icon-${level}-${Math.min(count, 10)}.svg`;
  if (icon.getAttribute("href") !== href) icon.href = href;
}

/** Tell beside the word Alerts how many of them wait for somebody. level: of the worst. */
export function showAlerts({ count, level }) {
  const place = document.getElementById("open-alerts");
  const number = place.querySelector(".number");
  const text = count > MOST_COUNTED ? `${MOST_COUNTED}+` : String(count);
  if (number.textContent !== text) number.textContent = text;
  place.dataset.level = level;
  place.hidden = !count;
}

/** Keep that number as it is now, on a page that does not know the alerts themselves. */
function countAlerts(feed) {
  let timer = null;
  const count = async () => {
    timer = null;
    const found = await ask("GET", "/api/0/alerts?limit=0").catch(() => null);
    if (found) showAlerts({ count: found.open_count, level: found.open_level });
  };
  for (const type of ["alert", "snapshot"]) {
    feed.addEventListener(type, () => {
      timer ??= setTimeout(count, type === "alert" ? COUNT_MS / 4 : COUNT_MS);
    });
  }
}

/** Tell in words whether what is shown is of now. `expected`: whether something should be coming in. */
export function showFeed(feed, expected = () => false) {
  const tell = () => {
    const silent = feed.lastWord && (Date.now() - feed.lastWord) / 1000 > STALE_SECONDS;
    const asOf = feed.lastWord ? `as of ${hours(feed.lastWord / 1000)}` : "";
    let state = feed.state;
    let text = state;
    if (state === "lost") {
      const seconds = Math.ceil((feed.retryAt - Date.now()) / 1000);
      const retry = seconds > 0 ? `reconnecting in ${seconds} s` : "reconnecting";
      text = innerWidth >= 760 && asOf ? `${asOf}, ${retry}` : retry;
    } else if (state === "live" && silent && expected()) {
      state = "lost";
      text = asOf;
    }
    status.dataset.state = state;
    if (status.textContent !== text) status.textContent = text;
  };
  feed.addEventListener("state", tell);
  setInterval(tell, 1000);
  tell();
  if (!document.getElementById("alerts")) countAlerts(feed);
}

/** Whether a key press is meant for a field and not for the page. */
export function isTyping(event) {
  return event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog");
}

export function toast(text) {
  document.querySelector(".toast")?.remove();
  const box = document.createElement("p");
  box.className = "toast";
  box.role = "status";
  box.textContent = text;
  document.body.append(box);
  setTimeout(() => box.remove(), 2500);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("The browser does not let this page copy; select the line instead");
  }
}

function dismiss() {
  document.documentElement.dataset.banner = "hidden";
  try {
    sessionStorage.setItem("hbd.banner", "hidden");
  } catch {
    // Storage may be forbidden; the banner then comes back with the next page.
  }
}

function closeMenu(menu) {
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
}

function start() {
  const help = document.getElementById("help");
  applyChoices();
  localise();
  document.getElementById("open-palette").addEventListener("click", () => openPalette());
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button.dataset.copy);
    const opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens).showModal();
    if (event.target.closest("#dismiss")) dismiss();
    // What was typed is not lost by a click beside it.
    if (event.target.matches("dialog:not(:has(.fields))")) event.target.close();
    for (const menu of document.querySelectorAll("details.menu[open], details.explained[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette();
    } else if (event.key === "Escape") {
      closeMenu(event.target.closest?.("details.menu[open], details.explained[open]"));
    } else if (event.key === "?" && !isTyping(event)) {
      help.showModal();
    } else if (event.key === "/" && !isTyping(event)) {
      event.preventDefault();
      const filter = document.getElementById("filter");
      if (filter) filter.select();
      else openPalette();
    }
  });
}

start();
