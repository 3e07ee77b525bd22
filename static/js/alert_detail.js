// What stands below an alert when it is opened: why it is there, and what it has been.

import { ask } from "./ask.js";
import { MARKS, wordOf } from "./alert_row.js";
import { clock, setAgo } from "./format.js";

const EVENTS = 10;
const template = document.getElementById("detail");
let number = 0;

/** Open the details of an alert below its row; gives its element. */
export function openDetail(row, alert) {
  const detail = template.content.firstElementChild.cloneNode(true);
  detail.id = `detail-${(number += 1)}`;
  detail.querySelector(".path").textContent = alert.metric_path;
  detail.querySelector(".rule").textContent = alert.rule || "hbd itself";
  setAgo(detail.querySelector(".checked"), alert.last_check);
  const plugin = alert.metric_path.split(".")[0];
  const link = detail.querySelector(".more");
  link.href = `/plugins?${new URLSearchParams({ host: alert.hostname, ...(plugin !== "presence" && { plugin }) })}`;
  link.textContent = `Open ${alert.hostname}`;
  const older = detail.querySelector(".older");
  older.addEventListener("click", () => showEvents(detail, alert, Number(older.dataset.before)));
  row.append(detail);
  fillDetail(detail, alert);
  return detail;
}

/** Ask anew why it is so and what has been. */
export function fillDetail(detail, alert) {
  showReason(detail, alert);
  showEvents(detail, alert);
}

async function showReason(detail, { hostname, metric_path: metric, reason }) {
  const list = detail.querySelector(".sentences");
  const query = new URLSearchParams({ host: hostname, metric });
  const found = await ask("GET", `/api/0/explain?${query}`).catch(() => null);
  const sentences = found?.text?.length ? found.text : [reason];
  list.replaceChildren(...sentences.map((text) => element("li", text)));
}

async function showEvents(detail, { hostname, metric_path: metric }, before = null) {
  const list = detail.querySelector(".past ol");
  const nothing = detail.querySelector(".past .nothing");
  const older = detail.querySelector(".older");
  const query = new URLSearchParams({ host: hostname, metric, limit: EVENTS, ...(before && { before }) });
  let found;
  try {
    found = await ask("GET", `/api/0/alerts/history?${query}`);
  } catch (error) {
    nothing.textContent = error.message;
    nothing.hidden = false;
    return;
  }
  if (before) list.append(...found.events.map(event));
  else list.replaceChildren(...found.events.map(event));
  nothing.textContent = "Nothing is remembered.";
  nothing.hidden = list.childElementCount > 0;
  older.hidden = found.next == null;
  older.dataset.before = found.next ?? "";
}

function event({ after, time, reason }) {
  const item = element("li", "");
  const mark = element("span", MARKS[after], "mark");
  const at = element("time", clock(time));
  mark.ariaHidden = "true";
  at.dateTime = new Date(time * 1000).toISOString();
  item.dataset.level = after;
  item.append(mark, element("b", after === "OK" ? "OK" : wordOf(after)), element("span", reason, "because"), at);
  return item;
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
