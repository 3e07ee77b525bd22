// Pages that the server draws stay fresh by being drawn again: the parts marked data-fragment are replaced in place.

import { localise, setClock } from "./format.js";
import { showProblems } from "./frame.js";

/** Ask the server for this page and take over what has changed. Raises when the server cannot be reached. */
export async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Refresh": "1" } });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const { now, problems, level } = fresh.body.dataset;
  if (!now) throw new Error(`the server answered ${answer.status}`);
  setClock(Number(now));
  showProblems({ count: Number(problems), level });
  const news = new Map([...fresh.querySelectorAll("[data-fragment]")].map((part) => [part.dataset.fragment, part]));
  const parts = [...document.querySelectorAll("[data-fragment]")];
  if (parts.length !== news.size || parts.some((part) => !news.has(part.dataset.fragment))) {
    // The page has become another one (the first samples came in, the host is gone).
    location.reload();
    return;
  }
  for (const part of parts) replace(part, news.get(part.dataset.fragment));
  localise();
}

// Keyed children that say the same stay the same elements, so that selection and focus survive.
function replace(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const keep = new Map([...old.querySelectorAll("[data-key]")].map((part) => [part.dataset.key, part]));
  const parts = [...fresh.querySelectorAll("[data-key]")];
  if (!parts.length || parts.length !== keep.size || parts.some((part) => !keep.has(part.dataset.key))) {
    if (!old.contains(document.activeElement)) old.replaceChildren(...fresh.childNodes);
    return;
  }
  for (const part of parts) {
    const shown = keep.get(part.dataset.key);
    if (!shown.isEqualNode(part)) shown.replaceChildren(...part.childNodes);
  }
}
