import assert from "node:assert/strict";
import test from "node:test";
import { axesAtHome, layoutOf, merge, rankShape, saidInPicture } from "../src/figure.js";

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

test("what a person zooms to is not written into the description", () => {
  const spec = { id: "error", layout: { xaxis: { range: [0, 9] } } };
  layoutOf(spec, THEME, 400, 300).xaxis.range[1] = 5;
  assert.deepEqual(spec.layout.xaxis.range, [0, 9]);
});

test("a zoom is kept while an axis says the same thing, and not when it says another", () => {
  const revision = (axis) => layoutOf({ id: "error", layout: { xaxis: axis } }, THEME, 1, 1).xaxis.uirevision;
  assert.equal(revision({ title: { text: "step" } }), revision({ title: { text: "step" }, range: [0, 1] }));
  assert.notEqual(revision({ title: { text: "step" } }), revision({ title: { text: "epoch" } }));
  assert.notEqual(revision({ type: "log" }), revision({ type: "linear" }));
});

test("axes at home are those of the description: given ends, or what fits the curves", () => {
  const spec = { layout: { margin: { r: 8 }, xaxis: { range: [0, 9] }, yaxis2: { range: [0, 1], side: "right" } } };
  assert.deepEqual(axesAtHome(spec), { "xaxis.range": [0, 9], "yaxis.autorange": true, "yaxis2.range": [0, 1] });
  const heat = { layout: { yaxis: { autorange: "reversed", range: [4, 0] } } };
  assert.deepEqual(axesAtHome(heat), { "xaxis.autorange": true, "yaxis.autorange": "reversed" });
  assert.deepEqual(axesAtHome({}), { "xaxis.autorange": true, "yaxis.autorange": true });
});

test("axes at home are no part of the description itself", () => {
  const spec = { layout: { xaxis: { range: [0, 9] } } };
  axesAtHome(spec)["xaxis.range"][1] = 5;
  assert.deepEqual(spec.layout.xaxis.range, [0, 9]);
});

test("the line of a saved picture stands at its rank", () => {
  const { x0, x1, label } = rankShape(17, THEME);
  assert.deepEqual([x0, x1, label.text], [17, 17, "rank 17"]);
});

test("a saved picture says what it is of, in lines that fit, with names letter by letter", () => {
  const frame = { about: "resnet50 · random init · function", title: "layer1.0.conv1 · 64 × 64 · a<b" };
  assert.equal(saidInPicture(frame, 16), "resnet50 · random init · function · layer1.0.conv1 · 64 × 64 · a&lt;b · rank 16");
  assert.equal(saidInPicture({ about: "", title: "Training" }, null), "Training");
  const long = saidInPicture({ about: "a".repeat(80), title: "b".repeat(80) }, 3);
  assert.deepEqual(long.split("<br>"), ["a".repeat(80), `${"b".repeat(80)} · rank 3`]);
});
