// The picker of channel types: a field to search in and a list of what fits, own and usual ones first.

const USUAL = [
  "email", "webhook", "ntfy", "pushover", "telegram", "slack", "discord", "teams", "msteams", "workflows", "matrix",
  "mattermost", "signal", "gotify", "pagerduty", "opsgenie", "twilio", "alertmanager", "script",
];

/** `schema`: type → {label, fields}. `choose(type)` is called with what was chosen. */
export class TypePicker {
  constructor(place, choose) {
    this.input = place.querySelector("input");
    this.list = place.querySelector("ul");
    this.count = place.querySelector("[role=status]");
    this.choose = choose;
    this.types = [];
    this.shown = [];
    this.at = 0;
    this.input.addEventListener("input", () => this.show());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("click", ({ target }) => {
      const item = target.closest("li[data-type]");
      if (item) this.choose(item.dataset.type);
    });
  }

  offer(schema) {
    const rank = (type) => (USUAL.includes(type) ? USUAL.indexOf(type) : USUAL.length);
    this.types = Object.entries(schema)
      .map(([type, { label }]) => ({ type, label, usual: USUAL.includes(type) }))
      .sort((a, b) => rank(a.type) - rank(b.type) || a.label.localeCompare(b.label));
    this.input.value = "";
    this.show();
  }

  show() {
    const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = ({ type, label }) => words.every((word) => type.includes(word) || label.toLowerCase().includes(word));
    this.shown = this.types.filter(fits);
    this.at = 0;
    const first = this.shown.findIndex(({ usual }) => !usual);
    const items = this.shown.map((one, index) => item(one, index));
    if (first > 0) items[first].classList.add("rest");
    this.list.replaceChildren(...items);
    this.list.hidden = !items.length;
    this.list.scrollTop = 0;
    this.count.textContent = items.length
      ? `${items.length} ${items.length === 1 ? "type" : "types"}`
      : "None of that name. A webhook or a script reaches nearly everything.";
    this.#mark(false);
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.shown.length) {
      event.preventDefault();
      this.at = (this.at + step + this.shown.length) % this.shown.length;
      this.#mark(true);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (this.shown.length) this.choose(this.shown[this.at].type);
    }
  }

  #mark(reveal) {
    [...this.list.children].forEach((element, index) => {
      element.ariaSelected = String(index === this.at);
      if (reveal && index === this.at) element.scrollIntoView({ block: "nearest" });
    });
    if (this.shown.length) this.input.setAttribute("aria-activedescendant", `type-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }
}

function item({ type, label }, index) {
  const element = document.createElement("li");
  element.id = `type-${index}`;
  element.role = "option";
  element.dataset.type = type;
  for (const [name, text] of [["label", label], ["kind", type]]) {
    const span = document.createElement("span");
    span.className = name;
    span.textContent = text;
    element.append(span);
  }
  return element;
}
