// One plotly plot: drawn whole for a new frame, moved for a new rank; the rank line lies over it as plain elements.

import { BarDrag } from "./drag.js";
import { element } from "./element.js";
import { axesAtHome, layoutOf, rankShape, saidInPicture } from "./figure.js";
import { Legend } from "./legend.js";
import { move } from "./move.js";
import { Plotly } from "./plotly.js";
import { Tools } from "./tools.js";

const CLICK_PX = 4;
// Plotly's own bar lies over the plot, each of its buttons is a tab stop, and one sends the data away.
const CONFIG = { displayModeBar: false, doubleClick: false, responsive: true, showTips: false, typesetMath: false };

export class Plot {
  constructor(spec, choose, send) {
    this.spec = spec;
    this.choose = choose;
    this.send = send;
    this.drag = new BarDrag(this, send);
    this.drawn = false;
    this.mode = "zoom";
    this.legend = new Legend(() => this.toggle());
    this.tools = new Tools({ mode: (mode) => this.setMode(mode), reset: () => this.reset(), save: () => this.save() });
    this.stage = element("div", { class: "lrx-stage", "data-plot-id": spec.id });
    this.kept = element("div", { class: "lrx-kept" });
    this.flag = element("span", { class: "lrx-flag" });
    this.line = element("div", { class: "lrx-line" }, this.flag);
    this.overlay = element("div", { class: "lrx-overlay" }, this.kept, this.line, this.drag.ghost);
    // The image that a screen reader finds; plotly's own drawing holds buttons, which an image must not.
    this.picture = element("div", { class: "lrx-picture", role: "img", "aria-label": spec.label }, this.overlay);
    this.root = element("div", { class: "lrx-plot" }, this.stage, this.picture);
    this.root.addEventListener("pointerdown", (event) => this.press(event));
    this.root.addEventListener("pointerdown", (event) => this.drag.press(event), { capture: true });
  }

  // Draw everything: a new frame, a new theme, or new curves in place.
  draw(spec, rows, rank, theme, size) {
    this.spec = spec;
    this.theme = theme;
    this.rank = rank;
    this.overlay.hidden = !spec.rank_axis && !spec.drags;
    this.line.hidden = !spec.rank_axis;
    this.kept.hidden = !spec.kept;
    this.root.classList.toggle("lrx-drags", Boolean(spec.drags));
    this.tools.show(spec.label, this.mode, Boolean(spec.drags));
    const data = spec.data.map((trace) => ({ ...inked(trace, theme.text), ...this.legend.shown.look(trace) }));
    for (const { trace, attribute, values } of rows) {
      if (data[trace]) place(data[trace], attribute, values);
    }
    const layout = { ...layoutOf(spec, theme, size.width, size.height), dragmode: this.mode };
    this.stage.style.height = `${size.height}px`;
    if (this.drawn) Plotly.react(this.stage, data, layout);
    else {
      Plotly.newPlot(this.stage, data, layout, CONFIG);
      for (const name of ["plotly_relayout", "plotly_relayouting"]) this.stage.on(name, () => this.moveLine());
      this.stage.on("plotly_doubleclick", () => this.reset());
      this.stage.on("plotly_click", ({ points }) => this.clickPoint(points[0]));
    }
    this.drawn = true;
    for (const drawing of this.stage.querySelectorAll(".main-svg")) drawing.ariaHidden = "true";
    this.moveLine();
  }

  toggle() {
    const data = this.stage.data.map((trace, i) => ({ ...trace, ...this.legend.shown.look(this.spec.data[i]) }));
    Plotly.react(this.stage, data, this.stage.layout);
  }

  setMode(mode) {
    this.mode = mode;
    this.tools.show(this.spec.label, mode, Boolean(this.spec.drags));
    Plotly.relayout(this.stage, { dragmode: mode });
  }

  // Plotly itself would go back to the axes that it was first given, which may be another layer's.
  reset() {
    Plotly.relayout(this.stage, axesAtHome(this.spec));
  }

  // Show another rank in a plot that is drawn already; whether its axes still hold what moved.
  move(rows, rank) {
    this.rank = rank;
    if (rows.length) move(this.stage, rows);
    this.moveLine();
    const { yaxis } = this.stage._fullLayout;
    if (rank !== null || !yaxis.autorange) return true;
    const inside = (y) => yaxis.d2p(y) >= 0 && yaxis.d2p(y) <= yaxis._length;
    return rows.every(({ attribute, values }) => attribute !== "y" || [...values].every(inside));
  }

