// Numbers that follow the rank: a big value, its unit, and a note on what it assumes.

import { element } from "./element.js";
import { readoutText } from "./numbers.js";

const NARROWEST_PX = 128;

export class Readouts {
  constructor() {
    this.cards = [];
    this.root = element("div", { class: "lrx-readouts" });
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
  }

  // Rows of equal length: six values stand as three and three where five would fit.
  arrange(width) {
    const fit = Math.max(1, Math.floor(width / NARROWEST_PX));
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
