// Pages that the server draws stay fresh by being drawn again: the parts marked data-fragment are replaced in place.

import { signIn } from "./ask.js";
import { localise, setClock } from "./format.js";
import { showAlerts, showProblems } from "./frame.js";

let resting = false;

/** Leave the page as it is, or no longer: what is being deleted is nothing to draw a page from. */
export function rest(yes) {
  resting = yes;
}

// Somebody went back to a page that was left so.
addEventListener("pageshow", () => rest(false));

/**
 * Ask the server for this page and take over what has changed. Raises when the server cannot be reached.
 * `acted`: somebody has just changed something, so that what holds the focus is drawn again, too.
 */
export async function refresh(acted = false) {
  if (resting) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Refresh": "1" } });
  const text = await answer.text();
  if (resting) return;
  if (answer.status === 401 || new URL(answer.url).pathname === "/login") {
    signIn();
    return;
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const { now, problems, level, alerts, alertLevel } = fresh.body.dataset;
  if (!now) throw new Error(`the server answered ${answer.status}`);
  setClock(Number(now));
  showProblems({ count: Number(problems), level });
  showAlerts({ count: Number(alerts), level: alertLevel });
  const news = new Map([...fresh.querySelectorAll("[data-fragment]")].map((part) => [part.dataset.fragment, part]));
  const parts = [...document.querySelectorAll("[data-fragment]")];
  if (parts.length !== news.size || parts.some((part) => !news.has(part.dataset.fragment))) {
    // The page has become another one (the first samples came in, the host is gone).
    location.reload();
    return;
  }
  for (const part of parts) replace(part, news.get(part.dataset.fragment), acted);
  localise();
}

/**
 * Draw the page again when somebody comes back to it and every `poll` seconds. Returns what asks for it soon: what comes
 * close together is drawn together, after `settle` ms, and `least` ms after the time before at the soonest.
 * `after()`: it has been drawn.
 */
export function keepFresh({ settle, least, poll, after = () => {} }) {
  let timer = null;
  let last = 0;
  const draw = async () => {
    timer = null;
    last = Date.now();
    if (document.hidden) return;
    // What cannot be reached is told by the state of the feed; the next round tries again.
    await refresh().then(after, () => {});
  };
  const soon = () => {
    timer ??= setTimeout(draw, Math.max(settle, least - (Date.now() - last)));
  };
  document.addEventListener("visibilitychange", soon);
  setInterval(soon, poll * 1000);
  return soon;
}

// Keyed children that say the same stay the same elements, so that selection and focus survive.
function replace(old, fresh, acted) {
  if (old.isEqualNode(fresh)) return;
  const keep = new Map([...old.querySelectorAll("[data-key]")].map((part) => [part.dataset.key, part]));
  const parts = [...fresh.querySelectorAll("[data-key]")];
  if (!parts.length || parts.length !== keep.size || parts.some((part) => !keep.has(part.dataset.key))) {
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    if (focused && !acted) return;
    old.replaceChildren(...fresh.childNodes);
    if (focused) focusLike(focused, old);
    return;
  }
  for (const part of parts) {
    const shown = keep.get(part.dataset.key);
    if (!shown.isEqualNode(part)) shown.replaceChildren(...part.childNodes);
  }
}

// The focus goes to what has taken the place of what had it; when that is gone, to what is near.
function focusLike(element, place) {
  const buttons = [...place.querySelectorAll("button, a")];
  const same = buttons.find((button) => button.ariaLabel === element.ariaLabel && button.textContent === element.textContent);
  (same ?? buttons[0])?.focus({ preventScroll: true });
}
