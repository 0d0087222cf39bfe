// A board's slider: a range, a box for the exact value, marks that can be pressed. What it sets, the kernel answers.

import { element } from "./element.js";

const THUMB_PX = 16;
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

export class Slider {
  constructor(choose) {
    this.choose = choose;
    this.word = element("span", { class: "lrx-rank-word", "aria-hidden": "true" });
    this.range = element("input", {
      class: "lrx-slider",
      type: "range",
      step: "any",
      oninput: (event) => this.choose(this.snapped(Number(this.range.value)), event.timeStamp),
      onkeydown: (event) => this.press(event),
    });
    this.box = element("input", {
      class: "lrx-box",
      type: "number",
      step: "any",
      onchange: (event) => this.settle(event.timeStamp),
    });
    this.marks = element("div", { class: "lrx-marks" });
    this.unit = element("span", { class: "lrx-most" });
    this.root = element(
      "div",
      { class: "lrx-rank lrx-board-slider" },
      this.word,
      element("div", { class: "lrx-track" }, this.range, this.marks),
      element("div", { class: "lrx-entry" }, this.box, this.unit),
    );
  }

  fill(spec) {
    const said = JSON.stringify(spec);
    this.spec = spec;
    if (!spec || said === this.said) return;
    this.said = said;
    this.word.textContent = spec.label;
    this.unit.textContent = spec.unit ?? "";
    this.range.ariaLabel = `${spec.label}, ${spec.unit ?? ""}`;
    this.box.ariaLabel = `${spec.label}, exact value, ${spec.unit ?? ""}`;
    for (const input of [this.range, this.box]) {
      for (const name of ["min", "max"]) input[name] = String(spec[name]);
    }
    this.marks.replaceChildren(...(spec.marks ?? []).map((mark) => this.mark(mark)));
  }

  mark({ value, label }) {
    const part = this.part(value);
    const choose = (event) => this.choose(value, event.timeStamp);
    const button = element(
      "button",
      { type: "button", class: "lrx-mark", title: `Set to ${value}`, onclick: choose },
      label,
    );
    button.style.left = `calc(${THUMB_PX / 2}px + ${part} * (100% - ${THUMB_PX}px))`;
    button.style.setProperty("--lrx-shift", `${-100 * part}%`);
    return button;
  }

  part(value) {
    const { min, max } = this.spec;
    return Math.min(Math.max((value - min) / (max - min), 0), 1);
  }

  // Whole steps; the ends too, where they lie between.
  snapped(value) {
    const { min, max, step } = this.spec;
    return Math.min(Math.max(Number((Math.round(value / step) * step).toFixed(6)), min), max);
  }

  press(event) {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    const step = STEPS[event.key] * this.spec.step;
    this.choose(this.snapped(Number(this.range.value) + step), event.timeStamp);
  }

  show(value) {
    if (!this.spec) return;
    this.range.value = String(value);
    if (document.activeElement !== this.box || Number(this.box.value) !== value) this.box.value = String(value);
    this.range.setAttribute("aria-valuetext", `${value} ${this.spec.unit ?? ""}`);
    this.range.style.setProperty("--lrx-part", String(this.part(value)));
  }

  settle(started) {
    const typed = Number(this.box.value);
    const { min, max } = this.spec;
    if (this.box.value === "" || !Number.isFinite(typed)) this.box.value = this.range.value;
    else this.choose(Math.min(Math.max(typed, min), max), started);
  }
}
