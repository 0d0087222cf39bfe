// A slider with marks on its track and a box for the exact value: what the rank and a board's slider are made of.

import { element } from "./element.js";
import { clamped, partOf } from "./scale.js";

const THUMB_PX = 16;

export class Track {
  constructor(choose, range, box, ...classes) {
    this.choose = choose;
    this.min = this.max = 1;
    this.typing = false;
    this.word = element("span", { class: "lrx-rank-word", "aria-hidden": "true" });
    this.range = element("input", { type: "range", class: "lrx-slider", ...range });
    this.box = element("input", {
      type: "number",
      class: "lrx-box",
      onchange: (event) => this.settle(event.timeStamp),
      ...box,
    });
    this.most = element("span", { class: "lrx-most" });
    this.marks = element("div", { class: "lrx-marks" });
    this.root = element(
      "div",
      { class: ["lrx-rank", ...classes].join(" ") },
      this.word,
      element("div", { class: "lrx-track" }, this.range, this.marks),
      element("div", { class: "lrx-entry" }, this.box, this.most),
    );
  }

  reach(min, max) {
    [this.min, this.max] = [min, max];
    for (const input of [this.range, this.box]) [input.min, input.max] = [String(min), String(max)];
  }

  // Where on the track a value lies, 0 to 1.
  part(value) {
    return partOf(value, this);
  }

  mark(value, label, title, lower = false) {
    const button = element(
      "button",
      {
        type: "button",
        class: lower ? "lrx-mark lrx-lower" : "lrx-mark",
        title,
        onclick: (event) => this.choose(value, event.timeStamp),
      },
      label,
    );
    const part = this.part(value);
    button.style.left = `calc(${THUMB_PX / 2}px + ${part} * (100% - ${THUMB_PX}px))`;
    button.style.setProperty("--lrx-shift", `${-100 * part}%`);
    return button;
  }

  // What is being typed stays; where each key is a choice (`typing` is not kept), as long as it is no other value.
  show(value, said) {
    const text = String(value);
    if (this.range.value !== text) this.range.value = text;
    const focused = document.activeElement === this.box;
    const unfinished = this.typing || (focused && (!this.box.validity.valid || this.box.value === ""));
    if (!unfinished && (!focused || Number(this.box.value) !== value)) this.box.value = text;
    this.box.ariaInvalid = "false";
    this.range.setAttribute("aria-valuetext", said);
    this.range.style.setProperty("--lrx-part", String(this.part(value)));
  }

  settle(started) {
    this.typing = false;
    const typed = Number(this.box.value);
    const value = this.box.value === "" || !Number.isFinite(typed) ? Number(this.range.value) : typed;
    const settled = clamped(this.rounded(value), this);
    this.box.value = String(settled);
    this.choose(settled, started);
  }

  // What a typed value means.
  rounded(value) {
    return value;
  }
}
