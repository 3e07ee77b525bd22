// How much a host was up: drawn by the server, with the times of its bars in the viewer's zone.

import { follow } from "./agent.js";
import { clock } from "./format.js";

function localiseBars() {
  for (const bar of document.querySelectorAll(".outages g")) {
    const { from, to, words } = bar.dataset;
    bar.firstElementChild.textContent = `${clock(from)} to ${clock(to)}: ${words}`;
  }
}

localiseBars();
follow(["host"], localiseBars);
