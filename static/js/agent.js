// What the tabs of a host's page have in common: which host it is, and being drawn again when there is news of it.

import { Feed } from "./feed.js";
import { showFeed } from "./frame.js";
import { keepFresh } from "./refresh.js";

const { name, api } = document.getElementById("agent").dataset;

/** The host of this page. `connected`: whether a command reaches it at once. */
export const host = {
  name,
  get connected() {
    return document.querySelector("[data-connected]").dataset.connected === "yes";
  },
};

// On a phone the tabs are wider than the screen.
document.querySelector(".tabs.kept [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

/** The address of a call about this host. */
export const at = (path, query) => `${api}${path}${query ? `?${new URLSearchParams(query)}` : ""}`;

/** Draw the page again whenever the feed has news of this host. `types`: of the feed; `after()`: it has been drawn. */
export function follow(types = ["host"], after = () => {}) {
  const soon = keepFresh({ settle: 300, least: 1000, poll: 30, after });
  const feed = new Feed({ types, hosts: [name] }, (list) => {
    if (list.some(({ type }) => types.includes(type) || type === "gone" || type === "alert")) soon();
  });
  showFeed(feed);
}
