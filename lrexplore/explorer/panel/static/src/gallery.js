// All plots of a frame in a responsive grid, each with a heading and a caption that folds.

import { element } from "./element.js";
import { Images } from "./images.js";
import { Legend } from "./legend.js";
import { Plot } from "./plot.js";
import { plotHeight } from "./room.js";

export class Gallery {
  constructor(store, choose, send) {
    this.store = store;
    this.choose = choose;
    this.send = send;
    this.items = new Map();
    this.measured = false;
    this.folded = new Set();
    this.root = element("div", { class: "lrx-gallery" });
    this.legend = new Legend(() => this.toggle());
    this.legend.root.classList.add("lrx-wide", "lrx-shared");
  }

  // New frame: plots keep their place by id, so that a drawn one is changed and not made anew.
  fill(frame) {
    const items = new Map();
    for (const spec of frame.plots) {
      const before = this.items.get(spec.id);
      const kind = spec.kind === "images" ? Images : Plot;
      const item = before && before.view instanceof kind ? before : this.item(spec, kind);
      item.spec = spec;
      item.view.frame = frame;
      item.fresh = false;
      this.write(item);
      items.set(spec.id, item);
    }
    for (const [id, item] of this.items) if (items.get(id) !== item) item.view.close?.();
    if (items.size !== this.items.size || [...items.values()].some(({ size }) => !size)) this.measured = false;
    this.items = items;
    const nodes = [...items.values()].map(({ node }) => node);
    if (frame.sharedLegend) nodes.unshift(this.legend.root);
    this.share();
    if (nodes.length !== this.root.children.length || nodes.some((node, i) => this.root.children[i] !== node)) {
      this.root.replaceChildren(...nodes);
    }
  }

  // One legend for all plots, with the entries of each of them.
  share() {
    const { frame } = this.store;
    if (!frame.sharedLegend) return;
    this.legend.fill({ label: frame.title, data: [...this.items.values()].flatMap(({ spec }) => spec.data ?? []) });
  }

  toggle() {
    for (const { view } of this.items.values()) if (view.drawn) view.toggle();
  }

  // The words around a plot.
  write(item) {
    const { spec, heading, view, node } = item;
    heading.textContent = spec.title ?? spec.label;
    if (!this.store.frame.sharedLegend) view.legend?.fill(spec);
    else if (view.legend) view.legend.shown = this.legend.shown;
    node.classList.toggle("lrx-wide", Boolean(spec.wide));
    this.explain(item);
  }

  explain({ spec, caption }) {
    const words = spec.caption ?? "";
    if (caption.textContent !== words) caption.textContent = words;
    caption.parentElement.hidden = !words;
  }

  item(spec, Kind) {
    const view = new Kind(spec, this.choose, this.send);
    const heading = element("h4", { class: "lrx-heading" });
    const caption = element("p", {});
    const fold = element(
      "details",
      {
        class: "lrx-caption",
        open: !this.folded.has(spec.id),
        ontoggle: (event) => (event.target.open ? this.folded.delete(spec.id) : this.folded.add(spec.id)),
      },
      element("summary", {}, "What it shows"),
      caption,
    );
    const foot = element("div", { class: "lrx-foot" }, view.tools?.root, fold);
    const node = element("section", { class: "lrx-item" }, heading, view.legend?.root ?? element("div"), view.root, foot);
    return { view, heading, caption, node, fresh: false };
  }

  // Mark plots as out of date: all of them, or those in a map of id -> markers to move, null to draw it all.
  stale(changes = null) {
    for (const [id, item] of this.items) {
      if (changes !== null && !changes.has(id)) continue;
      item.moves = changes?.get(id) ?? null;
      item.fresh &&= item.moves !== null;
      if (item.fresh || changes === null) continue;
      if (this.store.frame.board) this.write(item);
      else this.explain(item);
    }
  }

  show(rank, theme) {
    const { frame } = this.store;
    this.measure();
    for (const item of this.items.values()) {
      const { view, spec } = item;
      if (view instanceof Images) {
        if (!item.fresh) view.fill(spec);
        view.show(frame.ranks, rank);
      } else if (item.fresh && view.move(item.moves ?? this.store.rows(spec, rank), rank)) item.moves = null;
      else view.draw(spec, this.store.rows(spec, rank), rank, theme, item.size);
      item.fresh = true;
    }
  }

  // Widths are read all at once and only when they may have changed: reading one makes the browser lay out the page.
  measure() {
    if (this.measured) return;
    this.measured = true;
    const plots = [...this.items.values()].filter(({ view }) => view instanceof Plot);
    for (const item of plots) {
      item.size = { width: item.view.root.clientWidth, height: item.spec.layout?.height ?? plotHeight() };
    }
    for (const item of plots) if (item.fresh) item.view.resize(item.size);
  }

  describe(title, rank, readouts) {
    for (const { view, spec } of this.items.values()) {
      const values = readouts.sentence(spec.readouts ?? null);
      view.picture.ariaLabel = `${spec.label}: ${title}${rank === null ? "" : `, rank ${rank}`}${values ? `, ${values}` : ""}`;
    }
  }

  close() {
    for (const { view } of this.items.values()) view.close?.();
  }
}
