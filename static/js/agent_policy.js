// What the daemon could do on a host: the agent says it anew whenever it connects.

import { follow } from "./agent.js";

follow();
