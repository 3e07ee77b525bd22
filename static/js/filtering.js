// Long lists are filtered by the server while somebody types; the URL holds the filter.

import { refresh } from "./refresh.js";

const SETTLE_MS = 200;
const field = document.getElementById("filter");
let timer = null;

function apply() {
  const url = new URL(location.href);
  url.searchParams.delete("from");
  url.searchParams.delete("q");
  if (field.value.trim()) url.searchParams.set("q", field.value.trim());
  history.replaceState(null, "", url);
  refresh().catch(() => {});
}

export function filterByServer() {
  field?.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, SETTLE_MS);
  });
  field?.form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    apply();
  });
  field?.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !field.value) return;
    field.value = "";
    apply();
  });
}
