// Notification channels: the pages come from the server, every change goes through the API.

import { ask } from "./ask.js";
import { known, offerZones, option, ownZone, tick, ticked } from "./choices.js";
import { Feed } from "./feed.js";
import { attempt, done, watchForms } from "./forms.js";
import { showFeed, toast } from "./frame.js";
import { clear, submit, watchParts } from "./problems.js";
import { refresh } from "./refresh.js";
import { Setting } from "./settings.js";
import { TypePicker } from "./types.js";

const POLL_SECONDS = 10;
const API = "/api/0/notification_channels";
const find = (id) => document.getElementById(id);
const pathOf = (name) => `${API}/${encodeURIComponent(name)}`;

const dialog = find("edit-channel");
const form = find("channel-form");
const typePart = find("type-part");
const fields = form.elements;
const showParts = watchParts(form);
const picker = new TypePicker(typePart, (type) => begin(type));

let schema = null; // type → {label, fields}, asked for once
let edited = null; // the channel that is being edited; null: a new one
let type = "";
let settings = [];

// The dialog: for a new channel first its type, then what that type and all channels need

async function learn() {
  schema ??= await ask("GET", "/api/0/notification_channel_types");
  return schema;
}

async function add() {
  edited = null;
  go(typePart);
  if (!dialog.open) dialog.showModal();
  if (await attempt(typePart, learn)) picker.offer(schema);
  find("type-search").focus();
}

async function edit(name) {
  // As it is now: somebody else may have changed it since the page was drawn.
  const [channel] = await Promise.all([ask("GET", pathOf(name)), learn()]).catch((error) => [toast(error.message)]);
  if (!channel) return;
  edited = channel;
  dialog.showModal();
  begin(channel.type);
  fillCommon(channel);
}

function go(part) {
  for (const one of [typePart, form]) one.hidden = one !== part;
  dialog.setAttribute("aria-labelledby", part.querySelector("h2").id);
}

function begin(chosen) {
  const before = type;
  type = chosen;
  const label = schema[type]?.label ?? edited?.type_label ?? type;
  find("edit-title").textContent = edited ? edited.name : `Add channel: ${label}`;
  find("type-label").textContent = edited ? label : "";
  find("other-type").hidden = Boolean(edited);
  find("channel-name").closest(".one").hidden = Boolean(edited);
  find("delete-channel").hidden = !edited;
  showSettings();
  if (!edited && before !== chosen) fillCommon({ timezone: ownZone(), enabled: true, min_level: "WARNING" });
  clear(form);
  go(form);
  (edited ? form.querySelector("#type-fields .field") : fields.name)?.focus();
}

function showSettings() {
  const values = new Map((edited?.fields ?? []).map(({ key, value }) => [key, value]));
  // A type that is not there any more: what is stored is shown all the same.
  const wanted = schema[type]?.fields ?? (edited?.fields ?? []).map((field) => ({ ...field, type: field.sensitive ? "secret" : "text" }));
  settings = wanted.map((field) => new Setting(field, values.get(field.key)));
  const first = settings.filter((setting) => setting.required || setting.given);
  const rest = settings.filter((setting) => !first.includes(setting));
  const more = find("more-fields");
  // A fold for one field or two hides more than it tidies.
  const folded = rest.length > 3 || !first.length ? rest : [];
  const open = settings.filter((setting) => !folded.includes(setting));
  find("type-fields").replaceChildren(...open.map(({ element }) => element));
  more.querySelector("div").replaceChildren(...folded.map(({ element }) => element));
  more.hidden = !folded.length;
  more.open = !open.length;
  more.querySelector("summary").textContent = `${folded.length} more settings`;
}

