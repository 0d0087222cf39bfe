// The layer table: search, sort, choose a row by mouse or keyboard. With `checks`, rows have check boxes, and a table of
// the same columns is changed in place: it keeps its order, its search and the focus. A row with `fold` opens and closes
// the rows that are `under` it.

import { Checks } from "./checks.js";
import { element } from "./element.js";
import { arranged, cellText, countText, isChosen, nextSorting, onlyHit, shownRows } from "./rows.js";

const MOST_NAME_LETTERS = 30;

export class LayerTable {
  constructor(choose, check) {
    this.choose = choose;
    this.checks = new Checks(this, check);
    this.checkable = false;
    this.sorting = { key: null, descending: false };
    this.open = new Set();
    this.search = element("input", {
      class: "lrx-search",
      type: "search",
      placeholder: "search",
      "aria-label": "Search layers",
      oninput: () => this.filter(),
      onkeydown: (event) => this.pressSearch(event),
    });
    this.count = element("span", { class: "lrx-count", "aria-live": "polite" });
    this.caption = element("span", { class: "lrx-heading" });
    this.head = element("tr");
    this.body = element("tbody");
    this.grid = element(
      "table",
      { role: "grid", onclick: (event) => this.click(event), onkeydown: (event) => this.press(event) },
      element("thead", {}, this.head),
      this.body,
    );
    this.nothing = element("p", { class: "lrx-nothing", role: "status" });
    this.scroller = element("div", { class: "lrx-scroller" }, this.grid, this.nothing);
    this.root = element(
      "section",
      { class: "lrx-layers" },
      element("div", { class: "lrx-bar" }, this.caption, this.search, this.count),
      this.scroller,
    );
  }

  fill(table) {
    const { columns = [], rows = [], label = "layers", checks = false } = table ?? {};
    const form = JSON.stringify([label, columns, checks]);
    if (form === this.form) {
      this.update(rows);
      return;
    }
    this.form = form;
    this.checkable = checks;
    this.checks.boxes.clear();
    this.open.clear();
    this.grid.setAttribute("role", rows.some(({ fold }) => fold) ? "treegrid" : "grid");
    this.columns = columns.some(({ key }) => key === "name") ? columns : [{ key: "name", label: "name" }, ...columns];
    this.caption.textContent = label;
    this.grid.setAttribute("aria-label", label);
    this.search.ariaLabel = checks ? `Search ${label}` : "Search layers";
    this.head.replaceChildren(...(checks ? [this.checks.header] : []), ...this.columns.map((column) => this.header(column)));
    this.rows = rows.map((row) => ({ ...row, node: this.row(row) }));
    this.makeRoom();
    this.sort(null);
    this.root.hidden = rows.length === 0;
  }

  // New values in the rows that are there, new rows after them, gone ones away. Where none comes or goes, focus, order
  // and place stay.
  update(rows) {
    const before = new Map(this.rows.map((row) => [row.name, row]));
    const first = this.checkable ? 1 : 0;
    let same = rows.length === before.size;
    this.rows = rows.map((row) => {
      const { node } = before.get(row.name) ?? {};
      if (!node || Boolean(before.get(row.name).disabled) !== Boolean(row.disabled)) {
        same = false;
        return { ...row, node: this.row(row) };
      }
      this.columns.forEach(({ key }, place) => {
        if (!row.disabled) write(node.children[place + first], row, key);
      });
      if (row.state) node.dataset.state = row.state;
      before.delete(row.name);
      return { ...row, node };
    });
    for (const name of before.keys()) if (!rows.some((row) => row.name === name)) this.checks.forget(name);
    this.makeRoom();
    this.root.hidden = rows.length === 0;
    if (same) this.filter();
    else this.arrange();
  }

  // Names stand in one line, unless they are long.
  makeRoom() {
    const longest = Math.max(...this.rows.map((row) => cellText(row, "name").length), 0);
    this.grid.style.setProperty("--lrx-name", String(Math.min(longest, MOST_NAME_LETTERS)));
  }

  header(column) {
    const text = column.unit ? `${column.label} (${column.unit})` : column.label;
    const button = element("button", { type: "button", title: `Sort by ${text}`, onclick: () => this.sort(column.key) }, text);
    return element("th", { scope: "col", class: alignment(column), "data-key": column.key, "aria-sort": "none" }, button);
  }

  row(row) {
    const shown = row.disabled ? this.columns.filter(({ key }) => key === "name") : this.columns;
    const cells = shown.map((column) => {
      const named = { name: "lrx-name", state: "lrx-state" }[column.key];
      const cell = element("td", { role: "gridcell", class: named ?? alignment(column) });
      write(cell, row, column.key);
      return cell;
    });
    if (row.disabled) {
      const colspan = this.columns.length - 1;
      cells.push(element("td", { role: "gridcell", colspan, class: "lrx-reason" }, String(row.disabled)));
    }
    if (this.checkable) cells.unshift(row.disabled ? element("td", { role: "gridcell" }) : this.checks.cell(row.name));
    const attributes = { "data-name": row.name, "data-state": row.state, tabindex: "-1", "aria-selected": "false" };
    if (row.under) Object.assign(attributes, { "data-under": row.under, "aria-level": "2", title: row.name });
    if (row.fold) Object.assign(attributes, { "data-fold": "", "aria-level": "1", "aria-expanded": "false", title: "Open or close" });
    if (row.disabled) Object.assign(attributes, { "aria-disabled": "true", title: `${row.name}: ${row.disabled}` });
    return element("tr", attributes, ...cells);
  }

