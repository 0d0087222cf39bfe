// New values in the traces of a drawn plot whose axes stay: a fifth of what Plotly.react or restyle take.
// It does what plotly's own animation of scatter traces does, without defaults and styles for the whole figure.

import drawing from "plotly.js/src/components/drawing";
import cartesian from "plotly.js/src/plots/cartesian";
import bubbleSize from "plotly.js/src/traces/scatter/make_bubble_size_func";
import { Plotly } from "./plotly.js";

const PLACED = new Set(["x", "y", "marker.size", "customdata"]);

// `rows` are {trace, attribute, values}.
export function move(div, rows) {
  const changed = new Map();
  for (const { trace, attribute, values } of rows) {
    const full = div._fullData[trace];
    if (!full) continue;
    assign(div.data[trace], attribute, values);
    assign(full, attribute, values);
    if (full.visible === true) changed.set(trace, [...(changed.get(trace) ?? []), attribute]);
  }
  if ([...changed.keys()].some((trace) => div._fullData[trace].type !== "scatter")) {
    Plotly.redraw(div);
    return;
  }
  let placed = true;
  for (const [trace, attributes] of changed) {
    const full = div._fullData[trace];
    const points = full._module.calc(div, full);
    points[0].t ??= {};
    points[0].trace = full;
    div.calcdata[trace] = points;
    placed &&= attributes.every((name) => PLACED.has(name)) && placePoints(div, full, points);
  }
  // All traces: given only some, plotly takes the others off the plot or changes which lies on top.
  if (!placed) cartesian.plot(div);
}

// Whether markers of one symbol could be put where their points are: each is one element, which keeps its style.
function placePoints(div, full, points) {
  const { symbol, size, angle } = full.marker ?? {};
  if (full.mode !== "markers" || typeof symbol !== "string" || symbol.includes("dot") || angle) return false;
  const nodes = div.querySelectorAll(`.trace${full.uid} path.point`);
  if (nodes.length !== points.length) return false;
  const { xaxis, yaxis } = axesOf(div, full);
  const outline = drawing.symbolFuncs[drawing.symbolNumber(symbol) % 100];
  const radius = ArrayBuffer.isView(size) || Array.isArray(size) ? bubbleSize(full) : null;
  const places = points.map((point) => [xaxis.c2p(point.x), yaxis.c2p(point.y)]);
  if (!places.every(([x, y]) => Number.isFinite(x) && Number.isFinite(y))) return false;
  points.forEach((point, i) => {
    const node = nodes[i];
    node.__data__ = point;
    node.setAttribute("transform", `translate(${places[i][0]},${places[i][1]})`);
    if (radius) {
      point.mrc = radius(point.ms);
      node.setAttribute("d", outline(point.mrc, 0, 0));
    }
  });
  return true;
}

function axesOf(div, full) {
  const name = (id) => `${id[0]}axis${id.slice(1)}`;
  return { xaxis: div._fullLayout[name(full.xaxis)], yaxis: div._fullLayout[name(full.yaxis)] };
}

function assign(trace, attribute, values) {
  const path = attribute.split(".");
  const last = path.pop();
  let holder = trace;
  for (const name of path) holder = holder[name] ??= {};
  holder[last] = values;
}
