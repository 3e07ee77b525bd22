// Ctrl-K: hosts, pages and actions in one list.

import { ask } from "./ask.js";
import { MARKS } from "./format.js";
import { setDensity, setTheme } from "./theme.js";

const SHOWN = 50;
const dialog = document.getElementById("palette");
const input = dialog.querySelector("input");
const list = dialog.querySelector("ul");
const nothing = dialog.querySelector(".nothing");

const pages = [...document.querySelectorAll(".rail > a.item, #me a")].map((link) => ({
  kind: "Page",
  label: (link.querySelector(".label") ?? link).textContent.trim(),
  run: () => location.assign(link.href),
}));
const join = document.getElementById("join");
const signOut = document.getElementById("sign-out");
const actions = [
  ...(join ? [{ label: "Add a machine", run: () => join.showModal() }] : []),
  ...(signOut ? [{ label: "Sign out", run: () => signOut.submit() }] : []),
  { label: "Light theme", run: () => setTheme("light") },
  { label: "Dark theme", run: () => setTheme("dark") },
  { label: "Theme as the system", run: () => setTheme("system") },
  { label: "Comfortable density", run: () => setDensity("comfortable") },
  { label: "Compact density", run: () => setDensity("compact") },
].map((action) => ({ kind: "Action", ...action }));

let hosts = [];
let shown = [];
let chosen = 0;
let source = () => ask("GET", "/api/0/hosts");

/** Where the hosts come from, when the page knows them already. */
export function setHosts(give) {
  source = give;
}

export async function openPalette() {
  if (dialog.open) return;
  input.value = "";
  dialog.showModal();
  show();
  const known = await source().catch(() => []);
  hosts = known.map((host) => ({
    kind: "Host",
    label: host.name,
    state: host.state,
    run: () => location.assign(`/agent/${encodeURIComponent(host.name)}`),
  }));
  show();
}

function show() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (entry) => words.every((word) => entry.label.toLowerCase().includes(word));
  const all = words.length ? [...hosts, ...pages, ...actions] : [...pages, ...actions, ...hosts];
  shown = all.filter(fits).slice(0, SHOWN);
  chosen = 0;
  list.replaceChildren(...shown.map(item));
  nothing.hidden = shown.length > 0;
  list.hidden = !shown.length;
  mark();
}

function item(entry, index) {
  const element = document.createElement("li");
  element.id = `palette-${index}`;
  element.role = "option";
  element.dataset.index = index;
  if (entry.state) {
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.dataset.state = entry.state;
    mark.ariaHidden = "true";
    mark.textContent = MARKS[entry.state];
    element.append(mark);
  }
  for (const [name, text] of [["label", entry.label], ["kind", entry.kind]]) {
    const span = document.createElement("span");
    span.className = name;
    span.textContent = text;
    element.append(span);
  }
  return element;
}

function mark() {
  [...list.children].forEach((element, index) => {
    element.ariaSelected = String(index === chosen);
    if (index === chosen) element.scrollIntoView({ block: "nearest" });
  });
  if (shown.length) input.setAttribute("aria-activedescendant", `palette-${chosen}`);
  else input.removeAttribute("aria-activedescendant");
}

function run(index) {
  dialog.close();
  shown[index]?.run();
}

input.addEventListener("input", show);
input.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && shown.length) {
    event.preventDefault();
    chosen = (chosen + step + shown.length) % shown.length;
    mark();
  } else if (event.key === "Enter") {
    event.preventDefault();
    run(chosen);
  }
});
list.addEventListener("click", (event) => {
  const element = event.target.closest("li");
  if (element) run(Number(element.dataset.index));
});
