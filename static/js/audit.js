// The audit log; its newest part is drawn again every few seconds.

import { Feed } from "./feed.js";
import { showFeed } from "./frame.js";
import { refresh } from "./refresh.js";

const POLL_SECONDS = 10;

showFeed(new Feed({ types: ["message"] }, () => {}));
if (!new URLSearchParams(location.search).has("before")) {
  setInterval(() => document.hidden || refresh().catch(() => {}), POLL_SECONDS * 1000);
}
