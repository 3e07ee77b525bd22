// What forms about channels, routes, silences and windows have in common: boxes, zones, local times.

/** The values of the boxes of that name that are ticked. */
export function ticked(form, name) {
  return boxes(form, name).filter((box) => box.checked).map((box) => box.value);
}

export function tick(form, name, values) {
  for (const box of boxes(form, name)) box.checked = values.includes(box.value);
}

function boxes(form, name) {
  return [...form.elements].filter((field) => field.name === name);
}

/** The name of the viewer's time zone. */
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";

/** Offer the names of all time zones, once. */
export function offerZones() {
  const list = document.getElementById("known-zones");
  if (list.options.length) return;
  list.append(...Intl.supportedValuesOf("timeZone").map(option));
}

/** An <option> of a select or a datalist. */
export function option(value, text = value) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  return element;
}

/** Names that the server has put into the page: channels that there are. */
export function known(id) {
  return [...document.getElementById(id).options].map((one) => one.value);
}

/** Seconds since 1970 to the value of a datetime-local field in the viewer's zone, and back. */
export function toLocal(seconds) {
  const moment = new Date(seconds * 1000);
  return new Date(seconds * 1000 - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

export const fromLocal = (text) => new Date(text).getTime() / 1000;
