// One view of the model: the parts of the panel, and one drawing a frame of the browser however many changes came.

import { element } from "./element.js";
import { Gallery } from "./gallery.js";
import { watchKernel } from "./kernel.js";
import { explorerOf, keepKeys } from "./keys.js";
import { RankControl } from "./rank.js";
import { Readouts } from "./readouts.js";
import { Slider } from "./slider.js";
import { Status } from "./status.js";
import { LayerTable } from "./table.js";
import { readTheme, sameTheme, watchTheme } from "./theme.js";

const SPEAK_AFTER_MS = 500;
const PATCHES_WAIT_MS = 400;
const WAIT_SHOWN_AFTER_MS = 300;
const FOLLOWED = ["busy", "progress", "status", "error"];

export class Panel {
  constructor(el, model, store) {
    this.model = model;
    this.store = store;
    this.theme = null;
    this.pending = 0;
    this.unsaved = false;
    this.visible = false;
    this.started = null;
    this.chosenAt = -Infinity;
    this.touched = new Map();
    this.closers = [];
    this.build(el);
    this.listen();
    this.table.fill(model.get("table"));
    this.table.select(model.get("layer"));
    this.table.checks.show(model.get("checked") ?? []);
    this.readStatus();
    this.takeFrame();
  }

  build(el) {
    const choose = (rank, started) => this.chooseRank(rank, started);
    this.table = new LayerTable((name) => this.chooseLayer(name), (names) => this.save("checked", names));
    this.rankControl = new RankControl(choose);
    this.readouts = new Readouts();
    this.slider = new Slider((value, started) => this.slide(value, started));
    this.gallery = new Gallery(this.store, choose, (content) => this.model.send(content));
    this.status = new Status(
      () => this.model.send({ type: "cancel" }),
      () => this.save("error", ""),
    );
    this.choice = element("div", {}, this.rankControl.root);
    this.title = element("h3", { class: "lrx-title" });
    this.spoken = element("div", { class: "lrx-spoken", "aria-live": "polite" });
    this.waiting = element("div", { class: "lrx-waiting", role: "status" });
    this.stopped = element("div", { class: "lrx-stopped", role: "status" });
    this.controls = element(
      "section",
      { class: "lrx-controls", "aria-label": "What is chosen and what it costs" },
      this.title,
      this.choice,
      this.readouts.root,
    );
    this.root = element(
      "div",
      // Where a notebook becomes a page, MathJax would take $ in a name for mathematics.
      { class: "lrx tex2jax_ignore mathjax_ignore" },
      this.status.alert,
      element("div", { class: "lrx-top" }, this.table.root, this.controls),
      element("div", { class: "lrx-under" }, this.status.root, this.readouts.fold),
      this.stopped,
      this.waiting,
      this.gallery.root,
      this.spoken,
    );
    el.replaceChildren(this.root);
    this.closers.push(watchKernel(el, this.model.widget_manager, (words) => this.tellKernel(words)));
  }

  listen() {
    const on = (target, name, callback) => {
      target.addEventListener(name, callback);
      this.closers.push(() => target.removeEventListener(name, callback));
    };
    on(this.store, "frame", () => this.takeFrame());
    on(this.store, "patch", ({ detail }) => this.takePatch(detail));
    on(this.store, "row", ({ detail }) => detail === this.rank() && this.schedule());
    const follow = (name, callback) => {
      this.model.on(name, callback);
      this.closers.push(() => this.model.off(name, callback));
    };
    follow("change:rank", () => this.schedule());
    follow("change:value", () => this.schedule());
    follow("change:layer", () => this.table.select(this.model.get("layer")));
    follow("change:table", () => {
      const { rows } = this.table;
      this.table.fill(this.model.get("table"));
      if (rows && this.table.checkable) this.table.mark(this.model.get("layer"));
      else this.table.select(this.model.get("layer"));
    });
    follow("change:checked", () => this.table.checks.show(this.model.get("checked")));
    for (const name of FOLLOWED) follow(`change:${name}`, () => this.readStatus());
    this.closers.push(watchTheme(() => this.restyle()));
    const resize = () => {
      this.gallery.measured = false;
      this.visible = this.root.clientWidth > 0;
      if (this.visible) this.keepKeys();
      this.readouts.fit();
      this.readouts.arrange(this.controls.clientWidth);
      this.schedule();
    };
    const resized = new ResizeObserver(resize);
    resized.observe(this.root);
    on(window, "resize", resize);
    this.closers.push(() => resized.disconnect());
  }

  // What is around the panel is known once the panel is on the page.
  keepKeys() {
    const explorer = explorerOf(this.root);
    if (explorer === this.explorer) return;
    this.explorer = explorer;
    this.closers.push(keepKeys(explorer));
  }

  // What is on the page still moves; nothing else can come.
  tellKernel(words) {
    this.stopped.textContent = words;
    if (!words) return;
    clearTimeout(this.waitTimer);
    this.waiting.textContent = "";
    this.root.classList.remove("lrx-is-waiting");
  }

  rank() {
    const most = this.store.frame?.maxRank ?? 1;
    return Math.min(Math.max(Math.round(this.model.get("rank")) || 1, 1), most);
  }

