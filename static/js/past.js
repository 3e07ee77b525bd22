// A page of the past stands still. Its times are put into the viewer's zone, and a moment can be picked from a calendar.

import { localise } from "./format.js";

const form = document.getElementById("moment");
const field = form.elements.at;
const moment = Date.parse(field.value);

function pick() {
  const picker = document.createElement("input");
  const local = new Date(moment - new Date(moment).getTimezoneOffset() * 60_000);
  picker.type = "datetime-local";
  picker.step = 1;
  picker.className = field.className;
  picker.required = true;
  picker.setAttribute("aria-label", "Moment");
  picker.value = local.toISOString().slice(0, 19);
  field.type = "hidden";
  field.removeAttribute("aria-label");
  field.after(picker);
  form.addEventListener("submit", () => {
    field.value = new Date(picker.value).toISOString().replace(/\.\d+/, "");
  });
}

localise();
if (!Number.isNaN(moment)) pick();
