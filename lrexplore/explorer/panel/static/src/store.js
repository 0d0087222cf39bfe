// What one widget model holds, decoded once for all of its views: the frame, its patches, rows for exact ranks.

import { decode, decodeWithin, isPacked, nested, place, rowAt } from "./arrays.js";
import { merge } from "./figure.js";

const MOST_EXACT_RANKS = 256;

export class Store extends EventTarget {
  constructor(model) {
    super();
    this.model = model;
    this.exact = new Map();
    this.frame = readFrame(model.get("frame"));
    this.onFrame = () => this.replaceFrame();
    this.onPatch = () => this.applyPatch(this.model.get("patch"));
    this.onMessage = (content, buffers) => this.receive(content, buffers);
    this.asked = null;
    this.onValue = () => { if (this.model.get("value") !== this.asked) this.asked = null; };
    model.on("change:frame", this.onFrame);
    model.on("change:patch", this.onPatch);
    model.on("change:value", this.onValue);
    model.on("msg:custom", this.onMessage);
  }

  close() {
    this.model.off("change:frame", this.onFrame);
    this.model.off("change:patch", this.onPatch);
    this.model.off("change:value", this.onValue);
    this.model.off("msg:custom", this.onMessage);
  }

  replaceFrame() {
    this.exact.clear();
    this.frame = readFrame(this.model.get("frame"));
    this.dispatchEvent(new Event("frame"));
  }

  // The patch also goes into the raw frame, so that a view opened later, or a saved notebook, has it.
  applyPatch(patch) {
    const frame = this.frame;
    if (!frame || !patch || patch.key !== frame.key) return;
    const raw = this.model.get("frame");
    const touched = new Map();
    for (const [id, change] of Object.entries(patch.plots ?? {})) {
      const index = frame.plots.findIndex((plot) => plot.id === id);
      if (index < 0) continue;
      changePlot(raw.plots[index], change, (value) => value);
      const moves = frame.board ? markerMoves(frame.plots[index], change) : null;
      changePlot(frame.plots[index], change, decodeWithin);
      touched.set(id, moves);
    }
    for (const [id, tables] of Object.entries(patch.by_rank ?? {})) {
      const index = frame.plots.findIndex((plot) => plot.id === id);
      if (index < 0) continue;
      for (const [entry, packed] of Object.entries(tables)) {
        if (!frame.plots[index].tables[entry]) continue;
        frame.plots[index].tables[entry].table = decode(packed);
        raw.plots[index].by_rank[entry].values = packed;
      }
      touched.set(id, null);
    }
    for (const [id, packed] of Object.entries(patch.readouts ?? {})) {
      const index = frame.readouts.findIndex((readout) => readout.id === id);
      if (index < 0) continue;
      Object.assign(frame.readouts[index], isPacked(packed) ? { values: decode(packed).values } : decodeWithin(packed));
      Object.assign(raw.readouts[index], isPacked(packed) ? { values: packed } : packed);
    }
    for (const name of ["title", "waiting"]) if (patch[name] !== undefined) frame[name] = raw[name] = patch[name];
    if (patch.slider) for (const held of [frame.slider, raw.slider]) Object.assign(held, patch.slider);
    if (patch.value !== undefined) this.answer(patch.value);
    this.dispatchEvent(new CustomEvent("patch", { detail: touched }));
  }

  // The person's value of a board's slider. It leaves at once: an echo of the one before would take its place.
  ask(value) {
    this.asked = value;
    this.model.set("value", value);
    this.model.save_changes();
  }

  // The slider stands where the plots are, unless the person asked for something that is still to be answered.
  answer(value) {
    this.frame.answered = value;
    if (value === this.asked) this.asked = null;
    if (this.asked !== null || value === this.model.get("value")) return;
    this.model.set("value", value);
    this.model.save_changes();
  }

