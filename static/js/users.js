// Users for admins: the table comes from the server, every change goes through the API.

import { Feed } from "./feed.js";
import { filterByServer } from "./filtering.js";
import { fill, watchForms } from "./forms.js";
import { showFeed } from "./frame.js";

const dialog = document.getElementById("edit-user");

function prepare(id, path, confirm, what) {
  Object.assign(document.getElementById(id).dataset, { path, confirm, what });
}

function edit(user) {
  const { username: name } = user;
  const path = `/api/0/users/${encodeURIComponent(name)}`;
  const form = dialog.querySelector("form");
  const fromConfig = user.source === "config";
  dialog.showModal();
  form.dataset.path = path;
  document.getElementById("edit-user-title").textContent = name;
  document.getElementById("from-config").hidden = !fromConfig;
  fill(form, { full_name: user.full_name, role: user.role, enabled: user.enabled });
  const outside = user.source === "oidc" || user.source === "proxy";
  document.getElementById("password-part").hidden = outside || user.own;
  document.getElementById("own-account").hidden = !user.own;
  prepare("end-sessions", `${path}/sessions`, `Sign ${name} out everywhere?`, "All sessions end; API tokens stay.");
  const tokens = user.tokens === 1 ? "1 API token" : `${user.tokens} API tokens`;
  document.getElementById("revoke-tokens").textContent = `Revoke all tokens (${user.tokens}) …`;
  prepare("revoke-tokens", `${path}/tokens`, `Revoke all API tokens of ${name}?`, `${tokens} of ${name}: whatever uses them is refused from then on. That cannot be undone.`);
  prepare("drop-factor", `${path}/second_factor`, `Remove the second factor of ${name}?`, "The password alone then signs in.");
  prepare("delete-user", path, `Delete ${name}?`, "Sessions, tokens and rights on hosts go too. That cannot be undone.");
  document.getElementById("end-sessions").hidden = !user.sessions;
  document.getElementById("revoke-tokens").hidden = !user.tokens;
  document.getElementById("drop-factor").hidden = !user.second_factor || user.own;
  document.getElementById("delete-user").hidden = fromConfig;
}

// Without users there is nothing to edit.
if (dialog) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-edits]");
    if (button) edit(JSON.parse(button.closest("tr").dataset.user));
  });
  const added = document.getElementById("added");
  const form = document.getElementById("new-user").querySelector("form");
  form.addEventListener("done", () => {
    const { username, role } = form.elements;
    added.hidden = role.value !== "viewer";
    added.querySelector(".who").textContent = username.value;
  });
  watchForms();
  filterByServer();
}
showFeed(new Feed({ types: ["message"] }, () => {}));