  moveLine() {
    if (!this.spec.rank_axis && !this.spec.drags) return;
    const { xaxis, yaxis } = this.stage._fullLayout;
    const left = xaxis._offset;
    this.overlay.style.cssText = `left:${left}px;top:${yaxis._offset}px;width:${xaxis._length}px;height:${yaxis._length}px`;
    if (!this.spec.rank_axis) return;
    const x = xaxis.d2p(this.rank);
    this.line.hidden = x < -1 || x > xaxis._length + 1;
    this.line.style.transform = `translateX(${x}px)`;
    this.line.classList.toggle("lrx-flag-left", x > xaxis._length / 2);
    this.flag.textContent = `rank ${this.rank}`;
    if (this.spec.kept) this.kept.style.transform = `scaleX(${Math.min(Math.max(x / xaxis._length, 0), 1)})`;
  }

  // The pointer comes up over the cover that plotly lays on the whole page for its own dragging.
  press(event) {
    if (!this.spec.rank_axis || event.button !== 0) return;
    const { clientX: x, clientY: y } = event;
    const released = (end) => Math.hypot(end.clientX - x, end.clientY - y) <= CLICK_PX && this.click(end);
    document.addEventListener("pointerup", released, { capture: true, once: true });
  }

  click(event) {
    const { xaxis, yaxis } = this.stage._fullLayout;
    const box = this.stage.getBoundingClientRect();
    const [across, down] = [event.clientX - box.left - xaxis._offset, event.clientY - box.top - yaxis._offset];
    if (across < 0 || across > xaxis._length || down < 0 || down > yaxis._length) return;
    this.choose(Math.round(xaxis.p2d(across)), event.timeStamp);
  }

  // Bars that can be dragged say themselves what was clicked.
  clickPoint(point) {
    if (!this.spec.clicks || this.spec.drags) return;
    const { curveNumber: trace, pointNumber: index, x, y } = point;
    this.send({ type: "point", plot: this.spec.id, trace, index, x, y, step: null });
  }

  save() {
    const { layout } = this.stage;
    const shown = this.spec.data.map((trace) => this.legend.shown.has(trace));
    const data = this.stage.data.map((trace, i) => (shown[i] ? trace : { ...trace, showlegend: false }));
    const shapes = [...(layout.shapes ?? []), ...(this.spec.rank_axis ? [rankShape(this.rank, this.theme)] : [])];
    const text = saidInPicture(this.frame, this.rank);
    const subtitle = { text, font: { size: 11 } };
    const title = { text: this.spec.title ?? this.spec.label, subtitle, x: 0.02, y: 0.96, yanchor: "top", font: { size: 14 } };
    const margin = { ...layout.margin, t: 52 + 15 * text.split("<br>").length };
    const around = { title, showlegend: true, margin, paper_bgcolor: this.theme.surface };
    const picture = { ...layout, ...around, shapes };
    const name = this.rank === null ? this.spec.id : `${this.spec.id}-rank-${this.rank}`;
    return Plotly.downloadImage({ data, layout: picture, config: CONFIG }, { format: "png", scale: 2, filename: name, width: 760, height: 440 });
  }

  resize({ width, height }) {
    if (!this.drawn) return;
    const { width: before, height: tall } = this.stage._fullLayout;
    if (before === width && tall === height) return;
    this.stage.style.height = `${height}px`;
    Plotly.relayout(this.stage, { width, height });
    this.moveLine();
  }

  close() {
    if (this.drawn) Plotly.purge(this.stage);
  }
}

// A trace of the page's own text color, in the light and in the dark.
function inked(trace, color) {
  if (trace.line?.color !== "currentColor") return trace;
  const { line, marker } = trace;
  return { ...trace, line: { ...line, color }, ...(marker && { marker: { ...marker, color } }) };
}

function place(trace, attribute, values) {
  const path = attribute.split(".");
  const last = path.pop();
  let holder = trace;
  for (const name of path) holder = holder[name] = { ...holder[name] };
  holder[last] = values;
}
