// What is going on: progress of long work with a button that cancels it, and what went wrong.

import { element } from "./element.js";
import { said } from "./progress.js";

export class Status {
  constructor(cancel, dismiss) {
    this.text = element("span", { class: "lrx-status-text" });
    this.bar = element("progress", { max: "1", "aria-label": "Progress" });
    this.percent = element("span", { class: "lrx-percent", "aria-hidden": "true" });
    this.button = element("button", { type: "button", class: "lrx-cancel", onclick: cancel }, "cancel");
    this.root = element("div", { class: "lrx-status", role: "status" }, this.text, this.bar, this.percent, this.button);
    this.message = element("pre", { class: "lrx-message" });
    this.alert = element(
      "div",
      { class: "lrx-error", role: "alert" },
      this.message,
      element("button", { type: "button", class: "lrx-close", "aria-label": "Close the error", onclick: dismiss }, "×"),
    );
    this.show({ busy: false, progress: 0, status: "", error: "" });
  }

  show({ busy, progress, status, error }) {
    this.text.textContent = status;
    this.bar.hidden = this.button.hidden = this.percent.hidden = !busy;
    const { value, text } = said(busy ? progress : 0);
    if (value === null) this.bar.removeAttribute("value");
    else this.bar.value = value;
    this.percent.textContent = text;
    this.root.classList.toggle("lrx-quiet", !busy && !status);
    this.message.textContent = error;
    this.alert.hidden = !error;
  }
}
