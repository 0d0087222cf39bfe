// Which curves a person wants to see. Until they say it is as the curve comes; what they said holds for other layers.

export class Shown {
  constructor() {
    this.chosen = new Map();
  }

  has(trace) {
    return this.chosen.get(entryOf(trace)) ?? trace.visible !== "legendonly";
  }

  flip(trace) {
    this.chosen.set(entryOf(trace), !this.has(trace));
  }

  // A hidden curve is drawn as nothing, not left out: axes that fit themselves to the curves stay where they are.
  look(trace) {
    if (trace.visible === false) return { visible: false };
    if (this.has(trace)) return { visible: true, opacity: trace.opacity, hoverinfo: trace.hoverinfo };
    return { visible: true, opacity: 0, hoverinfo: "skip" };
  }
}

// Curves of one entry are shown and hidden together.
export function entryOf(trace) {
  return trace.legendgroup || trace.name;
}
