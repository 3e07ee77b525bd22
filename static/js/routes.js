// Who is told when: the table comes from the server, every change goes through the API.

import { ask } from "./ask.js";
import { known, tick, ticked } from "./choices.js";
import { Feed } from "./feed.js";
import { done, watchForms } from "./forms.js";
import { showFeed } from "./frame.js";
import { Matcher } from "./matcher.js";
import { clear, submit } from "./problems.js";

const API = "/api/0/notification_routes";
const find = (id) => document.getElementById(id);

const dialog = find("edit-route");
const form = find("route-form");
const fields = form.elements;
const matcher = new Matcher(form);
let edited = null; // null: a new one

function edit(route) {
  edited = route;
  const { name = "", min_level: level = "WARNING", channels = [], after = 0 } = route ?? {};
  find("edit-title").textContent = route ? name : "Add route";
  fields.name.value = name;
  fields.min_level.value = level;
  fields.after.value = after / 60;
  matcher.values = route ?? {};
  offerChannels(channels);
  const remove = find("delete-route");
  remove.hidden = !route;
  if (route) {
    const what = "Whoever it told of an alert is still told its end.";
    Object.assign(remove.dataset, { path: `${API}/${route.id}`, confirm: `Delete the route ${name}?`, what });
  }
  clear(form);
  dialog.showModal();
}

function offerChannels(chosen) {
  const names = [...new Set([...known("known-channels"), ...chosen])];
  const boxes = names.map((name) => {
    const [label, box, text] = ["label", "input", "span"].map((tag) => document.createElement(tag));
    label.className = "box";
    Object.assign(box, { type: "checkbox", name: "channels", value: name });
    text.textContent = name;
    label.append(box, text);
    return label;
  });
  find("route-channels").replaceChildren(...boxes);
  find("no-channels").hidden = Boolean(names.length);
  tick(form, "channels", chosen);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  matcher.take();
  const body = {
    name: fields.name.value.trim(),
    ...matcher.values,
    min_level: fields.min_level.value,
    channels: ticked(form, "channels"),
    after: Number(fields.after.value) * 60,
  };
  const call = () => (edited ? ask("PUT", `${API}/${edited.id}`, body) : ask("POST", API, body));
  if (!(await submit(form, call))) return;
  dialog.close();
  await done(`Saved: ${body.name}`);
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-adds], [data-edits]");
  if (button) edit(button.dataset.edits ? JSON.parse(button.closest("tr").dataset.route) : null);
});

watchForms();
showFeed(new Feed({ types: ["message"] }, () => {}));
