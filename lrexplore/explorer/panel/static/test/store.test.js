import assert from "node:assert/strict";
import test from "node:test";
import { Store } from "../src/store.js";

// What anywidget hands to a front end: traits, who listens to them, and what has been saved.
class Model {
  constructor(traits) {
    this.traits = traits;
    this.callbacks = [];
    this.saved = [];
  }
  get(name) {
    return this.traits[name];
  }
  set(name, value) {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    this.tell(`change:${name}`);
  }
  on(name, callback) {
    this.callbacks.push([name, callback]);
  }
  off(name, callback) {
    this.callbacks = this.callbacks.filter(([before, other]) => before !== name || other !== callback);
  }
  tell(name, ...words) {
    for (const [listened, callback] of this.callbacks) if (listened === name) callback(...words);
  }
  save_changes() {
    this.saved.push({ ...this.traits });
  }
}

const pack = (rows, dtype = "float32") => {
  const shape = Array.isArray(rows[0]) ? [rows.length, rows[0].length] : [rows.length];
  const values = { float32: Float32Array, int32: Int32Array }[dtype].from(rows.flat());
  return { buffer: new DataView(values.buffer), dtype, shape };
};
const plain = (values) => [...values];

function ranked() {
  return {
    key: "conv1|function",
    max_rank: 4,
    ranks: pack([1, 2, 4], "int32"),
    title: "conv1 · Gaussian",
    readouts: [{ id: "error", values: pack([1, 0.5, 0.25, 0]) }],
    plots: [
      {
        id: "neurons",
        data: [{ type: "scatter", mode: "markers", x: pack([0, 1]), y: pack([10, 20]) }],
        by_rank: [{ trace: 0, attribute: "y", values: pack([[10, 20], [30, 40], [50, 60]]) }],
      },
    ],
  };
}

function board() {
  return {
    key: "demo",
    board: true,
    title: "demo",
    slider: { label: "budget", min: 0.1, max: 1, step: 0.01 },
    readouts: [{ id: "error", value: 1 }],
    plots: [
      { id: "front", data: [{ type: "scatter", mode: "markers", x: pack([1, 2]), y: pack([3, 4]) }, { type: "scatter", mode: "lines", y: pack([1]) }], layout: { xaxis: { range: [0, 1] } } },
      { id: "images", kind: "images", images: [{ label: "", values: { ...pack([1, 2, 3]), shape: [1, 1, 3] } }] },
    ],
  };
}

function opened(frame, more = {}) {
  const model = new Model({ frame, patch: {}, value: 0.5, ...more });
  const store = new Store(model);
  const patches = [];
  store.addEventListener("patch", ({ detail }) => patches.push(detail));
  return { model, store, patches };
}

test("no frame is no frame", () => {
  for (const empty of [undefined, {}, { title: "x" }]) assert.equal(opened(empty).store.frame, null);
});

test("rows of a rank are those of its table, and interpolated between two of them", () => {
  const { store } = opened(ranked());
  const values = (rank) => plain(store.rows(store.frame.plots[0], rank)[0].values);
  assert.deepEqual([values(1), values(2), values(3), values(4), values(99)], [[10, 20], [30, 40], [40, 50], [50, 60], [50, 60]]);
});

test("an exact row takes the place of the interpolated one, and one of another frame does not", () => {
  const { model, store } = opened(ranked());
  const heard = [];
  store.addEventListener("row", ({ detail }) => heard.push(detail));
  const { buffer, ...described } = pack([7, 8]);
  model.tell("msg:custom", { type: "row", key: "another", rank: 3, rows: { neurons: [{ ...described, buffer: 0 }] } }, [buffer]);
  assert.deepEqual(plain(store.rows(store.frame.plots[0], 3)[0].values), [40, 50]);
  model.tell("msg:custom", { type: "row", key: store.frame.key, rank: 3, rows: { neurons: [{ ...described, buffer: 0 }] } }, [buffer]);
  assert.deepEqual(plain(store.rows(store.frame.plots[0], 3)[0].values), [7, 8]);
  assert.deepEqual(heard, [3]);
});

test("a new frame forgets the exact rows of the one before", () => {
  const { model, store } = opened(ranked());
  const { buffer, ...described } = pack([7, 8]);
  model.tell("msg:custom", { type: "row", key: store.frame.key, rank: 3, rows: { neurons: [{ ...described, buffer: 0 }] } }, [buffer]);
  model.set("frame", ranked());
  assert.deepEqual(plain(store.rows(store.frame.plots[0], 3)[0].values), [40, 50]);
});

test("a patch leaves the frame as one built anew from what the model now holds", () => {
  for (const [frame, change] of [
    [ranked(), { plots: { neurons: { data: { 0: { x: pack([5, 6]) } }, caption: "c", layout: { yaxis: { range: [0, 9] } } } }, by_rank: { neurons: { 0: pack([[1, 2], [3, 4], [5, 6]]) } }, readouts: { error: pack([4, 3, 2, 1]) }, title: "new" }],
    [board(), { plots: { front: { data: [{ type: "bar", y: pack([9]) }], title: "t" }, images: { images: { 0: { notes: ["a"], mark: "same" } } } }, readouts: { error: { value: 2 } }, waiting: true, slider: { min: 0.2 } }],
  ]) {
    const { model, store } = opened(frame);
    model.set("patch", { key: frame.key, ...change });
    assert.deepEqual(store.frame, new Store(new Model({ frame: model.get("frame") })).frame);
    assert.notDeepEqual(store.frame, opened(frame.board ? board() : ranked()).store.frame);
  }
});

test("a patch of another frame, or of plots and readouts that are not there, changes nothing", () => {
  const { model, store, patches } = opened(ranked());
  model.set("patch", { key: "another", title: "new" });
  assert.equal(patches.length, 0);
  model.set("patch", { key: store.frame.key, plots: { none: { caption: "x" } }, by_rank: { none: {} }, readouts: { none: pack([1]) } });
  assert.deepEqual(store.frame, opened(ranked()).store.frame);
});

test("markers that only move are moved, and everything else is drawn", () => {
  const { model, patches } = opened(board());
  const patch = (data, more = {}) => model.set("patch", { key: "demo", plots: { front: { data, ...more } } });
  patch({ 0: { x: pack([8, 9]) } });
  patch({ 0: { x: pack([8, 9]) } }, { caption: "new" });
  patch({ 1: { y: pack([8]) } });
  patch({ 0: { name: "new" } });
  patch([]);
  const [moved, ...drawn] = patches.map((touched) => touched.get("front"));
  assert.deepEqual(moved.map(({ trace, attribute, values }) => [trace, attribute, plain(values)]), [[0, "x", [8, 9]]]);
  assert.deepEqual(drawn, [null, null, null, null]);
});

test("the slider goes where the plots are, but not away from what the person asked for since", () => {
  const { model, store } = opened(board());
  const answer = (value) => model.set("patch", { key: "demo", value });
  store.ask(0.7);
  assert.equal(model.saved.at(-1).value, 0.7);
  answer(0.6);
  assert.equal(model.get("value"), 0.7);
  answer(0.7);
  answer(0.3);
  assert.equal(model.get("value"), 0.3);
  store.ask(0.8);
  model.set("value", 0.4);
  answer(0.2);
  assert.equal(model.get("value"), 0.2);
});

test("a closed store listens to nothing", () => {
  const { model, store } = opened(board());
  store.close();
  assert.deepEqual(model.callbacks, []);
});
