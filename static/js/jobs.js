// The jobs of all hosts: the table comes from the server and is drawn again when one of them is in trouble or out of it,
// and every few seconds: the feed has samples of all plugins or of none.

import { Feed } from "./feed.js";
import { filterByServer } from "./filtering.js";
import { showFeed } from "./frame.js";
import { watchJobs } from "./job_form.js";
import { keepFresh } from "./refresh.js";

const soon = keepFresh({ settle: 500, least: 2000, poll: 10 });
const news = ({ type, data }) => (type === "alert" ? data.metric_path.startsWith("jobs.") : type === "gone");
showFeed(new Feed({ types: ["alert"] }, (list) => list.some(news) && soon()));
filterByServer();
watchJobs();
