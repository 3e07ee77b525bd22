// Recent messages beside the table, with a filter of their own.

import { setAgo } from "./format.js";

const SHOWN = 100;
const list = document.getElementById("messages");
const filter = document.getElementById("message-filter");
const nothing = document.getElementById("no-messages");

export function showMessages(messages) {
  const wanted = filter.value.trim().toLowerCase();
  const fits = ({ host, msg }) => host.toLowerCase().includes(wanted) || msg.toLowerCase().includes(wanted);
  const chosen = messages.filter(fits).slice(0, SHOWN);
  list.replaceChildren(...chosen.map(line));
  nothing.hidden = chosen.length > 0;
  nothing.textContent = messages.length ? "No message fits this filter." : "Nothing has happened yet.";
}

export function onFilter(listener) {
  filter.addEventListener("input", listener);
}

function line({ time, host, msg }) {
  const item = document.createElement("li");
  const top = document.createElement("div");
  const name = document.createElement("b");
  const at = document.createElement("time");
  const text = document.createElement("p");
  top.className = "top";
  name.textContent = host || "hbd";
  setAgo(at, time);
  text.textContent = msg;
  top.append(name, at);
  item.append(top, text);
  return item;
}
