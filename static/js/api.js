// The API page: GET routes can be tried where they are described.

import { signIn } from "./ask.js";
import { Feed } from "./feed.js";
import { showFeed } from "./frame.js";
import { refresh } from "./refresh.js";

const POLL_SECONDS = 30;
const LONGEST_ANSWER = 50_000;

function target(form) {
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const input of form.querySelectorAll("input")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(input.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function tryIt(form) {
  const status = form.querySelector("[role=status]");
  const box = form.querySelector(".answer");
  const url = target(form);
  const begun = performance.now();
  status.textContent = `GET ${url} …`;
  try {
    const answer = await fetch(url);
    if (answer.status === 401) signIn();
    let text = await answer.text();
    const took = Math.round(performance.now() - begun);
    status.textContent = `${answer.status} ${answer.statusText}, ${text.length} characters, ${took} ms: GET ${url}`;
    if (answer.headers.get("Content-Type")?.includes("json")) text = JSON.stringify(JSON.parse(text), null, 2);
    box.textContent = text.length > LONGEST_ANSWER ? `${text.slice(0, LONGEST_ANSWER)}\n…` : text;
    box.hidden = false;
  } catch {
    status.textContent = "The daemon cannot be reached.";
  }
}

// Behind a proxy the server may not know at which address it is reached; the browser does.
function useOwnOrigin() {
  const { origin } = document.getElementById("about").dataset;
  if (origin === location.origin) return;
  const own = (text) =>
    text.replace(origin, location.origin).replace(origin.replace("http", "ws"), location.origin.replace("http", "ws"));
  for (const code of document.querySelectorAll("#about code, .copyable code")) code.textContent = own(code.textContent);
  for (const button of document.querySelectorAll("main [data-copy]")) button.dataset.copy = own(button.dataset.copy);
}

useOwnOrigin();
for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    tryIt(form);
  });
}

document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
showFeed(new Feed({ types: ["message"] }, () => {}));
setInterval(() => document.hidden || refresh().catch(() => {}), POLL_SECONDS * 1000);
