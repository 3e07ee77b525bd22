// The overview of a host: drawn by the server, drawn again with every report.

import { follow } from "./agent.js";

follow(["host", "plugin", "message"]);
