// What the page knows of hosts and messages. Listeners hear of changes once per frame, not once per message.

const MESSAGES = 200;
const SNAPSHOT_SECONDS = 5;

/**
 * Dispatches "change" with `changed` (names of hosts) and `messages` (whether new ones came), "silence" when a snapshot held
 * no host.
 */
export class Store extends EventTarget {
  constructor(hosts, messages) {
    super();
    this.hosts = new Map(hosts.map((host) => [host.name, host]));
    this.messages = messages;
    this.changed = new Set();
    this.newMessages = false;
    this.snapshot = null;
  }

  /** A snapshot begins: hosts that are not in it are gone. */
  beginSnapshot() {
    const seen = new Set();
    this.snapshot = seen;
    setTimeout(() => this.snapshot === seen && this.#endSnapshot(), SNAPSHOT_SECONDS * 1000);
  }

  take(list) {
    for (const { type, data } of list) {
      if (type === "host") {
        this.hosts.set(data.name, data);
        this.changed.add(data.name);
        this.snapshot?.add(data.name);
      } else if (type === "gone") {
        this.#drop(data.id);
      } else if (type === "message") {
        this.messages.unshift(data);
        this.messages.length = Math.min(this.messages.length, MESSAGES);
        this.newMessages = true;
      }
    }
    this.#announce();
  }

  counts() {
    const counts = { UP: 0, OVERDUE: 0, DOWN: 0, UNKNOWN: 0 };
    for (const host of this.hosts.values()) counts[host.state] += 1;
    return counts;
  }

  /** How many alerts of each level there are. */
  raised() {
    const counts = { CRITICAL: 0, WARNING: 0, UNKNOWN: 0 };
    for (const { alerts } of this.hosts.values()) {
      for (const level in counts) counts[level] += alerts[level.toLowerCase()];
    }
    return counts;
  }

  /** How many watched hosts are not up, and how bad it is. */
  problems() {
    const counts = { OVERDUE: 0, DOWN: 0, UNKNOWN: 0 };
    for (const host of this.hosts.values()) if (host.watched && host.state !== "UP") counts[host.state] += 1;
    const level = counts.DOWN ? "critical" : counts.OVERDUE ? "warning" : counts.UNKNOWN ? "unknown" : "ok";
    return { count: counts.DOWN + counts.OVERDUE + counts.UNKNOWN, level };
  }

  #drop(id) {
    for (const [name, host] of this.hosts) {
      if (host.id === id) {
        this.hosts.delete(name);
        this.changed.add(name);
      }
    }
  }

  #endSnapshot() {
    const seen = this.snapshot;
    this.snapshot = null;
    if (seen.size) this.keep(seen);
    else this.dispatchEvent(new Event("silence"));
  }

  /** Forget all hosts but these. */
  keep(names) {
    for (const name of this.hosts.keys()) {
      if (!names.has(name)) {
        this.hosts.delete(name);
        this.changed.add(name);
      }
    }
    this.#announce();
  }

  #announce() {
    if (this.waiting || !(this.changed.size || this.newMessages)) return;
    this.waiting = true;
    // A timer, not an animation frame: the title and the icon follow in a hidden tab too.
    setTimeout(() => {
      const event = new Event("change");
      event.changed = this.changed;
      event.messages = this.newMessages;
      this.changed = new Set();
      this.newMessages = false;
      this.waiting = false;
      this.dispatchEvent(event);
    }, 50);
  }
}
