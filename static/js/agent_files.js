// The files of a host, within the folders that it allows: looking, downloading, uploading.

import { at, follow, host } from "./agent.js";
import { ask } from "./ask.js";
import { bytes, localise, setAgo } from "./format.js";
import { toast } from "./frame.js";
import { send } from "./sending.js";

const find = (id) => document.getElementById(id);
const url = at("/files");
const roots = JSON.parse(find("drop")?.dataset.roots ?? "[]");
let folder = null; // {path, writable, names}

const hrefOf = (path) => `?${new URLSearchParams({ tab: "files", ...(path && { path }) })}`;
const joined = (path, name) => `${path.replace(/\/$/, "")}/${name}`;

function element(tag, text, given = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  return Object.assign(made, given);
}

// Looking

async function look(path) {
  const panel = find("drop");
  panel.ariaBusy = "true";
  find("count").textContent = `asking ${host.name} …`;
  try {
    const listing = await ask("GET", `${url}/list${path ? `?${new URLSearchParams({ path })}` : ""}`);
    fail("");
    show(path, listing);
  } catch (error) {
    fail(wordsOf(error));
    if (!folder) show(path, { entries: [] });
    find("count").textContent = folder.path === path ? find("count").textContent : "";
  } finally {
    panel.ariaBusy = "false";
  }
}

const wordsOf = ({ message }) =>
  message === "agent_offline" ? `${host.name} is not connected, so its files cannot be reached now.` : message;

function fail(text) {
  find("files-error").textContent = text;
  find("files-error").hidden = !text;
}

function show(path, { entries, writable = false, truncated = false }) {
  folder = { path, writable, names: new Set(entries.map(({ name }) => name)) };
  showCrumbs(path);
  find("entries").replaceChildren(...entries.map((entry) => row(path, entry)));
  find("choose").hidden = !writable;
  find("count").textContent = `${entries.length} ${entries.length === 1 ? "entry" : "entries"}${truncated ? ", the first ones" : ""}${path && !writable ? ", read only" : ""}`;
  find("no-files").textContent = path ? "This folder is empty." : "No folder is allowed.";
  find("no-files").hidden = entries.length > 0;
}

/** The way to a folder: the host, the innermost allowed folder that it is in, and what follows. */
function showCrumbs(path) {
  const root = roots.filter((one) => `${path}/`.startsWith(`${one.replace(/\/$/, "")}/`)).sort((a, b) => b.length - a.length)[0];
  const links = [element("a", host.name, { href: hrefOf("") })];
  if (path) {
    let reached = root ?? "";
    if (root) links.push(element("a", root, { href: hrefOf(root) }));
    for (const part of path.slice(reached.length).split("/").filter(Boolean)) {
      reached = joined(reached, part);
      links.push(element("a", part, { href: hrefOf(reached) }));
    }
  }
  if (path) links.at(-1).ariaCurrent = "page";
  find("crumbs").replaceChildren(...links);
}

function row(path, { name, type, size, modified, mode }) {
  const line = find("entry").content.firstElementChild.cloneNode(true);
  const full = path ? joined(path, name) : name;
  const isFolder = type === "folder";
  const title = line.querySelector("th");
  title.append(find(isFolder ? "folder-icon" : "file-icon").content.cloneNode(true));
  title.append(isFolder ? element("a", name, { href: hrefOf(full) }) : element("span", name));
  if (type !== "folder" && type !== "file") title.append(element("span", type, { className: "tag" }));
  line.querySelector(".size").textContent = type === "file" ? bytes(size) : "";
  line.querySelector(".mode").textContent = path ? mode : "";
  if (path && modified) {
    const time = element("time", "");
    setAgo(time, modified);
    line.querySelector(".changed").append(time, " ago");
  }
  const link = line.querySelector("a[download]");
  if (type === "file") {
    link.href = `${url}?${new URLSearchParams({ path: full })}`;
    link.download = name;
    link.ariaLabel = `Download ${name}`;
  } else link.remove();
  return line;
}

/** Begin a download: it is the browser's then. What would be refused is said here, and not saved as a file. */
async function download(link) {
  const answer = await fetch(link.href, { method: "HEAD" }).catch(() => null);
  if (answer?.ok) {
    const begun = element("a", "", { href: link.href, download: link.download });
    begun.click();
    return;
  }
  try {
    await ask("GET", link.href);
  } catch (error) {
    fail(wordsOf(error));
  }
}

function go(path) {
  history.pushState(null, "", hrefOf(path));
  look(path);
}

const wanted = () => new URLSearchParams(location.search).get("path") ?? "";

// Uploading

async function upload(files) {
  const { path, names } = folder;
  for (const file of files) {
    if (names.has(file.name) && !(await sure(file.name))) continue;
    await transfer(file, joined(path, file.name));
  }
  if (folder.path === path) look(path);
}

function sure(name) {
  const dialog = find("replace");
  find("replace-title").textContent = `Replace ${name}?`;
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "do"), { once: true }));
}

async function transfer(file, dest) {
  const item = find("transfer").content.firstElementChild.cloneNode(true);
  const bar = item.querySelector("progress");
  const amount = item.querySelector(".amount");
  const button = item.querySelector("button");
  const control = new AbortController();
  item.querySelector(".name").textContent = file.name;
  bar.ariaLabel = `Upload of ${file.name}`;
  button.onclick = () => control.abort();
  find("transfers").append(item);
  const onProgress = (sent) => {
    bar.value = file.size ? sent / file.size : 1;
    amount.textContent = `${bytes(sent)} of ${bytes(file.size)}`;
  };
  onProgress(0);
  try {
    await send(file, dest, { url, onProgress, signal: control.signal });
    toast(`Uploaded: ${file.name}`);
    item.remove();
  } catch (error) {
    item.classList.add("failed");
    bar.remove();
    amount.textContent = control.signal.aborted ? "cancelled" : wordsOf(error);
    button.textContent = "Dismiss";
    button.onclick = () => item.remove();
  }
}

if (find("entries")) {
  find("entries").addEventListener("click", (event) => {
    const link = event.target.closest("a[download]");
    if (!link) return;
    event.preventDefault();
    download(link);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#crumbs a, #entries th a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(new URL(link.href).searchParams.get("path") ?? "");
  });
  addEventListener("popstate", () => look(wanted()));
  find("reload").addEventListener("click", () => look(wanted()));
  find("choose").addEventListener("click", () => find("upload").click());
  find("upload").addEventListener("change", async ({ target }) => {
    const files = [...target.files];
    target.value = "";
    await upload(files);
  });
  const drop = find("drop");
  for (const type of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(type, (event) => {
      if (!folder?.writable) return;
      event.preventDefault();
      drop.classList.toggle("over", type === "dragover");
      if (type === "drop") upload([...event.dataTransfer.files]);
    });
  }
  look(wanted());
}
follow(["host"], () => localise());
