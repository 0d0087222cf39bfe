// The end of a bar, dragged: a ghost of the bar follows the pointer in steps, its value goes out on release.

import { element } from "./element.js";

const CLICK_PX = 4;

export class BarDrag {
  constructor(plot, send) {
    this.plot = plot;
    this.send = send;
    this.flag = element("span", { class: "lrx-ghost-flag" });
    this.ghost = element("div", { class: "lrx-ghost", hidden: true }, this.flag);
    this.held = null;
  }

  // Plotly would begin to zoom: it hears nothing of a press whose default is prevented.
  press(event) {
    const { spec, stage, root } = this.plot;
    if (!spec.drags || event.button !== 0) return;
    const place = this.place(event);
    if (!place) return;
    event.preventDefault();
    const trace = spec.drags.trace;
    const { xaxis } = stage._fullLayout;
    const bars = stage.calcdata[trace];
    const distance = (bar) => Math.abs(xaxis.c2p(bar.p) - place.across);
    const bar = bars.reduce((best, next) => (distance(next) < distance(best) ? next : best));
    this.held = { bar, trace, from: event, index: bars.indexOf(bar), step: null };
    root.setPointerCapture(event.pointerId);
    const listening = new AbortController();
    const on = (name, callback) => root.addEventListener(name, callback, { signal: listening.signal });
    const end = (released) => {
      listening.abort();
      this.ghost.hidden = true;
      if (released) this.release();
      this.held = null;
    };
    on("pointermove", (moved) => this.move(moved));
    on("pointerup", () => end(true));
    on("pointercancel", () => end(false));
    // Before the panel keeps the key for itself.
    const stop = (key) => key.key === "Escape" && end(false);
    document.addEventListener("keydown", stop, { signal: listening.signal, capture: true });
  }

  place(event) {
    const { stage } = this.plot;
    const { xaxis, yaxis } = stage._fullLayout;
    const box = stage.getBoundingClientRect();
    const [across, down] = [event.clientX - box.left - xaxis._offset, event.clientY - box.top - yaxis._offset];
    return across < 0 || across > xaxis._length || down < 0 || down > yaxis._length ? null : { across, down };
  }

  move(event) {
    const { from, bar, index, step } = this.held;
    if (step === null && Math.abs(event.clientY - from.clientY) <= CLICK_PX) return;
    const { spec, stage } = this.plot;
    const { xaxis, yaxis } = stage._fullLayout;
    const down = event.clientY - stage.getBoundingClientRect().top - yaxis._offset;
    const most = spec.drags.steps[index];
    this.held.step = Math.min(Math.max(Math.round(yaxis.p2d(down) * most), 1), most);
    const [left, right] = [xaxis.c2p(bar.p - bar.w / 2), xaxis.c2p(bar.p + bar.w / 2)];
    const top = yaxis.d2p(this.held.step / most);
    this.ghost.hidden = false;
    this.ghost.style.cssText = `left:${left}px;width:${right - left}px;top:${top}px;bottom:0`;
    this.ghost.classList.toggle("lrx-flag-left", left > xaxis._length / 2);
    this.flag.textContent = `${stage.data[this.held.trace].x[index]}: ${spec.drags.word} ${this.held.step}`;
  }

  release() {
    const { trace, index, step } = this.held;
    const { x, y } = this.plot.stage.data[trace];
    const value = step === null ? y[index] : step / this.plot.spec.drags.steps[index];
    this.send({ type: "point", plot: this.plot.spec.id, trace, index, x: x[index], y: value, step });
  }
}
