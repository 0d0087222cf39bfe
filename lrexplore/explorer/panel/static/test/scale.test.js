import assert from "node:assert/strict";
import test from "node:test";
import { clamped, inSecondLine, partOf, snapped } from "../src/scale.js";

const ENDS = [{ min: 1, max: 512 }, { min: 0.137, max: 1 }, { min: 0, max: 0.999 }, { min: 3, max: 3 }];

function everywhere(check) {
  for (const ends of ENDS) {
    const length = ends.max - ends.min || 1;
    for (let i = -5; i <= 25; i++) check(ends.min + (i / 20) * length, ends);
  }
}

test("a value is held between the ends, and one that lies there is left alone", () => {
  everywhere((value, ends) => {
    const held = clamped(value, ends);
    assert.ok(held >= ends.min && held <= ends.max);
    if (value >= ends.min && value <= ends.max) assert.equal(held, value);
  });
});

test("a part of the track leads back to its value, and grows with it", () => {
  let before = null;
  everywhere((value, ends) => {
    const part = partOf(value, ends);
    assert.ok(part >= 0 && part <= 1);
    if (ends.max > ends.min) assert.ok(Math.abs(ends.min + part * (ends.max - ends.min) - clamped(value, ends)) < 1e-9);
    if (before?.ends === ends) assert.ok(part >= before.part);
    before = { ends, part };
  });
});

test("a step is a whole number of steps and at most half of one away, or an end", () => {
  everywhere((value, ends) => {
    for (const step of [0.001, 0.005, 0.01, 1]) {
      const at = snapped(value, step, ends);
      if (at === ends.min || at === ends.max) continue;
      assert.ok(Math.abs(at / step - Math.round(at / step)) < 1e-6);
      assert.ok(Math.abs(at - value) <= step / 2 + 1e-6);
      assert.ok(String(at).length <= 8, `${at} is written without a rounding error`);
    }
  });
});

test("of marks no two that are close to each other stand in one line, and far ones stand in the first", () => {
  const cases = [[], [0.3], [0, 0.5, 1], [0, 0.1], [0, 0.1, 0.2, 0.3], [0, 0.1, 0.6, 0.7, 0.99]];
  for (const parts of cases) {
    const lower = inSecondLine(parts);
    assert.equal(lower.length, parts.length);
    parts.forEach((part, i) => {
      const close = i > 0 && part - parts[i - 1] < 0.28;
      if (close) assert.notEqual(lower[i], lower[i - 1]);
      else assert.equal(lower[i], false);
    });
  }
});
