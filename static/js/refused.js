// The page of what is not for whoever asked.

import { Feed } from "./feed.js";
import { showFeed } from "./frame.js";

showFeed(new Feed({ types: ["message"] }, () => {}));
