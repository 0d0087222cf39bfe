// What a table does with its rows before any is drawn: the text of a cell, search, order. Plain data, no page.

const UNITS = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

export function cellText(row, key) {
  return String((key === "name" ? row.shown : undefined) ?? row[key] ?? "");
}

// A value that is not the usual one of its row was chosen by hand.
export function isChosen(row, key) {
  return row.usual?.[key] !== undefined && row.usual[key] !== cellText(row, key);
}

// Whether a row has every word of a search, in any of its columns.
export function isFound(row, columns, search) {
  const text = [row.name, ...columns.map(({ key }) => cellText(row, key)), row.disabled ?? ""].join(" ").toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

// The one row that a search leaves to choose; nothing where there are none or more.
export function onlyHit(rows, columns, search) {
  const free = rows.filter((row) => !row.disabled && !row.fold && isFound(row, columns, search));
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

// Which rows are on screen, by name. Rows that are `under` another are there once it is open, or found by a search; the
// row above them is there with any of them, and by itself while nothing is searched for.
export function shownRows(rows, columns, search, open) {
  const found = rows.filter((row) => isFound(row, columns, search));
  const searched = Boolean(search.trim());
  const shown = new Set(found.filter((row) => !row.under && !(row.fold && searched)).map(({ name }) => name));
  for (const { name, under } of found) {
    if (!under || !(searched || open.has(under))) continue;
    shown.add(name);
    shown.add(under);
  }
  return shown;
}

// Rows that are under another come after it, whatever the order.
function unfolded(rows) {
  const below = new Map();
  for (const row of rows) if (row.under) below.set(row.under, [...(below.get(row.under) ?? []), row]);
  return below.size ? rows.filter((row) => !row.under).flatMap((row) => [row, ...(below.get(row.name) ?? [])]) : rows;
}

// A column of order "given" is sorted as the rows came: layers stand as in their network, not by the alphabet.
export function arranged(rows, columns, { key, descending }) {
  if (key === null) return rows;
  if (columns.find((column) => column.key === key)?.order === "given") return descending ? unfolded([...rows].reverse()) : rows;
  return unfolded([...rows].sort((a, b) => compare(a[key], b[key]) * (descending ? -1 : 1)));
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
