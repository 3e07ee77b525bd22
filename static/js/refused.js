// The page of what is not for whoever asked.

import { Feed } from "./feed.js";
import { showFeed } from "./frame.js";

// Whoever is not signed in reads on: the sign-in page is no answer to this.
showFeed(new Feed({ types: ["message"] }, () => {}, () => {}));
