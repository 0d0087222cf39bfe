import assert from "node:assert/strict";
import test from "node:test";
import { NOTHING, percent, prefixed, readoutText, share, three, whole } from "../src/numbers.js";

const UNITS = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const UP = "⁰¹²³⁴⁵⁶⁷⁸⁹";

// The number that a text says, to a program.
function number(text) {
  const plain = text.replaceAll("−", "-").replaceAll("\u2009", "");
  const [digits, power] = plain.split("×10");
  if (power === undefined) return Number(digits);
  return Number(`${digits}e${[...power].map((letter) => (letter === "⁻" ? "-" : UP.indexOf(letter))).join("")}`);
}

function everySize(check) {
  for (let power = -9; power <= 14; power++) {
    for (const digits of [1, 1.2345, 4.9949, 4.9951, 9.9949, 9.9951, 9.99951]) {
      for (const sign of [1, -1]) check(sign * digits * 10 ** power);
    }
  }
}

test("what is written differs from the number by at most half of its third digit", () => {
  everySize((value) => assert.ok(Math.abs(number(three(value)) - value) <= 0.00501 * Math.abs(value), `${value}: ${three(value)}`));
});

test("what is written is never longer than eleven letters", () => {
  everySize((value) => assert.ok(three(value).length <= 10, three(value)));
  everySize((value) => assert.ok(prefixed(value).length <= 11, prefixed(value)));
});

test("a larger number is never written as a smaller one", () => {
  const written = Array.from({ length: 4001 }, (_, i) => number(three(10 ** (i / 250 - 6))));
  for (let i = 1; i < written.length; i++) assert.ok(written[i] >= written[i - 1]);
});

test("thousands are set apart, and a minus is a minus", () => {
  assert.equal(whole(-1234567), "−1\u2009234\u2009567");
  assert.equal(whole(999), "999");
});

test("a share and a count with a prefix mean the same number", () => {
  everySize((value) => {
    if (Math.abs(value) < 1e-5) return;
    assert.ok(Math.abs(number(percent(value).replace("%", "")) / 100 - value) <= 0.00501 * Math.abs(value));
  });
  everySize((value) => {
    if (Math.abs(value) < 1e-6 || Math.abs(value) > 9e14) return;
    const [, digits, unit] = /^(.*?)\u2009?([kMGT]?)$/.exec(prefixed(value));
    assert.ok(Math.abs(number(digits) * UNITS[unit] - value) <= 0.00501 * Math.abs(value), prefixed(value));
  });
});

test("what is no number is said in a sign", () => {
  for (const write of [three, whole, percent, prefixed, share]) {
    assert.deepEqual([write(NaN), write(Infinity), write(-Infinity)], [NOTHING, "∞", "−∞"]);
  }
});

test("a readout shows its value at a rank, its text, or that something is missing", () => {
  const values = [0.5, NaN, 1500];
  assert.equal(readoutText({ format: "3g", values }, 1), "0.500");
  assert.equal(readoutText({ format: "3g", values, missing: "not yet" }, 2), "not yet");
  assert.equal(readoutText({ format: "si", values }, 3), "1.50\u2009k");
  assert.equal(readoutText({ format: "3g", values }, 4), NOTHING);
  assert.equal(readoutText({ texts: ["a", "b"] }, 2), "b");
  assert.equal(readoutText({ text: "" }, null), "");
  assert.equal(readoutText({ value: null, missing: "…" }, null), "…");
  assert.equal(readoutText({ value: 0.25, format: "pct" }, null), "25.0\u2009%");
});

test("rounding is not shown as a number", () => {
  for (const noise of [1e-12, -3e-8, 9.9e-6]) {
    assert.equal(percent(noise), "< 0.001\u2009%");
    assert.equal(share(noise), "< 0.00001");
  }
  assert.deepEqual([percent(0), share(0)], ["0\u2009%", "0"]);
  assert.deepEqual([percent(1.2e-5), share(1.2e-5)], ["0.00120\u2009%", "1.20×10⁻⁵"]);
});

test("a value read off between two known ones is said to be about right, and an unknown one is not said at all", () => {
  const readout = { format: "error", values: [0.5, 0.45, NaN, 0.25], near: Uint8Array.of(0, 1, 1, 0) };
  assert.deepEqual([1, 2, 3, 4].map((rank) => readoutText(readout, rank)), ["0.500", "≈0.450", NOTHING, "0.250"]);
  assert.equal(readoutText({ format: "error", value: 3.34, near: true }, null), "≈3.34");
});
