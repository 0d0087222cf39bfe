// The rank: whole numbers, sent while they are typed; marks that would touch stand in two lines.

import { inSecondLine } from "./scale.js";
import { Track } from "./track.js";

export class RankControl extends Track {
  constructor(choose) {
    const whole = { min: "1", step: "1" };
    super(
      choose,
      { ...whole, "aria-label": "Rank", oninput: (event) => choose(Number(this.range.value), event.timeStamp) },
      { ...whole, "aria-label": "Rank, as a number", oninput: (event) => this.type(event.timeStamp) },
    );
    this.word.textContent = "rank";
  }

  fill(maxRank, marks) {
    this.reach(1, maxRank);
    this.most.textContent = `of ${maxRank}`;
    const shown = [...marks].filter(({ rank }) => rank >= 1 && rank <= maxRank).sort((a, b) => a.rank - b.rank);
    const lower = inSecondLine(shown.map(({ rank }) => this.part(rank)));
    this.marks.replaceChildren(
      ...shown.map(({ rank, label }, i) => this.mark(rank, `${label} ${rank}`, `Set the rank to ${rank}`, lower[i])),
    );
    this.root.classList.toggle("lrx-two-lines", this.marks.querySelector(".lrx-lower") !== null);
  }

  show(rank) {
    super.show(rank, `${rank} of ${this.max}`);
  }

  type(started) {
    const rank = Number(this.box.value);
    const valid = Number.isInteger(rank) && rank >= 1 && rank <= this.max;
    this.box.ariaInvalid = String(!valid);
    if (valid) this.choose(rank, started);
  }

  rounded(value) {
    return Math.round(value);
  }
}
