// The jobs of all hosts: the table comes from the server and is drawn again when one of them is in trouble or out of it,
// and every few seconds: the feed has samples of all plugins or of none.

import { Feed } from "./feed.js";
import { filterByServer } from "./filtering.js";
import { showFeed } from "./frame.js";
import { watchJobs } from "./job_form.js";
import { refresh } from "./refresh.js";

const SETTLE_MS = 500;
const LEAST_MS = 2000;
const POLL_SECONDS = 10;
let timer = null;
let last = 0;

const soon = () => {
  timer ??= setTimeout(
    async () => {
      timer = null;
      last = Date.now();
      if (!document.hidden) await refresh().catch(() => {});
    },
    Math.max(SETTLE_MS, LEAST_MS - (Date.now() - last)),
  );
};
const news = ({ type, data }) => (type === "alert" ? data.metric_path.startsWith("jobs.") : type === "gone");
showFeed(new Feed({ types: ["alert"] }, (list) => list.some(news) && soon()));
setInterval(soon, POLL_SECONDS * 1000);
document.addEventListener("visibilitychange", soon);
filterByServer();
watchJobs();
