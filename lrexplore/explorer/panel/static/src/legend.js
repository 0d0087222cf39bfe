// The legend of one plot as buttons that flow with the text around them: each hides or shows its traces.

import drawing from "plotly.js/src/components/drawing";
import { element } from "./element.js";
import { COLORS } from "./figure.js";
import { entryOf, Shown } from "./shown.js";

const DASHES = { dash: "6 4", dot: "2 3", dashdot: "6 3 2 3", longdash: "9 4", longdashdot: "9 3 2 3" };
const KEY = "key"; // a trace without points, which says what a dash means
const SVG = "http://www.w3.org/2000/svg";

export class Legend {
  // `shown` may be that of another legend: what one hides is hidden in both.
  constructor(changed, shown = new Shown()) {
    this.changed = changed;
    this.shown = shown;
    this.root = element("div", { class: "lrx-legend" });
  }

  fill(spec) {
    const entries = new Map();
    if (spec.layout?.showlegend !== false) {
      spec.data.forEach((trace, index) => {
        if (!trace.name || trace.showlegend === false || trace.visible === false) return;
        if (!entries.has(entryOf(trace))) entries.set(entryOf(trace), { trace, index });
      });
    }
    // Buttons that say the same stay: one of them may have the focus while curves grow.
    const look = ({ name, mode, line, marker, fill }) => [name, mode, line?.color, line?.dash, marker?.symbol, fill];
    const said = JSON.stringify([spec.label, [...entries.values()].map(({ trace }) => [look(trace), this.shown.has(trace)])]);
    if (said === this.said) return;
    this.said = said;
    const buttons = [...entries.values()].map(({ trace, index }) => {
      if (trace.meta === KEY) return element("span", { class: "lrx-key" }, swatch(trace), trace.name);
      const toggle = () => {
        this.shown.flip(trace);
        button.setAttribute("aria-pressed", String(this.shown.has(trace)));
        this.changed();
      };
      const pressed = String(this.shown.has(trace));
      const button = element(
        "button",
        { type: "button", "aria-pressed": pressed, title: `Show or hide ${trace.name}`, onclick: toggle },
        swatch(trace, COLORS[index % COLORS.length]),
        trace.name,
      );
      return button;
    });
    this.root.replaceChildren(...buttons);
    this.root.setAttribute("aria-label", `Legend of ${spec.label}`);
    this.root.setAttribute("role", "group");
  }
}

function swatch(trace, fallback) {
  const sample = document.createElementNS(SVG, "svg");
  sample.setAttribute("viewBox", "0 0 22 10");
  sample.setAttribute("aria-hidden", "true");
  const own = trace.marker?.color;
  const color = trace.line?.color ?? (typeof own === "string" ? own : fallback);
  const mode = trace.mode ?? "lines";
  const isLine = (trace.type ?? "scatter") === "scatter";
  if (!isLine || (trace.fill && trace.fill !== "none")) {
    add(sample, "rect", { x: 0, y: 1, width: 22, height: 8, fill: trace.fillcolor ?? own ?? color });
  }
  if (isLine && mode.includes("lines") && trace.line?.width !== 0) {
    const dash = DASHES[trace.line?.dash] ?? "none";
    add(sample, "path", { d: "M0 5H22", stroke: color, "stroke-width": 2, "stroke-dasharray": dash });
  }
  if (isLine && mode.includes("markers")) add(sample, "path", marker(trace.marker?.symbol, color));
  return sample;
}

function marker(symbol, color) {
  const number = drawing.symbolNumber(typeof symbol === "string" ? symbol : "circle");
  const open = number % 200 >= 100;
  const d = drawing.symbolFuncs[number % 100](3.8, 0, 0);
  return { d, transform: "translate(11 5)", fill: open ? "none" : color, stroke: open ? color : "none" };
}

function add(sample, shape, attributes) {
  const made = sample.appendChild(document.createElementNS(SVG, shape));
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
}
