// Commands: one is sent from the form, what it writes comes as it is written, the history is the server's.

import { at, follow, host } from "./agent.js";
import { ask } from "./ask.js";
import { Events } from "./events.js";
import { keepFolds } from "./folds.js";
import { watchForms } from "./forms.js";
import { toast } from "./frame.js";
import { localise } from "./format.js";
import { clear, submit } from "./problems.js";
import { refresh } from "./refresh.js";

const MOST_SHOWN = 300_000; // letters of output; what is older goes
const RISKS = {
  low: "Low risk: it looks and changes nothing.",
  medium: "Medium risk: it changes something on the host.",
  high: "High risk: only admins may do this.",
};
const NEEDS = { shell: "shell", service_status: "service", service_restart: "service" };
const SURE = {
  reboot: "The machine goes down and comes up again; whatever runs there is interrupted.",
  service_restart: "Whoever uses the service is interrupted for a moment.",
  update_agent: "The agent puts another version of itself in place and starts anew.",
};
const find = (id) => document.getElementById(id);
const { looks, ended } = find("commands").dataset;
const LOOKS = JSON.parse(looks);
const ENDED = JSON.parse(ended);
const form = find("command");
const box = find("current");
const history = document.querySelector("[data-fragment=history]");
const unfold = keepFolds(history);
let watched = null; // {id, events, seen: letters of each output}

async function redraw() {
  await refresh(true).then(unfold, () => {});
}

// The form

const kind = () => form.elements.type.selectedOptions[0];

function fit() {
  const needed = NEEDS[kind().value];
  for (const part of form.querySelectorAll("[data-for]")) {
    part.hidden = part.dataset.for !== needed;
    // What is not in sight is not needed either.
    part.querySelector(".field").disabled = part.hidden;
  }
  const { risk, title } = kind().dataset;
  find("command-hint").textContent = [title && `${title}.`, RISKS[risk]].filter(Boolean).join(" ");
}

function params() {
  const needed = NEEDS[kind().value];
  const { command, service, timeout } = form.elements;
  if (needed === "shell") return { command: command.value, ...(timeout.value && { timeout: Number(timeout.value) }) };
  return needed === "service" ? { service: service.value.trim() } : {};
}

/** Ask once before something that cannot be taken back. */
function sure(type, given) {
  const { risk } = kind().dataset;
  if (type === "shell" || (risk !== "high" && !SURE[type])) return Promise.resolve(true);
  const dialog = find("sure");
  find("sure-title").textContent = `${type}${given.service ? ` ${given.service}` : ""} on ${host.name}?`;
  dialog.querySelector(".what").textContent = SURE[type] ?? kind().dataset.title ?? "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "do"), { once: true });
  });
}

async function run(event) {
  event.preventDefault();
  clear(form);
  const type = kind().value;
  const body = { type, params: params() };
  if (form.checkValidity() && !(await sure(type, body.params))) return;
  const answer = await submit(form, () => ask("POST", at("/commands"), body));
  if (!answer) return;
  watch(answer.command_id, [type, ...Object.entries(body.params).filter(([name]) => name !== "timeout").map(([, value]) => value)].join(" "));
  await redraw();
}

function fillAgain({ type, params: given }) {
  if (!form || ![...form.elements.type.options].some(({ value }) => value === type)) {
    toast(`This host does not allow ${type} (any more)`);
    return;
  }
  form.elements.type.value = type;
  for (const name of ["command", "service", "timeout"]) if (given[name] !== undefined) form.elements[name].value = given[name];
  fit();
  form.scrollIntoView({ block: "nearest" });
  (form.querySelector("[data-for]:not([hidden]) .field") ?? find("run")).focus();
}

// What runs now

function show(status, words = status) {
  const sign = box.querySelector(".sign");
  const [state, mark] = LOOKS[status] ?? ["", "…"];
  sign.dataset.state = state;
  sign.querySelector(".mark").textContent = mark;
  sign.querySelector(".word").textContent = words;
  find("cancel").hidden = ENDED.includes(status);
}

function note(text) {
  find("current-note").textContent = text;
  find("current-note").hidden = !text;
}

function write(text, stream) {
  const output = find("output");
  const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 4;
  const part = document.createElement("span");
  part.textContent = text;
  if (stream === "stderr") part.className = "stderr";
  output.append(part);
  for (let length = output.textContent.length; length > MOST_SHOWN && output.firstChild !== part; ) {
    length -= output.firstChild.textContent.length;
    output.firstChild.remove();
  }
  if (atEnd) output.scrollTop = output.scrollHeight;
}

function watch(id, words) {
  watched?.events.close();
  box.querySelector("h2 .words").textContent = words;
  find("output").replaceChildren();
  box.hidden = false;
  note("");
  show("queued", host.connected ? "on its way" : `waits for ${host.name}`);
  watched = { id, seen: { stdout: 0, stderr: 0 } };
  watched.events = new Events(at(`/commands/${encodeURIComponent(id)}/stream`), {
    onEvents: (list) => list.forEach(take),
    onState: (state, text) => {
      if (state === "refused") note(text);
      else if (state === "lost") note("The connection to hbd is lost; what was written meanwhile comes when it is back.");
      else if (state === "live") note("");
    },
    last: ({ type }) => type === "result",
  });
}

function take({ type, data }) {
  const told = JSON.parse(data);
  if (type === "output") {
    show("running");
    write(told.text, told.stream);
    watched.seen[told.stream] += told.text.length;
  } else if (type === "status") {
    show(told.status);
  } else if (type === "result") {
    finish(told);
  }
}

function finish(result) {
  const { status, exit_code: code, stdout, stderr, truncated, reason } = result;
  // Who has seen all of it keeps it in the order in which it was written; who came late has not.
  if (watched.seen.stdout !== stdout.length || watched.seen.stderr !== stderr.length) {
    find("output").replaceChildren();
    if (stdout) write(stdout, "stdout");
    if (stderr) write(stderr, "stderr");
  }
  show(status, code ? `${status}, exit code ${code}` : status);
  const words = [reason, truncated && "The output was longer than is kept.", !stdout && !stderr && !reason && "It wrote nothing."];
  note(words.filter(Boolean).join(" "));
  redraw();
}

async function cancel() {
  find("cancel").disabled = true;
  try {
    await ask("DELETE", at(`/commands/${encodeURIComponent(watched.id)}`));
  } catch (error) {
    toast(error.message);
  } finally {
    find("cancel").disabled = false;
  }
}

if (form) {
  form.addEventListener("submit", run);
  form.elements.type.addEventListener("change", fit);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  fit();
}
find("cancel").addEventListener("click", cancel);
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.again) fillAgain(JSON.parse(button.dataset.again));
  if (!button?.dataset.watches) return;
  watch(button.dataset.watches, button.closest("details").querySelector("summary .words").textContent);
  box.scrollIntoView({ block: "nearest" });
});
watchForms();
follow(["host"], () => {
  unfold();
  localise(history);
});
