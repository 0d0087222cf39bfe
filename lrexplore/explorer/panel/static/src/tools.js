// The tools of one plot beside its heading: one tab stop, arrows walk through them.

import { element } from "./element.js";
import { Plotly } from "./plotly.js";

const SVG = "http://www.w3.org/2000/svg";
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

export class Tools {
  constructor({ mode, reset, save }) {
    this.modes = {
      zoom: button("Zoom", "zoombox", () => mode("zoom")),
      pan: button("Pan", "pan", () => mode("pan")),
    };
    const rest = [button("Reset axes", "home", reset), button("Download this plot as PNG", "camera", save)];
    this.buttons = [...Object.values(this.modes), ...rest];
    const onkeydown = (event) => this.press(event);
    this.root = element("div", { class: "lrx-tools", role: "toolbar", onkeydown }, ...this.buttons);
    this.root.addEventListener("focusin", ({ target }) => this.rest(target));
  }

  // Where bars are dragged, the pointer can neither zoom nor pan.
  show(label, mode, drags) {
    this.root.ariaLabel = `Tools of ${label}`;
    for (const [name, tool] of Object.entries(this.modes)) {
      tool.hidden = drags;
      tool.ariaPressed = String(name === mode);
    }
    this.rest(this.buttons.find(({ tabIndex, hidden }) => tabIndex === 0 && !hidden) ?? this.usable()[0]);
  }

  usable() {
    return this.buttons.filter(({ hidden }) => !hidden);
  }

  rest(chosen) {
    for (const tool of this.buttons) tool.tabIndex = tool === chosen ? 0 : -1;
  }

  press(event) {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    const usable = this.usable();
    const to = usable.indexOf(event.target) + STEPS[event.key];
    usable[Math.min(Math.max(to, 0), usable.length - 1)].focus();
  }
}

function button(title, icon, onclick) {
  const made = element("button", { type: "button", title, "aria-label": title, tabindex: "-1", onclick });
  made.append(drawn(Plotly.Icons[icon]));
  return made;
}

function drawn({ width, height, path, transform }) {
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("viewBox", `0 0 ${width} ${height}`);
  icon.setAttribute("aria-hidden", "true");
  const line = icon.appendChild(document.createElementNS(SVG, "path"));
  line.setAttribute("d", path);
  line.setAttribute("transform", transform);
  return icon;
}
