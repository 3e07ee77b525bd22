// Files on their way to a host, in parts: what broke off goes on where the host has got to.

import { Refused } from "./ask.js";

const PART_BYTES = 8 * 1024 * 1024;
const TRIES = 5;
const DELAY_MS = 1000;

/**
 * Send `file` to the path `dest`. `url`: of the host's files; `onProgress(bytes)`; `signal` ends it. Raises Refused, or an
 * AbortError.
 */
export async function send(file, dest, { url, onProgress, signal }) {
  const upload = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  let offset = 0;
  let failures = 0;
  do {
    try {
      const part = file.slice(offset, offset + PART_BYTES);
      const fields = { dest, upload, offset, total: file.size };
      await post(url, fields, part, file.name, { signal, onProgress: (bytes) => onProgress(offset + bytes) });
      offset += part.size;
      failures = 0;
      onProgress(offset);
    } catch (error) {
      if (!(error instanceof Refused) || (error.status && error.status < 500) || ++failures >= TRIES) throw error;
      await pause(DELAY_MS * 2 ** failures, signal);
      offset = await reached(url, { upload, dest }, offset);
    }
  } while (offset < file.size);
}

// fetch tells nothing of how much of a body has been sent.
function post(url, fields, part, name, { signal, onProgress }) {
  const body = new FormData();
  for (const [field, value] of Object.entries(fields)) body.append(field, value);
  body.append("file", part, name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    request.open("POST", url);
    request.responseType = "json";
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", ({ loaded }) => onProgress(Math.min(loaded, part.size)));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Refused(wordsOf(request.response) ?? `The server answered ${request.status}`, request.status));
    });
    request.addEventListener("error", () => reject(new Refused("The daemon cannot be reached.")));
    request.addEventListener("abort", () => reject(signal.reason));
    request.addEventListener("loadend", () => signal.removeEventListener("abort", abort));
    signal.addEventListener("abort", abort);
    request.send(body);
  });
}

const wordsOf = (answer) => answer?.reason ?? answer?.error;

async function reached(url, query, offset) {
  const answer = await fetch(`${url}/upload?${new URLSearchParams(query)}`).catch(() => null);
  return answer?.ok ? (await answer.json()).offset : offset;
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  });
}
