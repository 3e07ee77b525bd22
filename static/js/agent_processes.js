// Watched processes: the list comes from the server, every change goes through the API.

import { follow } from "./agent.js";
import { ask } from "./ask.js";
import { setAgo } from "./format.js";
import { done, watchForms } from "./forms.js";
import { clear, submit, watchParts } from "./problems.js";

const find = (id) => document.getElementById(id);
const dialog = find("edit-process");
const form = find("process-form");
const { path } = form.dataset;
const showParts = watchParts(form);
const BOXES = ["enabled", "alert_on_down", "alert_on_restart", "alert_on_cpu", "alert_on_memory"];
const LIMITS = ["cpu_threshold_pct", "memory_threshold_pct"];
const WORDS = {
  duplicate_process: "process_name: a process of that name is watched here already",
  plan_limit_reached: "As many processes are watched here as the plan allows. Stop watching another one first.",
  not_found: "It is not watched any more.",
};
let edited = null;

function edit(process) {
  edited = process;
  form.reset();
  find("edit-title").textContent = process ? process.process_name : "Watch a process";
  if (process) {
    form.elements.process_name.value = process.process_name;
    for (const name of BOXES) form.elements[name].checked = Boolean(process[name]);
    for (const name of LIMITS) form.elements[name].value = process[name];
  }
  const remove = find("delete-process");
  remove.hidden = !process;
  if (process) {
    const what = "Its samples go, too. That cannot be undone.";
    Object.assign(remove.dataset, { path: `${path}/${process.id}`, confirm: `Stop watching ${process.process_name}?`, what });
  }
  showParts();
  clear(form);
  dialog.showModal();
}

function body() {
  const { elements } = form;
  const boxes = BOXES.map((name) => [name, elements[name].checked]);
  // A limit that cannot be seen stays as it is.
  const limits = LIMITS.filter((name) => !elements[name].closest("[hidden]")).map((name) => [name, Number(elements[name].value)]);
  return { process_name: elements.process_name.value.trim(), ...Object.fromEntries([...boxes, ...limits]) };
}

async function send() {
  try {
    return await (edited ? ask("PUT", `${path}/${edited.id}`, body()) : ask("POST", path, body()));
  } catch (error) {
    error.message = WORDS[error.message] ?? error.message;
    throw error;
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!(await submit(form, send))) return;
  dialog.close();
  await done(edited ? "Saved" : "It is watched from now on");
  tellAges();
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-adds], [data-edits]");
  if (button) edit(button.dataset.edits ? JSON.parse(button.closest("tr").dataset.process) : null);
});

function tellAges() {
  for (const time of document.querySelectorAll("time[data-ago-iso]")) setAgo(time, Date.parse(time.dateTime) / 1000);
}

watchForms();
follow(["host", "plugin"], tellAges);
tellAges();