  receive(content, buffers) {
    if (content?.type !== "row" || content.key !== this.frame?.key) return;
    const rows = {};
    for (const [id, packed] of Object.entries(content.rows)) {
      rows[id] = packed.map((row) =>
        decode(typeof row.buffer === "number" ? { ...row, buffer: buffers[row.buffer] } : row),
      );
    }
    if (this.exact.size >= MOST_EXACT_RANKS) this.exact.delete(this.exact.keys().next().value);
    this.exact.set(content.rank, rows);
    this.dispatchEvent(new CustomEvent("row", { detail: content.rank }));
  }

  // What a plot shows at a rank: one {trace, attribute, values} for each of its by-rank tables.
  rows(plot, rank) {
    const exact = this.exact.get(rank)?.[plot.id];
    const at = place(this.frame.ranks, rank);
    const rows = [];
    plot.tables.forEach(({ trace, attribute, table }, entry) => {
      const shape = table.shape.slice(1);
      if (exact?.[entry]) rows.push({ trace, attribute, values: nested(exact[entry].values, shape) });
      else if (at) rows.push({ trace, attribute, values: nested(rowAt(table, at), shape) });
    });
    return rows;
  }
}

function readFrame(raw) {
  if (!raw?.key) return null;
  return {
    key: raw.key,
    title: raw.title ?? "",
    about: raw.about ?? "",
    board: raw.board ?? false,
    waiting: raw.waiting ?? false,
    sharedLegend: raw.shared_legend ?? false,
    slider: raw.slider ? { ...raw.slider } : null,
    maxRank: Math.max(1, raw.max_rank ?? 1),
    marks: raw.marks ?? [],
    ranks: raw.ranks ? decode(raw.ranks).values : new Int32Array(0),
    readouts: (raw.readouts ?? []).map((readout) => ({
      ...readout,
      values: readout.values ? decode(readout.values).values : null,
      near: isPacked(readout.near ?? null) ? decode(readout.near).values : readout.near,
    })),
    plots: (raw.plots ?? []).map(readPlot),
  };
}

// Rows for move.js where a change only puts markers elsewhere; null where the plot must be drawn.
function markerMoves(plot, { data, ...more }) {
  if (!data || Array.isArray(data) || Object.keys(more).length) return null;
  const rows = [];
  for (const [trace, attributes] of Object.entries(data)) {
    const { type, mode } = plot.data[trace] ?? {};
    if (type !== "scatter" || mode !== "markers") return null;
    for (const [attribute, values] of Object.entries(decodeWithin(attributes))) {
      if (attribute !== "x" && attribute !== "y") return null;
      rows.push({ trace: Number(trace), attribute, values });
    }
  }
  return rows;
}

// A list of traces takes the place of all; else attributes are set in those that are there.
function changePlot(plot, change, read) {
  if (Array.isArray(change.data)) plot.data = read(change.data);
  else for (const [trace, attributes] of Object.entries(change.data ?? {})) {
    Object.assign(plot.data[trace] ?? {}, read(attributes));
  }
  for (const [number, changes] of Object.entries(change.images ?? {})) Object.assign(plot.images[number] ?? {}, changes);
  if (change.layout) plot.layout = merge(plot.layout ?? {}, change.layout);
  for (const name of ["title", "caption", "drags"]) {
    if (change[name] !== undefined) plot[name] = read(change[name]);
  }
}

function readPlot(raw) {
  const { data, images, by_rank: byRank, drags, ...rest } = raw;
  const plain = drags ? { ...rest, drags: decodeWithin(drags) } : rest;
  const tables = (byRank ?? []).map(({ trace, attribute, values }) => ({ trace, attribute, table: decode(values) }));
  if (raw.kind !== "images") return { ...plain, tables, data: decodeWithin(data ?? []) };
  const stills = (images ?? []).map((image) => ({
    ...image,
    still: image.values ? decode(image.values) : null,
    moving: image.by_rank ? decode(image.by_rank) : null,
  }));
  return { ...plain, tables: [], images: stills };
}
