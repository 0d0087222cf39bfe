// What a table does with its rows before any is drawn: the text of a cell, search, order. Plain data, no page.

const UNITS = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

export function cellText(row, key) {
  return String(row[key] ?? "");
}

// A value that is not the usual one of its row was chosen by hand.
export function isChosen(row, key) {
  return row.usual?.[key] !== undefined && row.usual[key] !== cellText(row, key);
}

// Whether a row has every word of a search, in any of its columns.
export function isFound(row, columns, search) {
  const text = [...columns.map(({ key }) => cellText(row, key)), row.disabled ?? ""].join(" ").toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

// The one row that a search leaves to choose; nothing where there are none or more.
export function onlyHit(rows, columns, search) {
  const free = rows.filter((row) => !row.disabled && isFound(row, columns, search));
  return search.trim() && free.length === 1 ? free[0] : null;
}

// "3 of 54" while a search is on, else "54".
export function countText(shown, all, search) {
  return search.trim() ? `${shown} of ${all}` : `${all}`;
}

// By a column; the same column again turns the order round, a third time restores the order given.
export function nextSorting({ key: before, descending }, key) {
  if (key === null) return { key: null, descending: false };
  if (key !== before) return { key, descending: false };
  return descending ? { key: null, descending: false } : { key, descending: true };
}

// A column of order "given" is sorted as the rows came: layers stand as in their network, not by the alphabet.
export function arranged(rows, columns, { key, descending }) {
  if (key === null) return rows;
  if (columns.find((column) => column.key === key)?.order === "given") return descending ? [...rows].reverse() : rows;
  return [...rows].sort((a, b) => compare(a[key], b[key]) * (descending ? -1 : 1));
}

export function compare(a, b) {
  const [left, right] = [quantity(a), quantity(b)];
  if (left !== null && right !== null) return left - right;
  return String(a ?? "").localeCompare(String(b ?? ""), undefined, { numeric: true });
}

// 590000 for "0.59 M", null for what does not begin with a number, and for shapes: all of their numbers count.
export function quantity(text) {
  const match = /^\s*([\d.,\s\u2009]*\d)\s*([kMGT])?(?![\w×]|\s*[×x]\s)/.exec(String(text ?? ""));
  return match ? Number(match[1].replace(/[,\s\u2009]/g, "")) * (UNITS[match[2]] ?? 1) : null;
}
