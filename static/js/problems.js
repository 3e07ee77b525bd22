// What is wrong with a form, said beside the fields it is about. A field stands in an element with data-field, its name.

import { attempt } from "./forms.js";

const EMPTY = "This is needed";
const NO_ADDRESS = "This is no address; one begins with https:// or http://";

/** The place of a field of a form, by its name in the API; paths such as `hosts[0]` belong to `hosts`. */
function placeOf(form, name) {
  const [first] = name.split(/[.[]/);
  return [...form.querySelectorAll("[data-field]")].find((place) => place.dataset.field === first && !place.closest("[hidden]"));
}

function mark(place, text) {
  const line = place.querySelector(".wrong");
  const field = place.querySelector(".field, input");
  line.textContent = text;
  line.hidden = !text;
  if (!field) return;
  const described = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && id !== line.id);
  if (text) described.push(line.id);
  if (described.length) field.setAttribute("aria-describedby", described.join(" "));
  else field.removeAttribute("aria-describedby");
  if (text) field.ariaInvalid = "true";
  else field.removeAttribute("aria-invalid");
}

/** Forget what was wrong. */
export function clear(form) {
  for (const place of form.querySelectorAll("[data-field]")) mark(place, "");
  const line = form.querySelector(".error");
  line.hidden = true;
}

function focusFirst(form) {
  const place = [...form.querySelectorAll("[data-field]")].find((one) => !one.querySelector(".wrong").hidden);
  if (!place) return;
  place.closest("details")?.setAttribute("open", "");
  place.querySelector(".field, input").focus();
}

/** Browsers say of an address without its scheme no more than that they want one. */
function flaw({ type, validity, validationMessage }) {
  if (validity.valueMissing) return EMPTY;
  return validity.typeMismatch && type === "url" ? NO_ADDRESS : validationMessage;
}

/** Whether all fields in sight hold what they may hold; says so where they do not. */
function complete(form) {
  let whole = true;
  for (const place of form.querySelectorAll("[data-field]")) {
    if (place.closest("[hidden]")) continue;
    const field = [...place.querySelectorAll("input, select, textarea")].find((one) => !one.validity.valid);
    if (!field) continue;
    mark(place, flaw(field));
    whole = false;
  }
  return whole;
}

/** What the server says of a field, as a sentence below it: "is needed" → "This is needed". */
function sentence(reason) {
  const whole = reason.startsWith("is ") ? `this ${reason}` : reason;
  return whole[0].toUpperCase() + whole.slice(1);
}

/** Move what the server says of a field to that field: "token: is needed; url: is no address; an example is …". */
function distribute(form, text) {
  const line = form.querySelector(".error");
  const said = new Map();
  const rest = [];
  let last = null;
  for (const part of text.split("; ")) {
    const [, name, reason] = /^([\w.[\]]+): (.+)$/s.exec(part) ?? [];
    const place = name && placeOf(form, name);
    // What has no name goes on about the field before it.
    if (place) said.set(place, sentence(reason));
    else if (last && !name) said.set(last, `${said.get(last)}; ${part}`);
    else rest.push(part);
    last = place || (name ? null : last);
  }
  for (const [place, reason] of said) mark(place, reason);
  if (said.size) line.textContent = rest.join("; ");
  line.hidden = !rest.length;
}

/** Run `call` for a form that is complete. Returns its answer, or null when something was wrong, which is then said. */
export async function submit(form, call) {
  clear(form);
  if (complete(form)) {
    let refused = "";
    const listening = async () => {
      try {
        return await call();
      } catch (error) {
        refused = error.message;
        throw error;
      }
    };
    const answer = await attempt(form, listening);
    if (answer) return answer;
    distribute(form, refused);
  }
  focusFirst(form);
  return null;
}

/** Boxes that show a part of their form: data-shows is its id. */
export function watchParts(form) {
  const show = (box) => {
    document.getElementById(box.dataset.shows).hidden = !box.checked;
  };
  form.addEventListener("change", ({ target }) => target.dataset.shows && show(target));
  return () => {
    for (const box of form.querySelectorAll("[data-shows]")) show(box);
  };
}
