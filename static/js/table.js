// Rows of a table that exist only while they are looked at: thousands of hosts cost as much as a screenful.

const OVERSCAN = 8;

/**
 * Shows `items` ({key, host} or {key, group}) in a <tbody>, as lines of one or, in a grid, several rows.
 * `fill(row, item)` makes a row say what its item says; `make(item)` makes a row for that kind of item.
 */
export class VirtualTable {
  constructor(table, make, fill) {
    this.table = table;
    this.body = table.tBodies[0];
    this.make = make;
    this.fill = fill;
    this.items = [];
    this.rows = new Map();
    this.columns = 1;
    this.above = spacer();
    this.below = spacer();
    this.body.replaceChildren(this.above, this.below);
    addEventListener("scroll", () => this.#later(), { passive: true });
    addEventListener("resize", () => this.layout());
  }

  setItems(items) {
    this.items = items;
    this.layout();
  }

  /** Measure anew: the window, the density or the view has changed. */
  layout() {
    const style = getComputedStyle(this.body);
    const perLine = style.display === "grid" ? style.gridTemplateColumns.split(" ").length : 1;
    const height = parseFloat(getComputedStyle(this.table).getPropertyValue("--row"));
    // A cell that spans columns which are not shown would make room for them.
    this.columns = [...this.table.tHead.rows[0].cells].filter((cell) => getComputedStyle(cell).display !== "none").length;
    for (const row of [this.above, this.below]) row.cells[0].colSpan = this.columns;
    const groupHeight = style.display === "grid" ? 32 : height;
    this.lines = [];
    let top = 0;
    let open = null;
    this.items.forEach((item, index) => {
      if (item.group) {
        open = null;
        this.lines.push({ top, first: index, last: index });
        top += groupHeight;
      } else if (open && open.last - open.first + 1 < perLine) {
        open.last = index;
      } else {
        open = { top, first: index, last: index };
        this.lines.push(open);
        top += height;
      }
    });
    this.height = top;
    this.render();
  }

  /** Draw what is in sight. Rows stay the same elements as long as they are in sight. */
  render() {
    this.pending = false;
    const offset = -this.body.getBoundingClientRect().top;
    const from = Math.max(0, this.#lineAt(offset) - OVERSCAN);
    const to = Math.min(this.lines.length - 1, this.#lineAt(offset + innerHeight) + OVERSCAN);
    const shown = this.lines.length ? this.items.slice(this.lines[from].first, this.lines[to].last + 1) : [];
    const wanted = new Set(shown.map((item) => item.key));
    for (const [key, row] of this.rows) {
      if (!wanted.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    }
    setHeight(this.above, this.lines.length ? this.lines[from].top : 0);
    const end = this.lines[to + 1]?.top ?? this.height;
    setHeight(this.below, this.height - end);
    let next = this.above.nextSibling;
    const firstIndex = this.lines[from]?.first ?? 0;
    shown.forEach((item, index) => {
      let row = this.rows.get(item.key);
      if (!row) {
        row = this.make(item);
        this.rows.set(item.key, row);
      }
      this.fill(row, item);
      row.classList.toggle("even", (firstIndex + index) % 2 === 1);
      row.ariaRowIndex = firstIndex + index + 2;
      if (row === next) next = row.nextSibling;
      else this.body.insertBefore(row, next);
    });
    this.table.ariaRowCount = this.items.length + 1;
  }

  /** Bring an item into sight and give its row. */
  reveal(index) {
    const line = this.lines.find((entry) => entry.last >= index);
    if (!line) return null;
    const head = this.table.tHead.getBoundingClientRect().height;
    const covered = document.querySelector(".topbar").getBoundingClientRect().height + head;
    const top = this.body.getBoundingClientRect().top + line.top;
    const bottom = innerHeight - 80;
    if (top < covered) scrollBy(0, top - covered);
    else if (top > bottom) scrollBy(0, top - bottom);
    this.render();
    return this.rows.get(this.items[index].key);
  }

  #lineAt(offset) {
    let low = 0;
    let high = Math.max(0, this.lines.length - 1);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.lines[middle].top <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #later() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => this.render());
  }
}

function spacer() {
  const row = document.createElement("tr");
  row.className = "spacer";
  row.ariaHidden = "true";
  row.insertCell();
  return row;
}

function setHeight(row, height) {
  row.hidden = !height;
  row.cells[0].style.height = `${height}px`;
}
