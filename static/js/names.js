// A list of names that can be added to and taken from.

/** One such list in its place in a form. */
export class Names {
  constructor(place) {
    this.list = place.querySelector("ul");
    this.field = place.querySelector("input");
    this.field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== ",") return;
      if (event.key === "," || this.field.value.trim()) event.preventDefault();
      this.take();
    });
    place.querySelector(".button").addEventListener("click", () => {
      this.take();
      this.field.focus();
    });
  }

  get values() {
    return [...this.list.children].map((item) => item.dataset.name);
  }

  set values(names) {
    this.list.replaceChildren(...names.map((name) => this.#item(name)));
    this.field.value = "";
  }

  /** Take over what stands in the field. */
  take() {
    const name = this.field.value.trim();
    this.field.value = "";
    if (!name || this.values.some((known) => known.toLowerCase() === name.toLowerCase())) return;
    this.list.append(this.#item(name));
  }

  #item(name) {
    const item = document.createElement("li");
    const remove = document.createElement("button");
    item.className = "tag";
    item.dataset.name = name;
    item.textContent = name;
    remove.type = "button";
    remove.textContent = "×";
    remove.ariaLabel = `Remove ${name}`;
    remove.addEventListener("click", () => {
      item.remove();
      this.field.focus();
    });
    item.append(remove);
    return item;
  }
}
