import assert from "node:assert/strict";
import test from "node:test";
import { layoutOf, merge, rankShape } from "../src/figure.js";

const THEME = { font: "sans", text: "#111", muted: "#555", grid: "#ddd", border: "#aaa", surface: "#fff", accent: "#06c" };

test("one description over another keeps what it does not say, and neither is changed", () => {
  const base = { a: { b: 1, c: [1, 2] }, d: 4 };
  const over = { a: { c: [3], e: null }, f: Float32Array.of(1) };
  const kept = [structuredClone(base), structuredClone(over)];
  assert.deepEqual(merge(base, over), { a: { b: 1, c: [3], e: null }, d: 4, f: Float32Array.of(1) });
  assert.deepEqual([base, over], kept);
});

test("a plot has the size and the axes that were asked for, in the colors of the page", () => {
  const spec = { id: "error", layout: { xaxis: { title: { text: "rank" }, range: [0, 9] }, yaxis2: { side: "right" } } };
  const layout = layoutOf(spec, THEME, 400, 300);
  assert.deepEqual([layout.width, layout.height, layout.autosize], [400, 300, false]);
  assert.deepEqual(layout.xaxis.range, [0, 9]);
  assert.equal(layout.xaxis.title.text, "rank");
  for (const name of ["xaxis", "yaxis", "yaxis2"]) assert.equal(layout[name].gridcolor, THEME.grid);
});

test("a zoom is kept while an axis says the same thing, and not when it says another", () => {
  const revision = (axis) => layoutOf({ id: "error", layout: { xaxis: axis } }, THEME, 1, 1).xaxis.uirevision;
  assert.equal(revision({ title: { text: "step" } }), revision({ title: { text: "step" }, range: [0, 1] }));
  assert.notEqual(revision({ title: { text: "step" } }), revision({ title: { text: "epoch" } }));
  assert.notEqual(revision({ type: "log" }), revision({ type: "linear" }));
});

test("the line of a saved picture stands at its rank", () => {
  const { x0, x1, label } = rankShape(17, THEME);
  assert.deepEqual([x0, x1, label.text], [17, 17, "rank 17"]);
});
