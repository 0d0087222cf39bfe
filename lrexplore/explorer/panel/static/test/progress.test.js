import assert from "node:assert/strict";
import test from "node:test";
import { said } from "../src/progress.js";

test("work that goes on is at no moment said to be at its end", () => {
  for (const progress of [0.99, 0.995, 0.999, 1]) assert.deepEqual(said(progress), { value: null, text: "finishing" });
});

test("a share is said in whole percent that are done", () => {
  assert.deepEqual(said(0.581), { value: 0.581, text: "58\u2009%" });
  assert.deepEqual(said(0.589), { value: 0.589, text: "58\u2009%" });
});

test("where nothing is known of a share, nothing is said", () => {
  for (const progress of [0, NaN, undefined]) assert.deepEqual(said(progress), { value: null, text: "" });
});
