// Installing an agent over SSH: the form begins it, its steps come as they are done.

import { ask } from "./ask.js";
import { Events } from "./events.js";
import { Feed } from "./feed.js";
import { watchForms } from "./forms.js";
import { showFeed, toast } from "./frame.js";
import { submit } from "./problems.js";
import { refresh } from "./refresh.js";

const API = "/api/agents/deployments";
const POLL_SECONDS = 30;
const find = (id) => document.getElementById(id);
const form = find("deploy-form");
const progress = find("progress");
const LOOKS = JSON.parse(progress.dataset.looks);
let shown = JSON.parse(progress.dataset.deployment);
let events = null;

async function begin(hostKey = "") {
  const { host, ssh_user: user, ssh_port: port, ssh_key: key, label, name, alone, self_update: update } = form.elements;
  const body = {
    host: host.value.trim(),
    ssh_user: user.value.trim(),
    ssh_port: Number(port.value),
    ssh_key: key.value.trim(),
    label: label.value.trim(),
    name: name.value.trim(),
    scope: alone.checked ? "user" : "system",
    self_update: update.checked,
    ...(hostKey && { host_key: hostKey }),
  };
  const answer = await submit(form, () => ask("POST", API, body));
  if (!answer) return;
  const url = new URL(location.href);
  url.search = new URLSearchParams({ id: answer.id });
  history.replaceState(null, "", url);
  watch(answer.id);
  progress.hidden = false;
  progress.scrollIntoView({ block: "nearest" });
  refresh().catch(() => {});
}

// What is being done

function watch(id) {
  events?.close();
  events = new Events(`${API}/${id}/stream`, {
    onEvents: (list) => show(JSON.parse(list.at(-1).data)),
    onState: (state, words) => {
      find("lost").textContent = state === "refused" ? words : "The connection to hbd is lost; the deployment goes on.";
      find("lost").hidden = state === "live" || state === "over";
    },
    last: ({ data }) => JSON.parse(data).status !== "running",
  });
}

function sign(element, status) {
  const [state, mark] = LOOKS[status];
  element.dataset.state = state;
  element.querySelector(".mark").textContent = mark;
}

function step({ title, status, detail }) {
  const item = find("step").content.firstElementChild.cloneNode(true);
  sign(item, status);
  item.querySelector(".title").textContent = title;
  item.querySelector(".visually-hidden").textContent = `: ${status}`;
  item.querySelector(".below").textContent = detail;
  return item;
}

function show(deployment) {
  shown = deployment;
  const { host, status, steps, error } = deployment;
  progress.hidden = false;
  find("progress-title").textContent = host;
  sign(find("outcome"), status);
  find("outcome").querySelector(".word").textContent = status;
  find("steps").replaceChildren(...steps.map(step));
  find("cancel").hidden = status !== "running";
  // What is wrong with a step stands beside it already.
  find("failure").textContent = error;
  find("failure").hidden = !error || steps.some(({ detail }) => detail === error);
  showWayOn(deployment);
  if (status !== "running") refresh().catch(() => {});
}

function showWayOn({ name, status, code, host, host_key: key, ssh_port: port }) {
  find("installed").hidden = status !== "done";
  find("open-agent").href = `/agent/${encodeURIComponent(name)}`;
  find("known-host").hidden = code !== "known_host";
  find("unknown-key").hidden = code !== "unknown_host_key";
  find("changed-key").hidden = code !== "changed_host_key";
  for (const place of progress.querySelectorAll(".fingerprint")) place.textContent = key;
  const path = `/api/agents/host_keys/${encodeURIComponent(host)}?port=${port}`;
  Object.assign(find("forget-key").dataset, { path, confirm: `Forget the recorded key of ${host}?` });
  find("again").hidden = status !== "failed" && status !== "cancelled";
}

async function cancel() {
  find("cancel").disabled = true;
  try {
    await ask("DELETE", `${API}/${shown.id}`);
  } catch (error) {
    toast(error.message);
  } finally {
    find("cancel").disabled = false;
  }
}

function fillAgain() {
  const { elements } = form;
  for (const name of ["host", "ssh_user", "ssh_port", "label"]) elements[name].value = shown[name];
  elements.host.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
find("cancel").addEventListener("click", cancel);
find("again").addEventListener("click", fillAgain);
find("trust-key").addEventListener("click", () => {
  if (!form.elements.host.value) fillAgain();
  begin(shown.host_key);
});
if (shown) {
  show(shown);
  if (shown.status === "running") watch(shown.id);
}
watchForms();
showFeed(new Feed({ types: ["message"] }, () => {}));
setInterval(() => document.hidden || refresh().catch(() => {}), POLL_SECONDS * 1000);
