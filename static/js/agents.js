// All agents: the table comes from the server; a new one is made here, and the dialog tells when it has reported.

import { ask } from "./ask.js";
import { Feed } from "./feed.js";
import { filterByServer } from "./filtering.js";
import { showFeed, toast } from "./frame.js";
import { Names } from "./names.js";
import { clear, submit } from "./problems.js";
import { keepFresh } from "./refresh.js";

const find = (id) => document.getElementById(id);
const dialog = find("add-agent");
let awaited = null; // the name of a new host until it is heard

// The feed: the table is drawn again, and whoever is waited for arrives

const soon = keepFresh({ settle: 500, least: 5000, poll: 30 });
const feed = new Feed({ types: ["host"] }, (list) => {
  for (const { type, data } of list) if (type === "host") arrive(data);
  soon();
});
showFeed(feed);

function arrive({ name, state }) {
  if (name.toLowerCase() !== awaited || state !== "UP") return;
  awaited = null;
  tell("UP", "●", `received: ${name} is up`);
  const open = find("open-agent");
  open.href = `/agent/${encodeURIComponent(name)}`;
  open.hidden = false;
}

function tell(state, mark, text) {
  const line = find("arrival").querySelector(".sign");
  line.dataset.state = state;
  line.querySelector(".mark").textContent = mark;
  line.querySelector(".word").textContent = text;
}

// The dialog: name, then its key in a line to run

function show(part) {
  for (const one of [find("add-form"), find("added")]) one.hidden = one !== part;
  dialog.setAttribute("aria-labelledby", part.querySelector("h2").id || "add-title");
}

function put(id, text) {
  const box = find(id);
  box.querySelector("code").textContent = text;
  box.querySelector("[data-copy]").dataset.copy = text;
}

function showLines(name, { key, id }) {
  find("added").querySelector("h2").textContent = name;
  put("install-line", dialog.dataset.line.replace("KEY", key));
  put("key-alone", key);
  fillWays({ KEY: key, "HOST-NAME": name, "HOST-NUMBER": id });
}

/** Put what is known now into the places of the lines for other agents; nothing: as they came. */
function fillWays(values) {
  const filled = (text) => Object.entries(values).reduce((told, [place, value]) => told.replaceAll(place, value), text);
  for (const part of dialog.querySelectorAll(".ways :is(pre, code)")) part.textContent = filled((part.dataset.text ??= part.textContent));
  for (const button of dialog.querySelectorAll(".ways [data-copy]")) button.dataset.copy = filled((button.dataset.text ??= button.dataset.copy));
}

function begin() {
  awaited = null;
  find("add-form").reset();
  tags.values = [];
  clear(find("add-form"));
  for (const id of ["install-line", "key-alone"]) put(id, "");
  fillWays({});
  find("open-agent").hidden = true;
  tell("", "…", "waiting for the first report");
  show(find("add-form"));
}

let tags = null;
if (dialog) {
  tags = new Names(dialog.querySelector(".names"));
  find("add-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    tags.take();
    const form = event.target;
    const hostname = form.elements.hostname.value.trim();
    const label = form.elements.label.value.trim();
    const body = { hostname, ...(label && { label }), ...(tags.values.length && { tags: tags.values }) };
    const made = await submit(form, () => ask("POST", "/api/agents", body));
    if (!made) return;
    awaited = hostname.toLowerCase();
    showLines(hostname, made);
    show(find("added"));
    find("added").querySelector("h2").focus();
    feed.resync();
    soon();
  });
  find("add-another").addEventListener("click", () => {
    begin();
    find("add-hostname").focus();
  });
  dialog.addEventListener("click", ({ target }) => target.closest("[data-closes]") && dialog.close());
  // The key is shown this once; it does not go away by a slip of a key.
  dialog.addEventListener("cancel", (event) => {
    if (find("added").hidden) return;
    event.preventDefault();
    toast("Close it with the button: the key is shown only now");
  });
  dialog.addEventListener("close", begin);
  if (location.hash === "#add") dialog.showModal();
}
filterByServer();
