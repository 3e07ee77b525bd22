// The fields of a notification channel, made from the schema of its type.

/** What stands in place of a secret; sent back it means: keep what you have. */
export const KEPT = "•••";

const INPUT_TYPES = { secret: "password", url: "url", number: "number" };

/** One setting. `field` is of the schema: {key, label, type, required, choices, default, help}; `value`: what it is now. */
export class Setting {
  constructor(field, value) {
    this.key = field.key;
    this.type = field.type;
    this.required = Boolean(field.required);
    this.given = value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && !value.length);
    const id = `setting-${field.key}`;
    this.control = this.#control(field, this.given ? value : field.default);
    Object.assign(this.control, { id, required: this.required && this.type !== "boolean" });
    this.element = document.createElement("div");
    this.element.className = "one";
    this.element.dataset.field = field.key;
    if (this.type === "boolean") this.element.append(boxed(this.control, field.label));
    else this.element.append(labelled(id, field), this.type === "secret" ? secret(this.control, field.label) : this.control);
    const help = [field.help, this.type === "list" && "One on each line."].filter(Boolean).join(" ");
    if (help) {
      this.element.append(line("hint", help, `${id}-hint`));
      this.control.setAttribute("aria-describedby", `${id}-hint`);
    }
    const wrong = line("wrong", "", `${id}-wrong`);
    wrong.hidden = true;
    this.element.append(wrong);
  }

  /** As the API takes it; null where nothing is given. */
  get value() {
    if (this.type === "boolean") return this.control.checked;
    if (this.type === "list") return this.control.value.split("\n").map((text) => text.trim()).filter(Boolean);
    if (!this.control.value) return null;
    return this.type === "number" ? Number(this.control.value) : this.control.value;
  }

  #control({ choices }, value) {
    if (this.type === "choice") return select(choices ?? [], value, this.required);
    const control = document.createElement(this.type === "list" ? "textarea" : "input");
    if (this.type === "boolean") {
      control.type = "checkbox";
      control.checked = value === true || value === "true";
      return control;
    }
    control.className = "field";
    control.spellcheck = false;
    control.autocapitalize = "none";
    control.autocomplete = this.type === "secret" ? "new-password" : "off";
    if (this.type === "list") control.rows = 2;
    else control.type = INPUT_TYPES[this.type] ?? "text";
    if (this.type === "number") control.step = "any";
    control.value = Array.isArray(value) ? value.join("\n") : (value ?? "");
    // What is kept is replaced as a whole: nobody adds a letter to three dots.
    if (value === KEPT) control.addEventListener("focus", () => control.value === KEPT && control.select());
    return control;
  }
}

function select(choices, value, required) {
  const control = document.createElement("select");
  control.className = "field";
  const given = value === undefined || value === null ? "" : String(value);
  const offered = [...(required && given ? [] : [""]), ...choices];
  if (given && !offered.includes(given)) offered.push(given);
  for (const choice of offered) {
    const option = document.createElement("option");
    option.value = choice;
    option.textContent = choice || "–";
    option.defaultSelected = choice === given;
    control.append(option);
  }
  return control;
}

function labelled(id, { label, required }) {
  const element = document.createElement("label");
  element.className = "stacked";
  element.htmlFor = id;
  element.textContent = label;
  if (!required) {
    const note = document.createElement("span");
    note.className = "optional";
    note.textContent = " optional";
    element.append(note);
  }
  return element;
}

function boxed(control, text) {
  const label = document.createElement("label");
  label.className = "check";
  label.append(control, ` ${text}`);
  return label;
}

function secret(control, label) {
  const place = document.createElement("span");
  place.className = "secret";
  const eye = document.querySelector("#eye").content.cloneNode(true);
  const button = eye.querySelector("button");
  button.dataset.reveals = control.id;
  button.ariaLabel = `Show ${label.toLowerCase()}`;
  place.append(control, eye);
  return place;
}

function line(name, text, id) {
  const element = document.createElement("p");
  element.className = name;
  element.id = id;
  element.textContent = text;
  return element;
}
