// Forms and buttons that call the API: what they ask stands in their data attributes.
//
// data-method, data-path: the call. data-done: what is said when it went well. data-within: the fields are members of
// that member of the body. data-only="changes": what has not been changed is not sent. On buttons data-confirm,
// data-what, data-verb: what is asked before; data-leads: the page that it leads to.

import { ask } from "./ask.js";
import { toast } from "./frame.js";
import { refresh, rest } from "./refresh.js";
import { watchPasswords } from "./reveal.js";

const confirming = document.getElementById("confirm");
let asking = null;

/** The fields of a form as JSON. */
function bodyOf(form) {
  const body = {};
  for (const field of form.elements) {
    const { name, dataset } = field;
    const alike = dataset.as === "names" ? namesakes(form, name) : [field];
    if (!name || dataset.as === "nothing" || (form.dataset.only && !alike.some(isChanged))) continue;
    if (dataset.as === "names") body[name] = alike.filter((one) => one.checked).map((one) => one.value);
    else body[name] = field.type === "checkbox" ? field.checked : field.value;
  }
  return form.dataset.within ? { [form.dataset.within]: body } : body;
}

/** The boxes that stand for one list of names. */
function namesakes(form, name) {
  return [...form.elements].filter((field) => field.name === name);
}

function isChanged(field) {
  if (field.type === "checkbox") return field.checked !== field.defaultChecked;
  return field.options ? !field.selectedOptions[0].defaultSelected : field.value !== field.defaultValue;
}

/** Fill a form with what is: everything else is a change from now on. */
export function fill(form, values) {
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) {
      for (const box of namesakes(form, name)) box.defaultChecked = box.checked = value.includes(box.value);
      continue;
    }
    const field = form.elements[name];
    if (field.type === "checkbox") field.defaultChecked = field.checked = value;
    else if (field.options) for (const option of field.options) option.defaultSelected = option.value === value;
    else field.defaultValue = field.value = value;
  }
}

/** What the server says of a field it names as the API does: `password.new: …`, `monitors[3]: …`. */
function inWords(form, text) {
  const [whole, path] = /^([a-z_]+(?:\.[a-z_]+|\[\d+\])*): /.exec(text) ?? [];
  if (!path) return text;
  const name = path.replace(/\[\d+\]/g, "").split(".").at(-1);
  const field = [...form.elements].find((one) => one.name === name) ?? form.querySelector(`[data-name="${name}"] input`);
  const label = field?.closest("fieldset.choices")?.querySelector("legend") ?? field?.labels?.[0];
  return label ? `${label.textContent.trim()}: ${text.slice(whole.length)}` : text;
}

/** Run `call` for a form: its buttons rest meanwhile, what goes wrong is said in its line for errors. */
export async function attempt(form, call) {
  const problem = form.querySelector(".error");
  const focused = document.activeElement;
  const buttons = [...form.querySelectorAll("button")].filter((button) => !button.disabled);
  problem.hidden = true;
  for (const button of buttons) button.disabled = true;
  try {
    return (await call()) ?? true;
  } catch (error) {
    problem.textContent = inWords(form, error.message);
    problem.hidden = false;
    return null;
  } finally {
    for (const button of buttons) button.disabled = false;
    // A button that rests loses the focus.
    if (document.activeElement === document.body) focused.focus();
  }
}

/** Say that it went well, and show the page as it is now. */
export async function done(text) {
  toast(text);
  await refresh(true).catch(() => {});
}

async function send(form) {
  const { method, path, done: text } = form.dataset;
  const body = bodyOf(form);
  const nothing = form.dataset.only && !Object.keys(body).length;
  if (!nothing && !(await attempt(form, () => ask(method, path, body)))) return;
  for (const field of form.querySelectorAll("input[type=password]")) field.value = "";
  form.closest("dialog")?.close();
  form.dispatchEvent(new Event("done"));
  await done(text);
}

function confirm(button) {
  asking = button;
  confirming.querySelector("h2").textContent = button.dataset.confirm;
  confirming.querySelector(".what").textContent = button.dataset.what;
  confirming.querySelector("[value=do]").textContent = button.dataset.verb;
  confirming.querySelector(".error").hidden = true;
  confirming.showModal();
}

/** Let the forms and buttons of this page do what their attributes say. */
export function watchForms() {
  watchPasswords();
  confirming.querySelector("form").addEventListener("submit", async (event) => {
    if (event.submitter?.value !== "do") return;
    event.preventDefault();
    const { method, path, done: text, leads } = asking.dataset;
    const leaves = leads && location.pathname + location.search !== leads;
    rest(leaves);
    if (!(await attempt(event.target, () => ask(method, path)))) {
      rest(false);
      return;
    }
    confirming.close();
    asking.closest("dialog")?.close();
    if (leaves) location.assign(leads);
    else await done(text);
  });

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form.ask")) return;
    event.preventDefault();
    send(event.target);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-confirm]");
    if (button) confirm(button);
    event.target.closest("[data-closes]")?.closest("dialog").close();
  });

  // A dialog that is opened again begins anew.
  for (const dialog of document.querySelectorAll("dialog:has(.fields)")) {
    dialog.addEventListener("close", () => {
      for (const form of dialog.querySelectorAll("form")) form.reset();
      for (const problem of dialog.querySelectorAll(".error")) problem.hidden = true;
    });
  }
}
