import assert from "node:assert/strict";
import test from "node:test";
import { chosen, send } from "../src/upload.js";

const file = (name, size, type = "image/png") => ({
  name, size, type, slice: (start, end) => new Blob([new Uint8Array(Math.min(end, size) - start)]),
});

test("what does not fit is named, and the order is that of the names", () => {
  const files = [file("b.png", 6), file("a.png", 5), file("c.txt", 1, "text/plain"), file("d.png", 4), file("e.png", 1)];
  const { sent, leftOut, bytes } = chosen(files, 2, 10);
  assert.deepEqual(sent.map(({ name }) => name), ["a.png", "d.png"]);
  assert.equal(bytes, 9);
  assert.deepEqual(leftOut, ["b.png (over 0 MiB together)", "c.txt (no image)", "e.png (over 2 files)"]);
});

test("files go in parts, each after the answer to the one before", async () => {
  const asked = [];
  const shares = [];
  let waiting = 0;
  const ask = async (content, buffers = []) => {
    assert.equal(waiting++, 0);
    await null;
    waiting--;
    asked.push([content.type, content.file, buffers.map((buffer) => buffer.byteLength)]);
    return true;
  };
  const all = chosen([file("a.png", 5), file("b.png", 3)], 9, 100);
  assert.ok(await send(all, 2, ask, (share) => shares.push(share)));
  const parts = [[2], [2], [1]].map((sizes) => ["part", 0, sizes]);
  assert.deepEqual(asked, [["begin", undefined, []], ...parts, ["part", 1, [2]], ["part", 1, [1]], ["end", undefined, []]]);
  assert.equal(shares.at(-1), 1);
});

test("what the kernel refuses is not sent on", async () => {
  const asked = [];
  const ask = async ({ type }) => asked.push(type) < 3;
  assert.equal(await send(chosen([file("a.png", 9)], 9, 100), 1, ask, () => {}), false);
  assert.deepEqual(asked, ["begin", "part", "part"]);
});
