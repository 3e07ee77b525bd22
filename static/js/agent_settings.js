// Settings of a host: its label, its tags, its key, and the end of it.

import { at, follow, host } from "./agent.js";
import { ask } from "./ask.js";
import { attempt, done, watchForms } from "./forms.js";
import { Names } from "./names.js";
import { clear, submit } from "./problems.js";
import { rest } from "./refresh.js";

const find = (id) => document.getElementById(id);
const own = (path) => `/api/0/hosts/${encodeURIComponent(host.name)}${path}`;

// Label and tags

const about = find("about");
const tags = new Names(about.querySelector(".names"));
tags.values = JSON.parse(about.dataset.agent).given_tags;
about.addEventListener("submit", async (event) => {
  event.preventDefault();
  tags.take();
  const body = { label: about.elements.label.value.trim(), tags: tags.values };
  if (await submit(about, () => ask("PUT", at(""), body))) await done("Saved");
});

// Reports of other systems' agents

const terms = find("terms");
terms.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { enabled, min_report_interval: least } = terms.elements;
  const body = { enabled: enabled.checked, min_report_interval: Number(least.value) };
  if (await submit(terms, () => ask("PUT", own("/reporting"), body))) await done("Saved");
});

// The key

const keyDialog = find("new-key");
const made = find("key-made");

function put(box, text) {
  box.querySelector("code").textContent = text;
  box.querySelector("[data-copy]").dataset.copy = text;
}

function showKey({ key }) {
  put(made.querySelector(".copyable"), key);
  put(find("key-line"), keyDialog.dataset.line.replace("KEY", key));
  find("key-ask").hidden = true;
  made.hidden = false;
  made.querySelector("h2").focus();
}

document.addEventListener("click", ({ target }) => target.closest("#rotate") && keyDialog.showModal());
find("key-ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await attempt(event.target, () => ask("POST", at("/key")));
  if (!answer) return;
  showKey(answer);
  await done("The key is made");
});
keyDialog.addEventListener("cancel", (event) => made.hidden || event.preventDefault());
keyDialog.addEventListener("close", () => {
  for (const box of made.querySelectorAll(".copyable")) put(box, "");
  made.hidden = true;
  find("key-ask").hidden = false;
});

// The end

const last = find("delete-form");
last.addEventListener("input", () => {
  find("delete").disabled = last.elements.typed.value.trim().toLowerCase() !== host.name.toLowerCase();
});
last.addEventListener("submit", async (event) => {
  event.preventDefault();
  clear(last);
  rest(true);
  if (await submit(last, () => ask("DELETE", own("")))) location.assign("/agents");
  else rest(false);
});
find("delete-host").addEventListener("close", () => {
  find("delete").disabled = true;
});

watchForms();
follow();
