// The rank: a slider with marks on its track and a number box.

import { element } from "./element.js";

const THUMB_PX = 16;

export class RankControl {
  constructor(choose) {
    this.choose = choose;
    this.slider = element("input", {
      type: "range",
      min: "1",
      step: "1",
      class: "lrx-slider",
      "aria-label": "Rank",
      oninput: (event) => choose(Number(this.slider.value), event.timeStamp),
    });
    this.box = element("input", {
      type: "number",
      min: "1",
      step: "1",
      class: "lrx-box",
      "aria-label": "Rank, as a number",
      oninput: (event) => this.type(event.timeStamp),
      onchange: (event) => this.settle(event.timeStamp),
    });
    this.most = element("span", { class: "lrx-most" });
    this.marks = element("div", { class: "lrx-marks" });
    this.root = element(
      "div",
      { class: "lrx-rank" },
      element("span", { class: "lrx-rank-word", "aria-hidden": "true" }, "rank"),
      element("div", { class: "lrx-track" }, this.slider, this.marks),
      element("div", { class: "lrx-entry" }, this.box, this.most),
    );
  }

  range(maxRank, marks) {
    this.maxRank = maxRank;
    this.slider.max = this.box.max = String(maxRank);
    this.most.textContent = `of ${maxRank}`;
    let before = -1;
    let raised = false;
    const shown = [...marks].filter(({ rank }) => rank >= 1 && rank <= maxRank).sort((a, b) => a.rank - b.rank);
    this.marks.replaceChildren(
      ...shown.map(({ rank, label }) => {
        const part = maxRank > 1 ? (rank - 1) / (maxRank - 1) : 0;
        raised = before >= 0 && part - before < 0.28 && !raised;
        before = part;
        const button = element(
          "button",
          {
            type: "button",
            class: raised ? "lrx-mark lrx-lower" : "lrx-mark",
            title: `Set the rank to ${rank}`,
            onclick: (event) => this.choose(rank, event.timeStamp),
          },
          `${label} ${rank}`,
        );
        button.style.left = `calc(${THUMB_PX / 2}px + ${part} * (100% - ${THUMB_PX}px))`;
        button.style.setProperty("--lrx-shift", `${-100 * part}%`);
        return button;
      }),
    );
    this.root.classList.toggle("lrx-two-lines", this.marks.querySelector(".lrx-lower") !== null);
  }

  show(rank) {
    const text = String(rank);
    if (this.slider.value !== text) this.slider.value = text;
    if (document.activeElement !== this.box && this.box.value !== text) this.box.value = text;
    else if (Number(this.box.value) !== rank && this.box.validity.valid && this.box.value !== "") this.box.value = text;
    this.box.ariaInvalid = "false";
    this.slider.setAttribute("aria-valuetext", `${rank} of ${this.maxRank}`);
    this.slider.style.setProperty("--lrx-part", String(this.maxRank > 1 ? (rank - 1) / (this.maxRank - 1) : 1));
  }

  type(started) {
    const rank = Number(this.box.value);
    const valid = Number.isInteger(rank) && rank >= 1 && rank <= this.maxRank;
    this.box.ariaInvalid = String(!valid);
    if (valid) this.choose(rank, started);
  }

  settle(started) {
    const typed = Math.round(Number(this.box.value));
    const rank = this.box.value === "" || !Number.isFinite(typed) ? Number(this.slider.value) : typed;
    const clamped = Math.min(Math.max(rank, 1), this.maxRank);
    this.box.value = String(clamped);
    this.choose(clamped, started);
  }
}
