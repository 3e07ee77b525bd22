// One alert as a row: finds the places in a row made from the server's template, and fills them.

import { LEVEL_MARKS, clock, longSpan, now, plain, shortSpan } from "./format.js";

export const LEVELS = Object.keys(LEVEL_MARKS);
export const MARKS = { ...LEVEL_MARKS, OK: "●" };
const OPERATORS = { ">=": "≥", "<=": "≤", "==": "=", "!=": "≠" };
const CHECK_ANSWERS = "nagios";
const JOBS = "jobs.";
const template = document.getElementById("row");
const places = new WeakMap();

export const keyOf = (alert) => `${alert.hostname}\n${alert.metric_path}`;
export const wordOf = (level) => level[0] + level.slice(1).toLowerCase();
/** What an alert is about: "Disk space, /". */
export const nameOf = ({ name, key }) => (key ? `${name}, ${key}` : name);
/** Whether nothing is sent of it for now, for another reason than that somebody has acknowledged it. */
export const isSilenced = ({ held }) => held != null && held.kind !== "acknowledged";

function amount(value, unit) {
  return unit ? `${plain(value)} ${unit}` : plain(value);
}

const isSign = (value) => value === 0 || value === 1;

/** [value, limit of the level that is told]. What has none says its reason. */
export function measured(alert) {
  const { last_value: value, operator, unit, warning, critical, level } = alert;
  if (value == null || !operator) return [alert.reason, ""];
  if (operator === CHECK_ANSWERS && alert.metric_path.startsWith(JOBS)) return [alert.reason, ""];
  if (operator === CHECK_ANSWERS) return [`answers ${plain(value)}`, ""];
  const limit = level === "CRITICAL" ? (critical ?? warning) : (warning ?? critical);
  if (isSign(value) && isSign(limit) && (operator === "==" || operator === "!=")) return [value ? "yes" : "no", ""];
  return [amount(value, unit), limit == null ? "" : `${OPERATORS[operator] ?? operator} ${amount(limit, unit)}`];
}

export function makeRow() {
  const row = template.content.firstElementChild.cloneNode(true);
  place(row);
  return row;
}

/** Find the places of a row that the server has drawn. */
export function place(row) {
  const find = (selector) => row.querySelector(selector);
  places.set(row, {
    mark: find(".level .mark"),
    word: find(".level .word"),
    host: find(".where a"),
    tags: find(".where .tags"),
    name: find(".what b"),
    key: find(".what code"),
    value: find(".value b"),
    limit: find(".limit"),
    since: find(".since time"),
    sent: find(".sent"),
    told: find(".told"),
    acknowledge: find("[data-does=acknowledge]"),
    silence: find("[data-does=silence]"),
    open: find("[data-does=open]"),
  });
}

export function fillRow(row, alert) {
  const at = places.get(row);
  const [value, limit] = measured(alert);
  const about = `${nameOf(alert)} on ${alert.hostname}`;
  row.dataset.level = alert.level;
  row.dataset.key = keyOf(alert);
  setText(at.mark, MARKS[alert.level]);
  setText(at.word, wordOf(alert.level));
  setText(at.host, alert.hostname);
  at.host.href = `/agent/${encodeURIComponent(alert.hostname)}`;
  setTags(at.tags, alert.tags);
  setText(at.name, alert.name);
  setText(at.key, alert.key);
  at.key.hidden = !alert.key;
  setText(at.value, value);
  at.value.classList.toggle("words", value === alert.reason);
  setText(at.limit, limit);
  at.limit.hidden = !limit;
  setSince(at.since, alert.since);
  at.sent.hidden = !alert.notification_count;
  setText(at.sent.querySelector(".number"), alert.notification_count);
  at.sent.title = `${messages(alert.notification_count)} sent`;
  setTold(at.told, alert);
  row.classList.toggle("handled", alert.acknowledged != null || isSilenced(alert));
  at.acknowledge.hidden = alert.acknowledged != null || !alert.allowed.includes("acknowledge");
  at.silence.hidden = isSilenced(alert) || !alert.allowed.includes("silence");
  at.acknowledge.ariaLabel = `Acknowledge ${about}`;
  at.silence.ariaLabel = `Silence ${about}`;
  at.open.ariaLabel = `Details of ${about}`;
}

/** Say that an alert is over, where its row stays for a moment. */
export function fillOver(row) {
  const at = places.get(row);
  row.dataset.level = "OK";
  setText(at.mark, MARKS.OK);
  setText(at.word, "Over");
  at.told.replaceChildren();
  for (const button of [at.acknowledge, at.silence]) button.hidden = true;
}

const messages = (count) => `${count} ${count === 1 ? "message" : "messages"}`;

function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function setTags(element, tags) {
  if ([...element.children].map((tag) => tag.textContent).join("\n") === tags.join("\n")) return;
  element.replaceChildren(...tags.map((tag) => part("span", tag, "tag")));
}

function setSince(element, at) {
  if (element.dataset.since === String(at)) return;
  element.dataset.since = at;
  element.dateTime = new Date(at * 1000).toISOString();
  element.title = clock(at);
  element.textContent = longSpan(now() - at);
}

/** Who looks after it, and why nothing is sent; with the buttons that end that. */
function setTold(element, alert) {
  const lines = [];
  const { acknowledged, held, allowed, pending } = alert;
  if (acknowledged) {
    const who = acknowledged.user ? `Acknowledged by ${acknowledged.user}` : "Acknowledged";
    const text = `${who} ${shortSpan(now() - acknowledged.time)} ago`;
    lines.push(line("✓", text, acknowledged.note, allowed.includes("acknowledge") && ["unacknowledge", "Remove acknowledgement"]));
  }
  if (isSilenced(alert)) {
    const ends = held.kind === "silence" && held.id != null && allowed.includes("silence") && ["unsilence", "End silence"];
    lines.push(line("‖", heldWords(held), held.reason, ends));
  }
  if (alert.flapping) lines.push(line("~", "Flapping: its level turns again and again", ""));
  if (pending) lines.push(line("…", `${wordOf(pending)} if it stays so`, ""));
  if (lines.map((entry) => entry.textContent).join() === [...element.children].map((entry) => entry.textContent).join()) return;
  element.replaceChildren(...lines);
}

function heldWords({ kind, by, until }) {
  const left = until == null ? "" : ` for another ${longSpan(until - now())}`;
  if (kind === "silence") return `Silenced${by ? ` by ${by}` : ""}${left}`;
  if (kind === "window") return `Maintenance window${by ? ` of ${by}` : ""}${left}`;
  return `Held${left}`;
}

function line(sign, text, note, button) {
  const item = part("span", "", "told-line");
  const mark = part("span", sign, "mark");
  mark.ariaHidden = "true";
  item.append(mark, part("span", note ? `${text}: ${note}` : text, "words"));
  if (button) {
    const [does, label] = button;
    const element = part("button", label, "link");
    element.type = "button";
    element.dataset.does = does;
    item.append(element);
  }
  return item;
}

function part(name, text, className) {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

setInterval(() => {
  const moment = now();
  for (const element of document.querySelectorAll("time[data-since]")) setText(element, longSpan(moment - Number(element.dataset.since)));
}, 1000);
