// Arrays as lrexplore/explorer/arrays.py packs them: raw little-endian bytes, a dtype and a shape.

const KINDS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, uint16: Uint16Array };
const MISSING = 65535;

export function isPacked(value) {
  return value !== null && typeof value === "object" && "buffer" in value && "dtype" in value && "shape" in value;
}

// {values: typed array, shape}. Quantized arrays come back as reals, NaN where missing.
export function decode(packed) {
  const Kind = KINDS[packed.dtype];
  const source = packed.buffer;
  const view = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  const aligned = view.byteOffset % Kind.BYTES_PER_ELEMENT === 0 ? view : view.slice();
  const raw = new Kind(aligned.buffer, aligned.byteOffset, aligned.byteLength / Kind.BYTES_PER_ELEMENT);
  if (packed.scale === undefined) return { values: raw, shape: packed.shape };
  const values = new Float32Array(raw.length);
  for (let i = 0; i < raw.length; i++) {
    values[i] = raw[i] === MISSING ? NaN : packed.offset + packed.scale * raw[i];
  }
  return { values, shape: packed.shape };
}

// Typed array for one dimension, a list of rows for two or more: what plotly takes.
export function nested(values, shape) {
  if (shape.length < 2) return values;
  const size = values.length / (shape[0] || 1);
  return Array.from({ length: shape[0] }, (_, i) =>
    nested(values.subarray(i * size, (i + 1) * size), shape.slice(1)),
  );
}

// A copy of a description in which every packed array is decoded.
export function decodeWithin(value) {
  if (isPacked(value)) {
    const { values, shape } = decode(value);
    return nested(values, shape);
  }
  if (Array.isArray(value)) return value.map(decodeWithin);
  if (value !== null && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decodeWithin(inner)]));
  }
  return value;
}

// Where `rank` lies in the ascending `ranks`: rows `low` and `high`, and the weight of `high`.
export function place(ranks, rank) {
  const last = ranks.length - 1;
  if (last < 0) return null;
  if (rank <= ranks[0]) return { low: 0, high: 0, weight: 0 };
  if (rank >= ranks[last]) return { low: last, high: last, weight: 0 };
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ranks[middle] <= rank) low = middle;
    else high = middle;
  }
  if (ranks[low] === rank) return { low, high: low, weight: 0 };
  return { low, high, weight: (rank - ranks[low]) / (ranks[high] - ranks[low]) };
}

// The row of a table at a place: reals are interpolated, whole numbers (pixels, indices) taken from the nearer row.
export function rowAt(table, { low, high, weight }) {
  const size = table.values.length / table.shape[0];
  const row = (i) => table.values.subarray(i * size, (i + 1) * size);
  if (weight === 0) return row(low);
  if (!(table.values instanceof Float32Array)) return row(weight < 0.5 ? low : high);
  const [a, b] = [row(low), row(high)];
  const mixed = new Float32Array(size);
  for (let i = 0; i < size; i++) mixed[i] = a[i] + weight * (b[i] - a[i]);
  return mixed;
}