function fillCommon(channel) {
  const { quiet_from: from, quiet_to: to, quiet_days: days, repeat } = channel;
  fields.min_level.value = channel.min_level ?? "WARNING";
  fields.private.checked = Boolean(channel.private);
  fields.enabled.checked = channel.enabled ?? true;
  find("quiet").checked = Boolean(from);
  fields.quiet_from.value = from || "22:00";
  fields.quiet_to.value = to || "07:00";
  tick(form, "quiet_days", days ?? []);
  fields.quiet_level.value = channel.quiet_level ?? "CRITICAL";
  fields.timezone.value = channel.timezone || ownZone();
  fields.repeat.value = repeat ? repeat / 60 : "";
  const others = known("known-channels").filter((name) => name !== channel.name);
  if (channel.fallback && !others.includes(channel.fallback)) others.push(channel.fallback);
  fields.fallback.replaceChildren(option("", "nobody"), ...others.map((name) => option(name)));
  fields.fallback.value = channel.fallback ?? "";
  const removal = { path: pathOf(channel.name ?? ""), confirm: `Delete ${channel.name}?` };
  const what = "Nobody is told over it any more, and it goes from the profiles of those who chose it. That cannot be undone.";
  Object.assign(find("delete-channel").dataset, { ...removal, what });
  offerZones();
  showParts();
}

function body() {
  const quiet = find("quiet").checked;
  return {
    ...Object.fromEntries(settings.map(({ key, value }) => [key, value])),
    type,
    min_level: fields.min_level.value,
    private: fields.private.checked,
    enabled: fields.enabled.checked,
    quiet_from: quiet ? fields.quiet_from.value : null,
    quiet_to: quiet ? fields.quiet_to.value : null,
    quiet_days: quiet ? ticked(form, "quiet_days") : [],
    quiet_level: fields.quiet_level.value,
    timezone: quiet ? fields.timezone.value.trim() : null,
    fallback: fields.fallback.value || null,
    repeat: fields.repeat.value ? Number(fields.repeat.value) * 60 : null,
  };
}

async function save() {
  const name = edited ? edited.name : fields.name.value.trim();
  const call = () => (edited ? ask("PUT", pathOf(name), body()) : ask("POST", API, { name, ...body() }));
  if (!(await submit(form, call))) return;
  dialog.close();
  await done(edited ? `Saved: ${name}` : `${name} is there; test it now`);
}

// A test, with what the other side really said

async function test(name) {
  const box = find("test");
  const [sign, answer, again] = [box.querySelector(".sign"), box.querySelector(".answer"), find("test-again")];
  const say = (state, mark, word, text) => {
    sign.dataset.state = state;
    sign.querySelector(".mark").textContent = mark;
    sign.querySelector(".word").textContent = word;
    answer.textContent = text;
    again.disabled = !state;
  };
  find("test-title").textContent = `Test of ${name}`;
  again.dataset.tests = name;
  say("", "…", "sending", "");
  if (!box.open) box.showModal();
  try {
    const { answer: text } = await ask("POST", `${pathOf(name)}/test`);
    say("UP", "●", "sent", text ? `The answer: ${text}` : "It was taken without a word.");
  } catch (error) {
    say("DOWN", "■", "not sent", error.message);
  }
  await refresh(true).catch(() => {});
}

async function resend(button) {
  button.disabled = true;
  try {
    await ask("POST", `/api/0/notifications/dead/${encodeURIComponent(button.dataset.resends)}/resend`);
    await done("It is sent again");
  } catch (error) {
    button.disabled = false;
    toast(error.message);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  save();
});
find("other-type").addEventListener("click", add);
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if (button.dataset.adds !== undefined) add();
  if (button.dataset.edits) edit(button.dataset.edits);
  if (button.dataset.tests) test(button.dataset.tests);
  if (button.dataset.resends) resend(button);
});
dialog.addEventListener("close", () => {
  type = "";
});

watchForms();
showFeed(new Feed({ types: ["message"] }, () => {}));
if (!new URLSearchParams(location.search).has("before")) {
  setInterval(() => document.hidden || document.querySelector("dialog[open]") || refresh().catch(() => {}), POLL_SECONDS * 1000);
}
