// The live feed: one WebSocket to our own origin that comes back by itself.

import { signIn } from "./ask.js";

const STRANGER = 4401;
const FIRST_DELAY = 0.5;
const LONGEST_DELAY = 30;

/**
 * Calls `onMessages(list)` with every frame's messages and dispatches "alert" when alerts are among them (they are in
 * every subscription, as all pages tell how many there are), and "state" when `state` changes:
 * "connecting", "live", or "lost" with `retryAt` (milliseconds) and `lastWord` (milliseconds); "snapshot" when everything is
 * about to come anew. `subscription`: {hosts, types}, lists of names. `onStranger()`: nobody is signed in (any more).
 */
export class Feed extends EventTarget {
  constructor(subscription, onMessages, onStranger = signIn) {
    super();
    this.subscription = { ...subscription, types: [...new Set([...subscription.types, "alert"])] };
    this.onMessages = onMessages;
    this.onStranger = onStranger;
    this.state = "connecting";
    this.retryAt = null;
    this.lastWord = null;
    this.failures = 0;
    for (const type of ["online", "pageshow"]) addEventListener(type, () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
    this.#connect();
  }

  /** Ask for everything anew; the snapshot comes as messages. */
  resync() {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify({ type: "subscribe", batch: true, ...this.subscription }));
    this.dispatchEvent(new Event("snapshot"));
  }

  #connect() {
    clearTimeout(this.timer);
    const url = new URL("/hbd", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("batch", "true");
    for (const [name, values] of Object.entries(this.subscription)) url.searchParams.set(name, values.join(","));
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onopen = () => {
      this.#become("live");
      this.dispatchEvent(new Event("snapshot"));
    };
    socket.onmessage = (event) => this.#take(event.data);
    socket.onclose = ({ code }) => {
      if (socket !== this.socket) return;
      if (code === STRANGER) this.onStranger();
      else this.#lost();
    };
  }

  #take(text) {
    this.failures = 0;
    this.lastWord = Date.now();
    const message = JSON.parse(text);
    const list = message.type === "batch" ? message.data : [message];
    this.onMessages(list);
    if (list.some(({ type }) => type === "alert")) this.dispatchEvent(new Event("alert"));
  }

  #lost() {
    this.failures += 1;
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.failures);
    const delay = longest * (0.5 + Math.random() / 2) * 1000;
    this.retryAt = Date.now() + delay;
    this.timer = setTimeout(() => this.#connect(), delay);
    this.#become("lost");
  }

  #hurry() {
    if (this.state === "lost" && this.socket.readyState === WebSocket.CLOSED) this.#connect();
  }

  #become(state) {
    if (state === "live") this.retryAt = null;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
