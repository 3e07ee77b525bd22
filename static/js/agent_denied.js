// A tab that is not the viewer's, until somebody makes it theirs.

import { follow } from "./agent.js";

follow();
