// Numbers that follow the rank: a big value, its unit, and a note on what it assumes, which folds.

import { element } from "./element.js";
import { readoutText } from "./numbers.js";
import { isShort } from "./room.js";

const NARROWEST_PX = { brief: 104, full: 128 };

export class Readouts {
  constructor() {
    this.cards = [];
    this.root = element("div", { class: "lrx-readouts" });
    this.fold = element("button", { type: "button", class: "lrx-fold", onclick: () => this.press() }, "What the numbers mean");
    this.chosen = false;
    this.fit();
  }

  press() {
    this.chosen = true;
    this.shorten(!this.brief);
  }

  // Until a person says whether they want the notes, the room says it.
  fit() {
    if (!this.chosen && this.brief !== isShort()) this.shorten(isShort());
  }

  shorten(brief) {
    this.brief = brief;
    this.root.classList.toggle("lrx-brief", brief);
    this.fold.setAttribute("aria-expanded", String(!brief));
    this.arrange(this.width);
  }

  fill(readouts) {
    this.cards = readouts.map((readout) => {
      const value = element("span", { class: "lrx-value" });
      const unit = readout.unit ? element("span", { class: "lrx-unit" }, readout.unit) : null;
      const card = element(
        "div",
        { class: "lrx-card", "data-readout-id": readout.id, title: readout.note },
        element("div", { class: "lrx-label" }, readout.label),
        element("div", {}, value, unit),
        readout.note ? element("div", { class: "lrx-note" }, readout.note) : null,
      );
      return { readout, value, card, text: null };
    });
    this.root.replaceChildren(...this.cards.map(({ card }) => card));
    this.fold.hidden = !readouts.some(({ note }) => note);
  }

  // Rows of equal length: six values stand as three and three where five would fit.
  arrange(width) {
    this.width = width;
    const narrowest = this.brief ? NARROWEST_PX.brief : NARROWEST_PX.full;
    const fit = Math.max(1, Math.floor((width ?? 0) / narrowest));
    const rows = Math.ceil(this.cards.length / fit);
    this.root.style.setProperty("--lrx-columns", String(Math.ceil(this.cards.length / Math.max(rows, 1)) || 1));
  }

  show(rank) {
    for (const shown of this.cards) {
      const text = readoutText(shown.readout, rank);
      if (text === shown.text) continue;
      shown.text = text;
      shown.value.textContent = text;
    }
  }

  // "function error 0.493, parameters 28.1 %"; `ids` picks some of them.
  sentence(ids = null) {
    return this.cards
      .filter(({ readout }) => ids === null || ids.includes(readout.id))
      .map(({ readout, text }) => `${readout.label} ${text}${readout.unit ? ` ${readout.unit}` : ""}`)
      .join(", ");
  }
}
