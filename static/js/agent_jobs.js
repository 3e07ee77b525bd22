// The jobs of a host: the list comes from the server, every change goes through the API.

import { follow } from "./agent.js";
import { keepFolds } from "./folds.js";
import { watchJobs } from "./job_form.js";

const calls = document.querySelector("[data-fragment=calls]");
follow(["host", "plugin"], calls ? keepFolds(calls) : undefined);
watchJobs();
