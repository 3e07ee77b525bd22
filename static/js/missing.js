// The page that there is at no address. The feed tells what the server did not look up: how many hosts are not up.

import { Feed } from "./feed.js";
import { showFeed, showProblems } from "./frame.js";
import { Store } from "./store.js";

const store = new Store([], []);
store.addEventListener("change", () => showProblems(store.problems()));
// Whoever is not signed in has lost nothing here.
const feed = new Feed({ types: ["host"] }, (list) => store.take(list), () => {});
feed.addEventListener("snapshot", () => store.beginSnapshot());
showFeed(feed);
