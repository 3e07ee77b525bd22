// Silences and maintenance windows: the tables come from the server, every change goes through the API.

import { ask } from "./ask.js";
import { fromLocal, offerZones, ownZone, tick, ticked, toLocal } from "./choices.js";
import { Feed } from "./feed.js";
import { now } from "./format.js";
import { done, watchForms } from "./forms.js";
import { showFeed } from "./frame.js";
import { Matcher } from "./matcher.js";
import { clear, submit, watchParts } from "./problems.js";
import { refresh } from "./refresh.js";

const POLL_SECONDS = 10;
const HOUR = 3600;
const UNITS = [86400, 3600, 60]; // of a duration; the largest that divides it is shown
const find = (id) => document.getElementById(id);

// A silence

const silence = { dialog: find("new-silence"), form: find("silence-form") };
silence.matcher = new Matcher(silence.form);
silence.showParts = watchParts(silence.form);

/** Open the dialog, filled with what `about` says: hosts, tags, metrics, levels, reason. */
function startSilence(about = {}) {
  const { form, dialog, matcher, showParts } = silence;
  form.reset();
  clear(form);
  matcher.values = about;
  tick(form, "levels", about.levels ?? []);
  form.elements.reason.value = about.reason ?? "";
  form.elements.starts.value = toLocal(now());
  form.elements.ends.value = toLocal(now() + 4 * HOUR);
  showParts();
  showEnd();
  if (!dialog.open) dialog.showModal();
}

function showEnd() {
  find("ends-part").hidden = silence.form.elements.duration.value !== "";
}

silence.form.addEventListener("change", showEnd);
silence.form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { form, dialog, matcher } = silence;
  const { reason, duration, starts, ends } = form.elements;
  matcher.take();
  const call = () =>
    ask("POST", "/api/0/silences", {
      ...matcher.values,
      levels: ticked(form, "levels"),
      reason: reason.value.trim(),
      ...(duration.value ? { duration: Number(duration.value) } : { ends: fromLocal(ends.value) }),
      ...(find("later").checked && { starts: fromLocal(starts.value) }),
    });
  if (!(await submit(form, call))) return;
  dialog.close();
  await done("Silenced");
});

// A maintenance window

const windows = { dialog: find("edit-window"), form: find("window-form"), edited: null };
windows.matcher = new Matcher(windows.form);

function editWindow(known) {
  const { form, dialog, matcher } = windows;
  const { elements } = form;
  windows.edited = known;
  form.reset();
  clear(form);
  find("edit-window-title").textContent = known ? known.name : "Add maintenance window";
  elements.name.value = known?.name ?? "";
  matcher.values = known ?? {};
  elements.repeat.value = known?.repeat ?? "once";
  elements.start.value = (known?.start ?? toLocal(Math.ceil(now() / HOUR) * HOUR)).slice(0, 16);
  const unit = UNITS.find((size) => (known?.duration ?? 2 * HOUR) % size === 0) ?? 60;
  elements.duration.value = (known?.duration ?? 2 * HOUR) / unit;
  elements.unit.value = unit;
  tick(form, "days", known?.days ?? []);
  elements.until.value = known?.until ?? "";
  elements.timezone.value = known?.timezone ?? ownZone();
  const remove = find("delete-window");
  remove.hidden = !known;
  if (known) {
    const what = "What it holds back now and still lasts is told then.";
    Object.assign(remove.dataset, { path: `/api/0/windows/${known.id}`, confirm: `Delete the window ${known.name}?`, what });
  }
  offerZones();
  showRepeat();
  dialog.showModal();
}

function showRepeat() {
  const { value } = windows.form.elements.repeat;
  find("days-part").hidden = value !== "weekly";
  find("until-part").hidden = value === "once";
}

windows.form.addEventListener("change", showRepeat);
windows.form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { form, dialog, matcher, edited } = windows;
  const { name, repeat, start, duration, unit, until, timezone } = form.elements;
  matcher.take();
  const body = {
    name: name.value.trim(),
    ...matcher.values,
    timezone: timezone.value.trim(),
    start: start.value,
    duration: Number(duration.value) * Number(unit.value),
    repeat: repeat.value,
    days: repeat.value === "weekly" ? ticked(form, "days") : [],
    until: repeat.value !== "once" && until.value ? until.value : null,
  };
  const call = () => (edited ? ask("PUT", `/api/0/windows/${edited.id}`, body) : ask("POST", "/api/0/windows", body));
  if (!(await submit(form, call))) return;
  dialog.close();
  await done(`Saved: ${body.name}`);
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  const { dataset } = button;
  if (dataset.opens === "new-silence") startSilence();
  if (dataset.repeats) startSilence(JSON.parse(button.closest("tr").dataset.silence));
  if (dataset.adds) editWindow(null);
  if (dataset.edits) editWindow(JSON.parse(button.closest("tr").dataset.window));
});

watchForms();
showFeed(new Feed({ types: ["message"] }, () => {}));
setInterval(() => document.hidden || document.querySelector("dialog[open]") || refresh().catch(() => {}), POLL_SECONDS * 1000);

// Other pages lead here with what is to be silenced: /silences?host=web1&metric=cpu_monitor.cpu_percent#new
if (location.hash === "#new") {
  const asked = new URLSearchParams(location.search);
  history.replaceState(null, "", location.pathname);
  startSilence({ hosts: asked.getAll("host"), tags: asked.getAll("tag"), metrics: asked.getAll("metric") });
}
