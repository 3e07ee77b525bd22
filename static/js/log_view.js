// The lines of a log: so many are kept, a filter hides some, a pause holds new ones back.

const KEPT = 5000;
const HELD = 20_000; // while somebody reads, so many wait; older ones of them are let go and counted

/** `list`: the element that holds the lines; `onChange()`: how many are held or shown has changed. */
export class LogView {
  constructor(list, onChange) {
    this.list = list;
    this.onChange = onChange;
    this.waiting = [];
    this.lost = 0;
    this.words = [];
    this.paused = false;
    this.following = true;
    list.addEventListener("scroll", () => {
      this.following = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
      onChange();
    });
  }

  get held() {
    return this.paused ? this.waiting.length + this.lost : 0;
  }

  /** Lines, each {text, kind}: "line", or "note" for what is said about the log. They are drawn with the next frame. */
  add(lines) {
    for (const line of lines) this.waiting.push(line);
    const most = this.paused ? HELD : KEPT;
    if (this.waiting.length > most) this.lost += this.waiting.splice(0, this.waiting.length - most).length;
    if (this.paused) this.onChange();
    else this.frame ??= requestAnimationFrame(() => this.#draw());
  }

  clear() {
    this.waiting = [];
    this.lost = 0;
    this.following = true;
    this.list.replaceChildren();
    this.onChange();
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.#draw();
    this.onChange();
  }

  /** Show only lines that hold all of these words. */
  filter(text) {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of this.list.children) item.hidden = !this.#fits(item);
    this.toEnd();
  }

  toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
    this.following = true;
    this.onChange();
  }

  #draw() {
    this.frame = null;
    const lines = this.waiting.splice(0);
    if (this.lost) lines.unshift({ kind: "note", text: `${this.lost} older lines are not kept here` });
    this.lost = 0;
    this.list.append(...lines.map((line) => this.#item(line)));
    while (this.list.childElementCount > KEPT) this.list.firstElementChild.remove();
    if (this.following) this.list.scrollTop = this.list.scrollHeight;
    this.onChange();
  }

  #item({ text, kind }) {
    const item = document.createElement("li");
    item.className = kind;
    item.textContent = text;
    item.hidden = !this.#fits(item);
    return item;
  }

  #fits(item) {
    if (!this.words.length || item.className === "note") return true;
    const text = item.textContent.toLowerCase();
    return this.words.every((word) => text.includes(word));
  }
}
