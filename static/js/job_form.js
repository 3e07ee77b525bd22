// The dialog that makes and changes a job. What it changes it takes from the nearest data-job, as the API has it.

import { ask } from "./ask.js";
import { offerZones, ownZone } from "./choices.js";
import { done, watchForms } from "./forms.js";
import { clear, submit } from "./problems.js";

const UNITS = [86400, 3600, 60]; // of the selects; the largest that divides a time is shown
const DEFAULTS = { name: "", period: 86400, grace: 3600, cron: "", timezone: "", paused: false };
const find = (id) => document.getElementById(id);
let edited = null;

const jobsOf = (host) => `/api/0/hosts/${encodeURIComponent(host)}/jobs`;
const pageOf = (job) => `/agent/${encodeURIComponent(job.host)}?tab=jobs&job=${job.id}`;

function setSpan(form, name, seconds) {
  const unit = UNITS.find((size) => seconds % size === 0) ?? 60;
  form.elements[name].value = seconds / unit;
  form.elements[`${name}_unit`].value = unit;
}

const spanOf = (form, name) => Number(form.elements[name].value) * Number(form.elements[`${name}_unit`].value);

function showKind(form) {
  const cron = form.elements.kind.value === "cron";
  find("period-part").hidden = cron;
  find("cron-part").hidden = !cron;
}

function open(form, job) {
  edited = job;
  form.reset();
  clear(form);
  const shown = job ?? DEFAULTS;
  const { elements } = form;
  find("job-title").textContent = job ? job.name : "Add job";
  elements.name.value = shown.name;
  elements.kind.value = shown.cron ? "cron" : "period";
  setSpan(form, "period", shown.period ?? DEFAULTS.period);
  setSpan(form, "grace", shown.grace);
  elements.cron.value = shown.cron;
  elements.timezone.value = shown.cron ? shown.timezone : ownZone();
  elements.paused.checked = shown.paused;
  find("paused-part").hidden = !job;
  const remove = find("delete-job");
  remove.hidden = !job;
  if (job) {
    const what = "Its calls go, too, and its address is nobody's. That cannot be undone.";
    const leads = `/agent/${encodeURIComponent(job.host)}?tab=jobs`;
    Object.assign(remove.dataset, { path: `${jobsOf(job.host)}/${job.id}`, confirm: `Delete the job ${job.name}?`, what, leads });
  }
  offerZones();
  showKind(form);
  find("edit-job").showModal();
}

function bodyOf(form) {
  const { name, kind, cron, timezone, paused } = form.elements;
  const when = kind.value === "cron" ? { cron: cron.value.trim(), timezone: timezone.value.trim() } : { period: spanOf(form, "period") };
  return { name: name.value.trim(), ...when, grace: spanOf(form, "grace"), paused: paused.checked };
}

async function send(form) {
  if (edited) return ask("PUT", `${jobsOf(edited.host)}/${edited.id}`, bodyOf(form));
  const { host } = form.elements;
  try {
    return await ask("POST", jobsOf(form.dataset.host || host.value.trim()), bodyOf(form));
  } catch (error) {
    if (host && [403, 404].includes(error.status)) error.message = `host: ${error.message}`;
    throw error;
  }
}

/** Let the buttons of this page open the dialog: data-adds, data-edits. */
export function watchJobs() {
  const form = find("job-form");
  if (!form) return;
  form.addEventListener("change", () => showKind(form));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const job = await submit(form, () => send(form));
    if (!job) return;
    find("edit-job").close();
    // A new one has to be told to whatever is to call: its page has the lines.
    if (edited) await done("Saved");
    else location.assign(pageOf(job));
  });
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-adds], [data-edits]");
    if (!button) return;
    const place = button.closest("[data-job]") ?? document.querySelector("[data-job]");
    open(form, button.dataset.edits ? JSON.parse(place.dataset.job) : null);
  });
  watchForms();
}
