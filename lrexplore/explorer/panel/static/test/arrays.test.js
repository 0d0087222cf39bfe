import assert from "node:assert/strict";
import test from "node:test";
import { decode, decodeWithin, isPacked, nested, place, rowAt } from "../src/arrays.js";

const packed = (values, dtype, shape, more = {}) => ({ buffer: new DataView(values.buffer), dtype, shape, ...more });
const floats = (...values) => Float32Array.from(values);

test("an array comes back with the values and the shape that went in, whatever its kind", () => {
  for (const [Kind, dtype] of [[Float32Array, "float32"], [Int32Array, "int32"], [Uint8Array, "uint8"], [Uint16Array, "uint16"]]) {
    const values = Kind.from([0, 1, 250, 7, 3, 2]);
    assert.deepEqual(decode(packed(values, dtype, [2, 3])), { values, shape: [2, 3] });
  }
});

test("bytes that begin at an odd place of a message are read like others", () => {
  const values = floats(1.5, -2, 1e6);
  const message = new Uint8Array(1 + values.byteLength);
  message.set(new Uint8Array(values.buffer), 1);
  const view = new DataView(message.buffer, 1, values.byteLength);
  assert.deepEqual(decode({ buffer: view, dtype: "float32", shape: [3] }).values, values);
});

test("quantized numbers are within half a step of the real ones, and NaN where they were missing", () => {
  const real = [-1.3, 0, 0.77, 4.2];
  const [offset, scale] = [-1.3, 5.5 / 65534];
  const raw = Uint16Array.from([...real.map((value) => Math.round((value - offset) / scale)), 65535]);
  const { values } = decode(packed(raw, "uint16", [5], { offset, scale }));
  for (const [i, value] of real.entries()) assert.ok(Math.abs(values[i] - value) <= scale / 2 + 1e-6);
  assert.ok(Number.isNaN(values[4]));
});

test("rows of rows hold the entries in the order of their array", () => {
  const values = Float32Array.from({ length: 24 }, (_, i) => i);
  const rows = nested(values, [2, 3, 4]);
  for (let i = 0; i < 2; i++) for (let j = 0; j < 3; j++) for (let k = 0; k < 4; k++) assert.equal(rows[i][j][k], 12 * i + 4 * j + k);
  assert.deepEqual(nested(new Float32Array(0), [0, 3]), []);
});

test("every packed array within a description is decoded, and nothing else is touched", () => {
  const given = { a: [packed(floats(1, 2), "float32", [2]), "b", null], c: { d: 3, e: packed(floats(1, 2, 3, 4), "float32", [2, 2]) } };
  const read = decodeWithin(given);
  assert.deepEqual(read, { a: [floats(1, 2), "b", null], c: { d: 3, e: [floats(1, 2), floats(3, 4)] } });
  assert.ok(isPacked(given.a[0]) && !isPacked(read.c) && !isPacked(null));
});

test("a rank has its place between the rows around it", () => {
  const ranks = [1, 2, 5, 9, 40];
  for (let rank = -1; rank <= 45; rank++) {
    const { low, high, weight } = place(ranks, rank);
    const inside = Math.min(Math.max(rank, 1), 40);
    assert.ok(ranks[low] <= inside && inside <= ranks[high] && high - low <= 1);
    assert.ok(Math.abs(ranks[low] + weight * (ranks[high] - ranks[low]) - inside) < 1e-12);
    if (ranks.includes(inside)) assert.equal(weight, 0);
  }
  assert.equal(place([], 3), null);
});

test("reals between two rows are interpolated, pixels are those of the nearer row", () => {
  const table = { values: floats(0, 10, 4, 30), shape: [2, 2] };
  assert.deepEqual(rowAt(table, { low: 0, high: 1, weight: 0.25 }), floats(1, 15));
  assert.deepEqual(rowAt(table, { low: 1, high: 1, weight: 0 }), floats(4, 30));
  const pixels = { values: Uint8Array.from([0, 10, 200, 30]), shape: [2, 2] };
  assert.deepEqual(rowAt(pixels, { low: 0, high: 1, weight: 0.4 }), Uint8Array.from([0, 10]));
  assert.deepEqual(rowAt(pixels, { low: 0, high: 1, weight: 0.6 }), Uint8Array.from([200, 30]));
});
