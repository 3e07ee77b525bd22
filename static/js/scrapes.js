// Exporters that hbd asks: drawn again every few seconds.

import { Feed } from "./feed.js";
import { filterByServer } from "./filtering.js";
import { showFeed } from "./frame.js";
import { refresh } from "./refresh.js";

const POLL_SECONDS = 5;

showFeed(new Feed({ types: ["alert"] }, () => {}));
setInterval(() => document.hidden || refresh().catch(() => {}), POLL_SECONDS * 1000);
filterByServer();
