// A log of a host, as it is written.

import { at, follow, host } from "./agent.js";
import { Events, wordsOf } from "./events.js";
import { bytes, plain } from "./format.js";
import { LogView } from "./log_view.js";

const LINES = 100;
const find = (id) => document.getElementById(id);
const form = find("source");
let events = null;

function start() {
  const view = new LogView(find("lines"), showPlace);
  const fields = form.elements;

  function showPlace() {
    find("newest").hidden = view.following && !view.held;
    find("newest").textContent = view.held ? `${view.held} newer lines` : "To the newest line";
    find("no-lines").hidden = find("lines").childElementCount > 0 || Boolean(events);
  }

  function chosen() {
    const source = fields.source.value;
    return source === "file" ? { source, path: fields.path.value.trim() } : { source, unit: fields.unit.value.trim() };
  }

  function fit() {
    const file = fields.source.value === "file";
    fields.path.hidden = !file;
    fields.unit.hidden = file;
  }

  function say(state, mark, text) {
    const sign = find("stream-state");
    sign.dataset.state = state;
    sign.querySelector(".mark").textContent = mark;
    sign.querySelector(".word").textContent = text;
  }

  function fail(text) {
    find("log-error").textContent = text;
    find("log-error").hidden = !text;
  }

  function stop() {
    events?.close();
    events = null;
    find("halt").hidden = true;
    find("follow").hidden = false;
    say("", "", "");
    showPlace();
  }

  function open() {
    const wanted = chosen();
    if (!(wanted.unit ?? wanted.path)) {
      (wanted.source === "file" ? fields.path : fields.unit).focus();
      fail(wanted.source === "file" ? "Which file? Its whole path is needed." : "Which unit? Its name is needed, such as nginx.");
      return;
    }
    stop();
    fail("");
    view.clear();
    const url = new URL(location.href);
    url.search = new URLSearchParams({ tab: "logs", ...wanted });
    history.replaceState(null, "", url);
    say("", "…", "connecting");
    find("halt").hidden = false;
    find("follow").hidden = true;
    events = new Events(at("/stream/logs", { ...wanted, lines: LINES }), { onEvents: take, onState: show, last: ({ type }) => type === "end" });
    showPlace();
  }

  function take(list) {
    view.add(list.map(line).filter(Boolean));
  }

  function line({ type, data }) {
    if (type === "message") return { kind: "line", text: data };
    const told = wordsOf(data);
    if (type === "skipped") {
      const lines = told.lines == null ? "many" : plain(told.lines);
      return { kind: "note", text: `${lines} lines (${bytes(told.bytes)}) came faster than they can be shown, and are left out` };
    }
    const text = told.text ?? told.reason ?? told.error ?? "";
    if (type === "error") fail(text);
    return text ? { kind: "note", text } : null;
  }

  function show(state, words) {
    if (state === "live") {
      say("UP", "●", "following");
      fail("");
    } else if (state === "lost") {
      say("OVERDUE", "▲", words || "the connection is lost; it is tried again");
    } else {
      stop();
      if (state === "refused") fail(words);
      else say("", "○", "ended");
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    open();
  });
  fields.source.addEventListener("change", fit);
  find("halt").addEventListener("click", stop);
  find("pause").addEventListener("click", ({ currentTarget: button }) => {
    view.pause(!view.paused);
    button.ariaPressed = String(view.paused);
  });
  find("wrap").addEventListener("click", ({ currentTarget: button }) => {
    const wrapped = button.ariaPressed !== "true";
    button.ariaPressed = String(wrapped);
    find("lines").classList.toggle("unwrapped", !wrapped);
  });
  find("clear").addEventListener("click", () => view.clear());
  find("newest").addEventListener("click", () => {
    if (view.paused) find("pause").click();
    view.toEnd();
  });
  find("filter").addEventListener("input", ({ target }) => view.filter(target.value));
  addEventListener("pagehide", () => events?.close());
  fit();
  showPlace();
  const { unit, path } = chosen();
  if (unit || path) {
    if (host.connected) open();
    else fail(`${host.name} is not connected, so its logs cannot be read now.`);
  }
}

if (form) start();
follow();
