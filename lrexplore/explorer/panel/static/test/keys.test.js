import assert from "node:assert/strict";
import test from "node:test";
import { explorerOf, keepKeys } from "../src/keys.js";

// Whether a key typed there goes on to the page around it.
function goesOn(node, key) {
  let kept = false;
  node.dispatchEvent(Object.assign(new Event("keydown"), { ...key, stopPropagation: () => (kept = true) }));
  return !kept;
}

test("letters, arrows and Escape stay, chords of the application go on", () => {
  const node = new EventTarget();
  const end = keepKeys(node);
  for (const key of ["r", "a", "ArrowDown", "Enter", "Escape"]) assert.ok(!goesOn(node, { key }));
  assert.ok(!goesOn(node, { key: "M", shiftKey: true }));
  for (const chord of ["ctrlKey", "altKey", "metaKey"]) assert.ok(goesOn(node, { key: "s", [chord]: true }));
  end();
  assert.ok(goesOn(node, { key: "r" }));
});

test("one of two panels that closes leaves the keys of the other alone", () => {
  const node = new EventTarget();
  const end = keepKeys(node);
  keepKeys(node);
  end();
  assert.ok(!goesOn(node, { key: "r" }));
});

test("in a notebook the output of the cell is the explorer, elsewhere the panel", () => {
  const output = {};
  const inside = { closest: (selector) => (selector === ".jp-OutputArea-output" ? output : null) };
  const alone = { closest: () => null };
  assert.equal(explorerOf(inside), output);
  assert.equal(explorerOf(alone), alone);
});
