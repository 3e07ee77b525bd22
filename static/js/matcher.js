// The part of a form that says which hosts, tags and metrics something is about.

import { Names } from "./names.js";

export class Matcher {
  constructor(form) {
    this.lists = new Map([...form.querySelectorAll(".names")].map((place) => [place.dataset.name, new Names(place)]));
  }

  get values() {
    return Object.fromEntries([...this.lists].map(([name, list]) => [name, list.values]));
  }

  set values(given) {
    for (const [name, list] of this.lists) list.values = given[name] ?? [];
  }

  /** Take over what stands in the fields and was not added yet. */
  take() {
    for (const list of this.lists.values()) list.take();
  }
}
