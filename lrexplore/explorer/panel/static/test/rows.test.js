import assert from "node:assert/strict";
import test from "node:test";
import { arranged, cellText, compare, countText, isChosen, isFound, nextSorting, onlyHit, quantity, shownRows } from "../src/rows.js";

const COLUMNS = [{ key: "name", order: "given" }, { key: "params" }, { key: "follows" }];
const ROWS = [
  { name: "stem.conv10", params: "9.4 k", follows: "BN, ReLU" },
  { name: "stem.conv2", params: "0.59 M", follows: "nothing" },
  { name: "body.dw", params: "–", follows: "", disabled: "a depthwise kernel" },
  { name: "body.conv2", params: "9.4 k", follows: "BN, ReLU" },
];
const names = (rows) => rows.map(({ name }) => name);
const found = (search) => names(ROWS.filter((row) => isFound(row, COLUMNS, search)));

test("a cell shows a number 0 as 0, and nothing for what is not known", () => {
  assert.deepEqual([cellText({ a: 0 }, "a"), cellText({ a: null }, "a"), cellText({}, "a")], ["0", "", ""]);
});

test("a search finds what stands in any column, in capitals or not, and in a reason", () => {
  assert.deepEqual(found(""), names(ROWS));
  assert.deepEqual(found("CONV2"), ["stem.conv2", "body.conv2"]);
  assert.deepEqual(found("  relu "), ["stem.conv10", "body.conv2"]);
  assert.deepEqual(found("depthwise"), ["body.dw"]);
});

const FOLDED = [
  { name: "stem", params: "5" },
  { name: "attn:heads", shown: "attn: 2 heads", fold: true, params: "7" },
  { name: "attn:qk.0", shown: "head 0 · query-key", under: "attn:heads", params: "3" },
  { name: "attn:ov.0", shown: "head 0 · output-value", under: "attn:heads", params: "4" },
  { name: "fc", params: "6" },
];
const onScreen = (search, open = []) => [...shownRows(FOLDED, COLUMNS, search, new Set(open))].sort();

test("rows under another are there once that is open, or found by either of their names", () => {
  assert.deepEqual(onScreen(""), ["attn:heads", "fc", "stem"]);
  assert.deepEqual(onScreen("", ["attn:heads"]), ["attn:heads", "attn:ov.0", "attn:qk.0", "fc", "stem"]);
  assert.deepEqual(onScreen("query"), ["attn:heads", "attn:qk.0"]);
  assert.deepEqual(onScreen("attn:ov"), ["attn:heads", "attn:ov.0"]);
  assert.deepEqual(onScreen("nothing"), []);
});

test("rows under another stay under it in every order, and are no hit beside it", () => {
  const sorted = arranged(FOLDED, COLUMNS, { key: "params", descending: true });
  assert.deepEqual(names(sorted), ["attn:heads", "attn:ov.0", "attn:qk.0", "fc", "stem"]);
  assert.deepEqual(names(arranged(FOLDED, COLUMNS, { key: null })), names(FOLDED));
  assert.equal(onlyHit(FOLDED, COLUMNS, "query").name, "attn:qk.0");
});

test("a search of several words finds the rows that have all of them, in any order and any column", () => {
  assert.deepEqual(found("relu conv2"), ["body.conv2"]);
  assert.deepEqual(found("stem  0.59"), ["stem.conv2"]);
  assert.deepEqual(found("kernel body"), ["body.dw"]);
  assert.deepEqual(found("stem body"), []);
  for (const words of ["conv2 relu", "b c", "k"]) {
    const each = words.split(" ").map(found);
    assert.deepEqual(found(words), each.reduce((all, some) => all.filter((name) => some.includes(name))));
  }
});

test("no word is found where one column ends and the next begins", () => {
  assert.deepEqual(found("conv29"), []);
});

test("the only hit is the one row left that can be chosen", () => {
  assert.equal(onlyHit(ROWS, COLUMNS, "body")?.name, "body.conv2");
  for (const search of ["", " ", "conv2", "depthwise", "nowhere"]) assert.equal(onlyHit(ROWS, COLUMNS, search), null);
});

test("the count says how many of all are shown, once something is searched", () => {
  assert.equal(countText(4, 4, "  "), "4");
  assert.equal(countText(1, 4, "x"), "1 of 4");
});

test("a number with a prefix is the number that it says", () => {
  const said = { "0.59 M": 590000, "9.4 k": 9400, "1\u2009234": 1234, "1,234 of 5,678": 1234, "12.5 %": 12.5, " 7": 7 };
  for (const [text, value] of Object.entries(said)) assert.ok(Math.abs(quantity(text) - value) < 1e-6, text);
  for (const text of ["", "–", "…", "conv2", "3x3", "64×576", "64 x 576", null, undefined]) assert.equal(quantity(text), null);
});

test("numbers are ordered by value, names by their words and the numbers in them", () => {
  assert.ok(compare("9.4 k", "0.59 M") < 0);
  assert.ok(compare("1,000 of 2,000", "98 of 2,000") > 0);
  assert.ok(compare("conv2", "conv10") < 0);
  assert.ok(compare("64 x 64", "64 x 576") < 0 && compare("64 x 576", "128 x 9") < 0);
  assert.equal(compare(undefined, null), 0);
});

test("names are sorted as they were given, and turned round", () => {
  assert.deepEqual(names(arranged(ROWS, COLUMNS, { key: "name", descending: false })), names(ROWS));
  assert.deepEqual(names(arranged(ROWS, COLUMNS, { key: "name", descending: true })), names(ROWS).reverse());
  const plain = arranged(ROWS, [{ key: "name" }], { key: "name", descending: false });
  assert.deepEqual(names(plain), ["body.conv2", "body.dw", "stem.conv2", "stem.conv10"]);
});

test("rows are sorted, equal ones stay in the order given, and the rows given are left alone", () => {
  const before = names(ROWS);
  assert.deepEqual(names(arranged(ROWS, COLUMNS, { key: "params", descending: false })).slice(1), ["stem.conv10", "body.conv2", "stem.conv2"]);
  assert.deepEqual(names(arranged(ROWS, COLUMNS, { key: "params", descending: true })).slice(0, 3), ["stem.conv2", "stem.conv10", "body.conv2"]);
  assert.deepEqual(names(arranged(ROWS, COLUMNS, { key: null, descending: false })), before);
  assert.deepEqual(names(ROWS), before);
});

test("a heading pressed sorts, pressed again turns the order round, a third time gives it back", () => {
  const none = { key: null, descending: false };
  const once = nextSorting(none, "params");
  const twice = nextSorting(once, "params");
  assert.deepEqual([once, twice], [{ key: "params", descending: false }, { key: "params", descending: true }]);
  assert.deepEqual(nextSorting(twice, "params"), none);
  assert.deepEqual(nextSorting(twice, "name"), { key: "name", descending: false });
  assert.deepEqual(nextSorting(twice, null), none);
});

test("a value is told from the usual one of its row, where there is one", () => {
  const usual = { rank: "16" };
  assert.deepEqual([isChosen({ rank: "17", usual }, "rank"), isChosen({ rank: "16", usual }, "rank")], [true, false]);
  assert.deepEqual([isChosen({ rank: "17" }, "rank"), isChosen({ name: "a", usual }, "name")], [false, false]);
});
