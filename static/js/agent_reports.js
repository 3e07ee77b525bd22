// What agents of other systems reported for a host.

import { follow } from "./agent.js";
import { keepFolds } from "./folds.js";

const list = document.querySelector("[data-fragment=reports]");
follow(["host", "plugin"], keepFolds(list));
