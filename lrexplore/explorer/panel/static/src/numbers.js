// Numbers as a person reads them: three significant digits, thin spaces between thousands.

const UP = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const SI = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

const NOISE = 1e-5;

export const NOTHING = "–";

export function three(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? NOTHING : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 99999.5 || size < 0.000995) return scientific(value);
  if (size >= 999.5) return whole(value);
  return minus(value.toPrecision(3));
}

export function whole(value) {
  if (!Number.isFinite(value)) return three(value);
  return minus(String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u2009"));
}

export function percent(value) {
  if (value !== 0 && Math.abs(value) < NOISE) return "< 0.001\u2009%";
  return Number.isFinite(value) ? `${three(100 * value)}\u2009%` : three(value);
}

// A relative error: what is left below is rounding.
export function share(value) {
  return value !== 0 && Math.abs(value) < NOISE ? "< 0.00001" : three(value);
}

export function prefixed(value) {
  if (!Number.isFinite(value)) return three(value);
  for (const [size, letter] of SI) {
    if (Math.abs(value) >= 0.9995 * size) return `${three(value / size)}\u2009${letter}`;
  }
  return Number.isInteger(value) ? whole(value) : three(value);
}

const FORMATS = { "3g": three, int: whole, pct: percent, si: prefixed, error: share };

// Text of a readout at a rank; "≈" where it is read off between two ranks that are known.
export function readoutText(readout, rank) {
  if (readout.texts) return readout.texts[rank - 1] ?? readout.missing ?? NOTHING;
  if (readout.text !== undefined) return readout.text;
  const value = readout.value === undefined ? readout.values?.[rank - 1] : readout.value;
  if (value === undefined || value === null || Number.isNaN(value)) return readout.missing ?? NOTHING;
  const text = (FORMATS[readout.format] ?? three)(value);
  const near = rank === null ? readout.near : readout.near?.[rank - 1];
  return near ? `≈${text}` : text;
}

function scientific(value) {
  const [digits, power] = value.toExponential(2).split("e");
  const raised = [...String(Math.abs(Number(power)))].map((digit) => UP[digit]).join("");
  return minus(`${digits}×10${Number(power) < 0 ? "⁻" : ""}${raised}`);
}

function minus(text) {
  return text.replace(/^-/, "−");
}
