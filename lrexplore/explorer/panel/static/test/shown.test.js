import assert from "node:assert/strict";
import test from "node:test";
import { Shown } from "../src/shown.js";

const law = { name: "law", visible: "legendonly", opacity: 0.5 };
const curve = { name: "function", legendgroup: "g", hoverinfo: "x" };
const other = { name: "function, Frobenius", legendgroup: "g" };

test("until a person says so a curve is shown as it comes", () => {
  const shown = new Shown();
  assert.deepEqual([shown.has(law), shown.has(curve), shown.has({ name: "a", visible: true })], [false, true, true]);
});

test("a curve that comes hidden can be shown, and hidden again", () => {
  const shown = new Shown();
  shown.flip(law);
  assert.deepEqual([shown.has(law), shown.look(law)], [true, { visible: true, opacity: 0.5, hoverinfo: undefined }]);
  shown.flip(law);
  assert.equal(shown.has(law), false);
});

test("what a person said holds for the same curve of another layer, however it comes there", () => {
  const shown = new Shown();
  shown.flip(law);
  assert.ok(shown.has({ ...law, visible: true }));
  shown.flip({ ...law, visible: true });
  assert.ok(!shown.has({ ...law, visible: true }));
});

test("curves of one entry are hidden together", () => {
  const shown = new Shown();
  shown.flip(curve);
  assert.deepEqual([shown.has(curve), shown.has(other), shown.has(law)], [false, false, false]);
});

test("a hidden curve keeps its place in the axes, and nothing of it is seen or hovered", () => {
  const shown = new Shown();
  shown.flip(curve);
  assert.deepEqual(shown.look(curve), { visible: true, opacity: 0, hoverinfo: "skip" });
});

test("a curve that is not there yet is not there, whatever was said", () => {
  const shown = new Shown();
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(shown.look({ ...curve, visible: false }), { visible: false });
    shown.flip(curve);
  }
});
