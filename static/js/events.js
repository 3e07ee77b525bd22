// Server-sent events read with fetch: unlike EventSource it learns why it was refused, and may stop for good.

import { signIn } from "./ask.js";

const FIRST_DELAY = 1;
const LONGEST_DELAY = 30;
const NOTHING_MORE = 204;
const WORTH_ANOTHER_TRY = [429, 502, 503, 504];

/**
 * Calls `onEvents(list)` with what came together, each {type, data (text), id}, and `onState(state, words)` when it changes:
 * "live", "lost" (it tries again by itself), "refused" (it does not; `words` say why), "over" (`last(event)` was true).
 */
export class Events {
  constructor(url, { onEvents, onState = () => {}, last = () => false }) {
    Object.assign(this, { url, onEvents, onState, last });
    this.id = "";
    this.failures = 0;
    this.#read();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.abort?.abort();
  }

  async #read() {
    const abort = (this.abort = new AbortController());
    try {
      const headers = { Accept: "text/event-stream", ...(this.id && { "Last-Event-ID": this.id }) };
      const answer = await fetch(this.url, { headers, cache: "no-store", signal: abort.signal });
      if (!answer.ok) {
        await this.#refused(answer);
        return;
      }
      if (answer.status === NOTHING_MORE) {
        this.#end();
        return;
      }
      this.#say("live");
      const lines = new Lines();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        this.failures = 0;
        if (this.#take(lines.add(part.value))) return;
      }
    } catch {
      // The connection broke, or was closed here.
    } finally {
      abort.abort(); // what is left unread would go on being one of the user's streams
    }
    this.#again();
  }

  // Whether that was all.
  #take(events) {
    if (!events.length || this.closed) return this.closed;
    try {
      this.onEvents(events);
      this.id = events.findLast(({ id }) => id)?.id ?? this.id;
    } catch (error) {
      reportError(error); // a fault of the page; the connection is as good as it was
    }
    if (!events.some((event) => this.last(event))) return false;
    this.#end();
    return true;
  }

  #end() {
    this.close();
    this.onState("over");
  }

  async #refused(answer) {
    if (answer.status === 401) signIn();
    const { error, reason } = await answer.json().catch(() => ({}));
    if (WORTH_ANOTHER_TRY.includes(answer.status)) this.#again(reason ?? error);
    else this.#say("refused", reason ?? error ?? `The server answered ${answer.status}`);
  }

  #again(words = "") {
    if (this.closed) return;
    this.failures += 1;
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (this.failures - 1));
    this.timer = setTimeout(() => this.#read(), longest * (0.5 + Math.random() / 2) * 1000);
    this.#say("lost", words);
  }

  #say(state, words = "") {
    if (!this.closed) this.onState(state, words);
  }
}

/** What an event that is no line of a log says: an object, of a bare text its `text`. */
export function wordsOf(data) {
  try {
    return JSON.parse(data);
  } catch {
    return { text: data };
  }
}

/** Makes events of text that comes in pieces. */
class Lines {
  constructor() {
    this.rest = "";
    this.event = { type: "message", data: [], id: "" };
  }

  add(text) {
    const lines = (this.rest + text).split(/\r\n|\n/);
    this.rest = lines.pop();
    const events = [];
    for (const line of lines) {
      if (line) this.#field(line);
      else if (this.event.data.length) events.push(this.#finish());
    }
    return events;
  }

  #field(line) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "data") this.event.data.push(value);
    else if (name === "event") this.event.type = value;
    else if (name === "id") this.event.id = value;
  }

  #finish() {
    const { type, data, id } = this.event;
    this.event = { type: "message", data: [], id: "" };
    return { type, data: data.join("\n"), id };
  }
}