  chooseRank(rank, started = performance.now()) {
    const chosen = Math.min(Math.max(rank, 1), this.store.frame?.maxRank ?? 1);
    if (chosen === this.model.get("rank")) return;
    this.started ??= started;
    this.chosenAt = performance.now();
    this.unsaved = true;
    this.model.set("rank", chosen);
  }

  slide(value, started) {
    if (value === this.model.get("value")) return;
    this.started = started;
    this.store.ask(value);
  }

  chooseLayer(name) {
    if (name === this.model.get("layer")) return;
    this.save("layer", name);
    if (this.store.frame?.board || this.stopped.textContent) return;
    clearTimeout(this.waitTimer);
    this.waitTimer = setTimeout(() => {
      this.waiting.textContent = `waiting for ${name} …`;
      this.root.classList.add("lrx-is-waiting");
    }, WAIT_SHOWN_AFTER_MS);
  }

  save(name, value) {
    this.model.set(name, value);
    if (!this.stopped.textContent) this.model.save_changes(); // to a kernel that is gone it would be an error
  }

  readStatus() {
    this.status.show(Object.fromEntries(FOLLOWED.map((name) => [name, this.model.get(name)])));
  }

  takeFrame() {
    clearTimeout(this.waitTimer);
    this.waiting.textContent = "";
    this.root.classList.remove("lrx-is-waiting");
    const { frame } = this.store;
    this.layer = this.model.get("layer"); // the one that the frame is of
    this.controls.hidden = this.gallery.root.hidden = frame === null;
    if (!frame) return;
    this.root.classList.toggle("lrx-is-board", frame.board);
    this.rankControl.fill(frame.maxRank, frame.marks);
    this.write(frame);
    this.readouts.arrange(this.controls.clientWidth);
    this.gallery.fill(frame);
    this.schedule();
  }

  write({ title, board, slider, readouts, waiting }) {
    this.choice.inert = this.gallery.root.inert = this.root.classList.toggle("lrx-waits", waiting);
    const chooser = board ? this.slider.root : this.rankControl.root;
    if (this.choice.firstChild !== chooser) this.choice.replaceChildren(chooser);
    this.choice.hidden = board && !slider;
    const [name, ...rest] = title.split(" · ");
    const description = rest.length ? element("span", { class: "lrx-what" }, rest.join(" · ")) : "";
    this.title.replaceChildren(element("strong", {}, name), " ", description);
    this.slider.fill(slider);
    this.readouts.fill(readouts);
  }

  // A patch draws whole plots: while the rank moves, patches are gathered so that they do not slow it.
  takePatch(touched) {
    for (const [id, moves] of touched) {
      const before = this.touched.has(id) ? this.touched.get(id) : [];
      this.touched.set(id, before && moves && [...before, ...moves]);
    }
    this.patchTimer ??= setTimeout(() => {
      this.patchTimer = null;
      this.gallery.stale(this.touched);
      this.touched.clear();
      if (this.store.frame.board) this.write(this.store.frame);
      this.schedule();
    }, performance.now() - this.chosenAt < PATCHES_WAIT_MS ? PATCHES_WAIT_MS : 0);
  }

  restyle() {
    if (this.theme === null || sameTheme(this.theme, readTheme(this.root))) return;
    this.theme = null;
    this.gallery.stale();
    this.schedule();
  }

  schedule() {
    if (!this.pending) this.pending = requestAnimationFrame(() => this.draw());
  }

  // Detached, or in a hidden tab, nothing is drawn: the resize observer calls again once there is room.
  draw() {
    this.pending = 0;
    if (!this.store.frame) return;
    const rank = this.store.frame.board ? null : this.rank();
    if (rank === null) this.slider.show(this.model.get("value"));
    else {
      this.rankControl.show(rank);
      if (this.model.get("layer") === this.layer) this.table.follow(this.layer, "rank", rank);
    }
    this.readouts.show(rank);
    if (this.visible) {
      this.theme ??= readTheme(this.root);
      this.gallery.show(rank, this.theme);
      this.tellPainted(rank);
    }
    this.saveRank();
    this.speak(rank);
  }

  // A task posted while drawing runs once the browser has painted.
  tellPainted(rank) {
    const { board, key, answered } = this.store.frame;
    const started = this.started;
    if (!board) this.started = null;
    if (!board && started === null && rank === this.painted) return;
    this.painted = rank;
    const detail = board ? { rank, started, key, value: answered } : { rank, started };
    const channel = new MessageChannel();
    channel.port1.onmessage = () => performance.mark("lrexplore:painted", { detail });
    channel.port2.postMessage(null);
  }

  saveRank() {
    if (!this.unsaved) return;
    this.unsaved = false;
    if (!this.stopped.textContent) this.model.save_changes();
  }

  speak(rank) {
    clearTimeout(this.speakTimer);
    this.speakTimer = setTimeout(() => {
      const { title } = this.store.frame;
      this.gallery.describe(title, rank, this.readouts);
      this.spoken.textContent = `${rank === null ? title : `Rank ${rank}`}: ${this.readouts.sentence()}`;
    }, SPEAK_AFTER_MS);
  }

  close() {
    cancelAnimationFrame(this.pending);
    clearTimeout(this.speakTimer);
    clearTimeout(this.waitTimer);
    clearTimeout(this.patchTimer);
    for (const close of this.closers) close();
    this.gallery.close();
  }
}
