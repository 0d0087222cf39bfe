import assert from "node:assert/strict";
import test from "node:test";
import { watchKernel } from "../src/kernel.js";

function widget(classes) {
  const marked = { classList: { contains: (name) => classes.has(name) } };
  const observers = [];
  globalThis.MutationObserver = class {
    constructor(look) {
      this.look = look;
    }
    observe() {
      observers.push(this);
    }
    disconnect() {
      observers.splice(observers.indexOf(this), 1);
    }
  };
  return { root: { closest: () => marked }, change: () => observers[0].look(), observers };
}

test("a panel says that its kernel is stopped for as long as it is", () => {
  const classes = new Set();
  const { root, change, observers } = widget(classes);
  const said = [];
  const close = watchKernel(root, (words) => said.push(words));
  classes.add("jupyter-widgets-disconnected");
  change();
  classes.clear();
  change();
  close();
  assert.deepEqual([said[0], said[2], observers], ["", "", []]);
  assert.match(said[1], /kernel that made this is stopped/);
});

test("a page without widgets has no kernel to speak of", () => {
  const said = [];
  watchKernel({ closest: () => null }, (words) => said.push(words))();
  assert.deepEqual(said, []);
});
