// Check boxes of a table's rows, and one above them for all rows that are shown.

import { element } from "./element.js";

export class Checks {
  constructor(table, changed) {
    this.table = table;
    this.changed = changed;
    this.names = new Set();
    this.boxes = new Map();
    this.all = element("input", { type: "checkbox", "aria-label": "Compare all runs shown", onchange: () => this.toggleAll() });
    this.header = element("th", { scope: "col", class: "lrx-check", title: "Compare all runs shown" }, this.all);
  }

  // The cell with the box of one row.
  cell(name) {
    const box = element("input", {
      type: "checkbox",
      "aria-label": `Compare ${name}`,
      onchange: (event) => this.toggle(name, event.target.checked),
    });
    box.checked = this.names.has(name);
    this.boxes.set(name, box);
    return element("td", { role: "gridcell", class: "lrx-check" }, box);
  }

  forget(name) {
    this.boxes.delete(name);
  }

  // Shows these names as checked.
  show(names) {
    this.names = new Set(names);
    for (const [name, box] of this.boxes) box.checked = this.names.has(name);
    this.sum();
  }

  toggle(name, checked) {
    if (checked) this.names.add(name);
    else this.names.delete(name);
    this.tell();
  }

  toggleAll() {
    for (const { dataset } of this.table.shown()) {
      if (!this.boxes.has(dataset.name)) continue;
      if (this.all.checked) this.names.add(dataset.name);
      else this.names.delete(dataset.name);
    }
    this.tell();
  }

  // The names are told in the order of the boxes, that of the table when it was filled.
  tell() {
    const names = [...this.boxes.keys()].filter((name) => this.names.has(name));
    this.show(names);
    this.changed(names);
  }

  // The box above is checked where all shown rows are, and half where some are.
  sum() {
    const shown = this.table.shown().filter(({ dataset }) => this.boxes.has(dataset.name));
    const checked = shown.filter(({ dataset }) => this.names.has(dataset.name)).length;
    this.all.checked = shown.length > 0 && checked === shown.length;
    this.all.indeterminate = checked > 0 && checked < shown.length;
  }
}
