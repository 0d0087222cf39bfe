// A board's slider: real numbers in steps, any number in its box. What it sets, the kernel answers.

import { snapped } from "./scale.js";
import { Track } from "./track.js";

const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

export class Slider extends Track {
  constructor(choose) {
    const range = {
      step: "any",
      oninput: (event) => choose(this.snapped(Number(this.range.value)), event.timeStamp),
      onkeydown: (event) => this.press(event),
    };
    const box = {
      step: "any",
      oninput: () => (this.typing = true),
      onblur: (event) => this.typing && this.settle(event.timeStamp),
    };
    super(choose, range, box, "lrx-board-slider");
  }

  fill(spec) {
    const said = JSON.stringify(spec);
    this.spec = spec;
    if (!spec || said === this.said) return;
    this.said = said;
    this.reach(spec.min, spec.max);
    this.word.textContent = spec.label;
    this.most.textContent = spec.unit ?? "";
    this.range.ariaLabel = `${spec.label}, ${spec.unit ?? ""}`;
    this.box.ariaLabel = `${spec.label}, exact value, ${spec.unit ?? ""}`;
    const marks = (spec.marks ?? []).map(({ value, label }) => this.mark(value, label, `Set to ${value}`));
    this.marks.replaceChildren(...marks);
  }

  snapped(value) {
    return snapped(value, this.spec.step, this);
  }

  press(event) {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    const step = STEPS[event.key] * this.spec.step;
    this.choose(this.snapped(Number(this.range.value) + step), event.timeStamp);
  }

  show(value) {
    if (this.spec) super.show(value, `${value} ${this.spec.unit ?? ""}`);
  }
}