  // What the person chooses for a row elsewhere in the panel, in its column.
  follow(name, trait, value) {
    const place = this.columns?.findIndex(({ follows }) => follows === trait) ?? -1;
    const row = place < 0 ? null : this.rows.find((one) => one.name === name);
    if (!row || row.disabled) return;
    const { key } = this.columns[place];
    row[key] = String(value);
    write(row.node.children[place + (this.checkable ? 1 : 0)], row, key);
  }

  select(name) {
    this.mark(name);
    const row = this.rows?.find((one) => one.name === name);
    if (!row) return;
    if (row.under && !this.open.has(row.under)) this.unfold(row.under, true);
    this.reveal(row.node);
  }

  // Shows which row is selected, and scrolls nothing.
  mark(name) {
    if (!this.rows) return;
    for (const row of this.rows) {
      const selected = row.name === name;
      row.node.setAttribute("aria-selected", String(selected));
      row.node.tabIndex = selected ? 0 : -1;
    }
    if (!this.rows.some((row) => row.name === name) && this.shown().length) this.shown()[0].tabIndex = 0;
  }

  // Only the table scrolls: scrollIntoView would move the notebook too.
  reveal(node) {
    const top = node.offsetTop - this.head.offsetHeight;
    const bottom = node.offsetTop + node.offsetHeight;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (bottom > this.scroller.scrollTop + this.scroller.clientHeight) {
      this.scroller.scrollTop = bottom - this.scroller.clientHeight;
    }
  }

  filter() {
    const { value } = this.search;
    const names = shownRows(this.rows, this.columns, value, this.open);
    for (const { name, node, fold } of this.rows) {
      node.hidden = !names.has(name);
      if (fold) node.ariaExpanded = String(this.open.has(name) || Boolean(value.trim()));
    }
    const choices = this.rows.filter(({ fold }) => !fold);
    const shown = choices.filter(({ node }) => !node.hidden).length;
    this.count.textContent = countText(shown, choices.length, value);
    this.nothing.textContent = shown || !value.trim() ? "" : `Nothing here has “${value.trim()}”.`;
    if (this.checkable) this.checks.sum();
  }

  unfold(name, open) {
    if (open) this.open.add(name);
    else this.open.delete(name);
    this.filter();
  }

  sort(key) {
    this.sorting = nextSorting(this.sorting, key);
    this.arrange();
  }

  // The rows in their order; nodes that stand in it already stay, and keep the focus.
  arrange() {
    const { key: by, descending: down } = this.sorting;
    const nodes = arranged(this.rows, this.columns, this.sorting).map((row) => row.node);
    if (nodes.length !== this.body.children.length || nodes.some((node, i) => this.body.children[i] !== node)) {
      this.body.replaceChildren(...nodes);
    }
    for (const cell of this.head.children) {
      cell.ariaSort = cell.dataset.key !== by ? "none" : down ? "descending" : "ascending";
    }
    this.filter();
  }

  shown() {
    return [...this.body.children].filter((node) => !node.hidden);
  }

  pressSearch(event) {
    if (event.key === "ArrowDown") this.focusRow(this.shown()[0], event);
    const hit = event.key === "Enter" && onlyHit(this.rows, this.columns, this.search.value);
    if (hit) this.pick(hit.node);
  }

  click(event) {
    const node = event.target.closest("tr[data-name]");
    if (node && !event.target.closest(".lrx-check")) this.pick(node);
  }

  press(event) {
    const node = event.target.closest("tr[data-name]");
    if (!node || event.target.type === "checkbox") return;
    if (event.key === "Enter" || event.key === " ") {
      this.pick(node);
      event.preventDefault();
      return;
    }
    if ("fold" in node.dataset && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      this.unfold(node.dataset.name, event.key === "ArrowRight");
      event.preventDefault();
      return;
    }
    const free = this.shown().filter((row) => row === node || row.ariaDisabled !== "true");
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -free.length, End: free.length };
    if (!(event.key in steps)) return;
    const to = Math.min(Math.max(free.indexOf(node) + steps[event.key], 0), free.length - 1);
    this.focusRow(free[to], event);
    if (!("fold" in free[to].dataset)) this.pick(free[to]); // that one opens by a key of its own
  }

  focusRow(node, event) {
    if (!node) return;
    event.preventDefault();
    node.focus({ preventScroll: true });
    this.reveal(node);
  }

  pick(node) {
    if ("fold" in node.dataset) this.unfold(node.dataset.name, !this.open.has(node.dataset.name));
    else if (node.ariaDisabled !== "true") this.choose(node.dataset.name);
  }
}

function write(cell, row, key) {
  const text = cellText(row, key);
  const chosen = isChosen(row, key);
  const shown = chosen ? `${text}\u2009*` : text;
  if (cell.textContent === shown) return;
  cell.textContent = shown;
  cell.title = chosen ? `${text}, set by hand (else ${row.usual[key]})` : text;
  cell.classList.toggle("lrx-by-hand", chosen);
}

function alignment(column) {
  return column.align === "right" ? "lrx-right" : null;
}
