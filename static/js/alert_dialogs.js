// What people do about an alert: acknowledge it, silence it, and take that back.

import { nameOf, wordOf } from "./alert_row.js";
import { ask } from "./ask.js";
import { attempt } from "./forms.js";
import { now } from "./format.js";
import { toast } from "./frame.js";

const LONGEST_SECONDS = 364 * 86400; // the server lets nothing be silent for more than a year
const acknowledging = document.getElementById("acknowledge");
const silencing = document.getElementById("silence");
let about = null;
let changed = () => {};

function open(dialog, alert) {
  about = alert;
  for (const place of dialog.querySelectorAll(".about")) place.textContent = `${wordOf(alert.level)}: ${nameOf(alert)} on ${alert.hostname}`;
  dialog.showModal();
}

const path = ({ hostname }) => `/api/0/hosts/${encodeURIComponent(hostname)}/alerts/acknowledge`;
// In a pattern these stand for others; in brackets each stands for itself.
const literally = (text) => text.replaceAll(/[[*?]/g, "[$&]");

async function acknowledge(form) {
  const body = { metric_path: about.metric_path, note: form.elements.note.value.trim() };
  if (!(await attempt(form, () => ask("POST", path(about), body)))) return;
  acknowledging.close();
  toast("Acknowledged");
  changed();
}

async function silence(form) {
  const { scope, span, reason } = form.elements;
  const seconds = Number(span.value) || LONGEST_SECONDS;
  const body = {
    hosts: [literally(about.hostname)],
    metrics: scope.value === "metric" ? [literally(about.metric_path)] : [],
    reason: reason.value.trim(),
    ends: Math.round(now() + seconds),
  };
  if (!(await attempt(form, () => ask("POST", "/api/0/silences", body)))) return;
  silencing.close();
  toast("Silenced");
  changed();
}

async function end(button, call, text) {
  button.disabled = true;
  try {
    await call();
    toast(text);
  } catch (error) {
    toast(error.message);
  } finally {
    button.disabled = false;
  }
  changed();
}

/** Do what a button of an alert says. `does`: its data-does. */
export function act(does, alert, button) {
  if (does === "acknowledge") open(acknowledging, alert);
  else if (does === "silence") {
    silencing.querySelector(".metric").textContent = nameOf(alert);
    silencing.querySelector(".host").textContent = alert.hostname;
    open(silencing, alert);
  } else if (does === "unacknowledge") {
    end(button, () => ask("DELETE", path(alert), { metric_path: alert.metric_path }), "No longer acknowledged");
  } else if (does === "unsilence") {
    end(button, () => ask("DELETE", `/api/0/silences/${alert.held.id}`), "The silence is over");
  }
}

/** `listener()`: something has been changed. */
export function onChange(listener) {
  changed = listener;
}

for (const [dialog, send] of [[acknowledging, acknowledge], [silencing, silence]]) {
  const form = dialog.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  dialog.querySelector("[data-closes]").addEventListener("click", () => dialog.close());
  // A dialog that is opened again begins anew.
  dialog.addEventListener("close", () => {
    form.reset();
    form.querySelector(".error").hidden = true;
  });
}
