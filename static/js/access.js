// Who may do what with which host.

import { ask } from "./ask.js";
import { Feed } from "./feed.js";
import { filterByServer } from "./filtering.js";
import { attempt, done, watchForms } from "./forms.js";
import { showFeed } from "./frame.js";
import { Names } from "./names.js";

const dialog = document.getElementById("edit-access");
const form = dialog.querySelector("form");
const owner = document.getElementById("edit-owner");
const lists = new Map([...dialog.querySelectorAll(".names")].map((place) => [place.dataset.name, new Names(place)]));
let edited = null;

function edit(access) {
  edited = access;
  const owns = access.rights === "own";
  document.getElementById("edit-access-title").textContent = access.name;
  document.getElementById("owner-part").hidden = !owns;
  dialog.querySelector("[data-name=managers]").hidden = !owns;
  document.getElementById("limited").hidden = owns;
  form.querySelector(".error").hidden = true;
  dialog.showModal();
  owner.value = access.owner ?? "";
  owner.required = owns && access.owner !== null;
  for (const [name, list] of lists) list.values = access[name];
}

/** What has been changed, and nothing else: others may change the rest meanwhile. */
function changes() {
  const body = {};
  const name = owner.value.trim();
  if (name !== (edited.owner ?? "")) body.owner = name;
  for (const [field, list] of lists) {
    list.take();
    const names = list.values;
    if (names.join("\n") !== edited[field].join("\n")) body[field] = names;
  }
  return body;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = changes();
  if (!Object.keys(body).length) {
    dialog.close();
    return;
  }
  const path = `/api/0/hosts/${encodeURIComponent(edited.name)}/access`;
  if (!(await attempt(form, () => ask("PUT", path, body)))) return;
  dialog.close();
  await done(`Saved: ${edited.name}`);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-edits]");
  if (button) edit(JSON.parse(button.closest("tr").dataset.access));
});

watchForms();
filterByServer();
showFeed(new Feed({ types: ["message"] }, () => {}));
