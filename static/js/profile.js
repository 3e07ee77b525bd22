// One's own account.

import { ask } from "./ask.js";
import { Feed } from "./feed.js";
import { attempt, done, fill, watchForms } from "./forms.js";
import { showFeed } from "./frame.js";
import { Names } from "./names.js";
import { shrunk } from "./picture.js";

const MINE = "/api/0/users/me";
const find = (id) => document.getElementById(id);

// The sign beside the name, and what the server made of the channels

function watchIdentity() {
  const form = find("avatar").form;
  find("picture").querySelector("input").addEventListener("change", async ({ target }) => {
    const file = target.files[0];
    target.value = "";
    if (!file) return;
    await attempt(form, async () => {
      find("avatar").value = await shrunk(file);
    });
  });
  form.addEventListener("done", async () => {
    // A channel that went away meanwhile is dropped.
    const me = await ask("GET", MINE).catch(() => null);
    if (!me) return;
    const { full_name, avatar, notification_channels } = me;
    fill(form, { full_name, avatar, notification_channels });
  });
}

// API tokens

function watchTokens() {
  const dialog = find("new-token");
  const form = find("token-form");
  const made = find("token-made");
  const chosen = new Names(find("token-hosts"));
  find("token-hosts").addEventListener("input", () => {
    form.elements.which.value = "some";
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, scope, which, expires_in: expires } = form.elements;
    const body = { name: name.value.trim(), scope: scope.value, expires_in: expires.value ? Number(expires.value) : null };
    chosen.take();
    if (which.value === "some") body.hosts = chosen.values;
    const answer = await attempt(form, () => ask("POST", `${MINE}/tokens`, body));
    if (!answer) return;
    made.querySelector("code").textContent = answer.token;
    made.querySelector("[data-copy]").dataset.copy = answer.token;
    form.hidden = true;
    made.hidden = false;
    made.querySelector("h2").focus();
    await done(`Made: ${answer.name}`);
  });
  keepWhile(dialog, () => !made.hidden);
  dialog.addEventListener("close", () => {
    made.querySelector("code").textContent = "";
    made.querySelector("[data-copy]").dataset.copy = "";
    chosen.values = [];
    form.hidden = false;
    made.hidden = true;
  });
}

// The second factor: password → secret → code → recovery codes

function watchSecondFactor() {
  const dialog = find("factor-on");
  const steps = [find("factor-begin"), find("factor-check"), find("factor-done")];
  const [begin, check, finish] = steps;
  const go = (step) => {
    for (const part of steps) part.hidden = part !== step;
  };
  begin.addEventListener("submit", async (event) => {
    event.preventDefault();
    const password = begin.elements.password.value;
    const answer = await attempt(begin, () => ask("POST", `${MINE}/second_factor`, { password }));
    if (!answer) return;
    begin.reset();
    check.querySelector(".qr").src = `data:image/svg+xml,${encodeURIComponent(answer.qr)}`;
    // To be typed: four characters at a time are not lost on the way.
    check.querySelector(".secret-text").textContent = answer.secret.match(/.{1,4}/g).join(" ");
    check.querySelector("[data-copy]").dataset.copy = answer.secret;
    go(check);
    find("factor-code").focus();
  });
  check.addEventListener("submit", async (event) => {
    event.preventDefault();
    const code = find("factor-code").value.replace(/\s/g, "");
    const answer = await attempt(check, () => ask("PUT", `${MINE}/second_factor`, { code }));
    if (!answer) return;
    const text = answer.recovery_codes.join("\n");
    const list = finish.querySelector(".codes");
    list.replaceChildren(
      ...answer.recovery_codes.map((entry) => {
        const item = document.createElement("li");
        item.textContent = entry;
        return item;
      }),
    );
    finish.querySelector("[data-copy]").dataset.copy = text;
    finish.querySelector("[download]").href = `data:text/plain,${encodeURIComponent(`${text}\n`)}`;
    go(finish);
    list.focus();
  });
  keepWhile(dialog, () => !finish.hidden);
  // With it the frame may show more than before.
  dialog.addEventListener("close", () => (finish.hidden ? go(begin) : location.reload()));
  find("factor-off").querySelector("form").addEventListener("done", () => location.reload());
}

/** What is shown this once does not go away by a slip of a key. */
function keepWhile(dialog, shown) {
  dialog.addEventListener("cancel", (event) => shown() && event.preventDefault());
}

if (find("new-token")) {
  watchForms();
  watchIdentity();
  watchTokens();
  watchSecondFactor();
}
// Whoever is held back gets no further than this page, so there is no feed either.
if (find("held-back")) find("feed").hidden = true;
else showFeed(new Feed({ types: ["message"] }, () => {}));
