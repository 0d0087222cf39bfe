import assert from "node:assert/strict";
import test from "node:test";
import { watchKernel } from "../src/kernel.js";

class Signal {
  slots = new Set();
  connect = (slot) => this.slots.add(slot);
  disconnect = (slot) => this.slots.delete(slot);
  emit = () => this.slots.forEach((slot) => void slot());
}

function notebook() {
  const classes = new Set();
  const mark = new Signal();
  globalThis.MutationObserver = class {
    constructor(look) {
      this.look = look;
    }
    observe = () => mark.connect(this.look);
    disconnect = () => mark.disconnect(this.look);
  };
  const session = { session: { kernel: { id: "a", status: "idle" } }, kernelChanged: new Signal(), statusChanged: new Signal() };
  const view = { classList: { contains: (name) => classes.has(name) } };
  return { classes, mark, session, view, manager: { context: { sessionContext: session } } };
}

test("a panel says that its kernel was restarted, as ipywidgets marks it", () => {
  const { classes, mark, view, manager } = notebook();
  const said = [];
  const close = watchKernel(view, manager, (words) => said.push(words));
  classes.add("jupyter-widgets-disconnected");
  mark.emit();
  assert.equal(said[0], "");
  assert.match(said[1], /kernel that made this is stopped/);
  close();
  assert.equal(mark.slots.size, 0);
});

test("a panel says that its kernel is shut down or dead, also once there is another one", () => {
  const { session, view, manager } = notebook();
  const said = [];
  const close = watchKernel(view, manager, (words) => said.push(words !== ""));
  session.session.kernel.status = "dead";
  session.statusChanged.emit();
  session.session = null;
  session.kernelChanged.emit();
  session.session = { kernel: { id: "b", status: "idle" } };
  session.kernelChanged.emit();
  assert.deepEqual(said, [false, true, true, true]);
  close();
  assert.deepEqual([session.kernelChanged.slots.size, session.statusChanged.slots.size], [0, 0]);
});

test("a panel of a kernel that restarts is not taken back by the one that follows", () => {
  const { session, view, manager } = notebook();
  const said = [];
  watchKernel(view, manager, (words) => said.push(words !== ""));
  session.statusChanged.slots.forEach((slot) => void slot(session, "restarting"));
  session.statusChanged.slots.forEach((slot) => void slot(session, "idle"));
  assert.deepEqual(said, [false, true, true]);
});

test("a page without a notebook has no kernel to speak of", () => {
  const said = [];
  watchKernel(notebook().view, undefined, (words) => said.push(words))();
  assert.deepEqual(said, [""]);
});
