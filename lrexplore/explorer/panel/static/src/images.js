// Images drawn pixel by pixel: filters before, and after at the chosen rank.

import { place, rowAt } from "./arrays.js";
import { element } from "./element.js";

export class Images {
  constructor(spec) {
    this.spec = spec;
    this.root = this.picture = element("div", { class: "lrx-images", role: "img", "aria-label": spec.label });
  }

  fill(spec) {
    this.spec = spec;
    this.root.classList.toggle("lrx-photographs", Boolean(spec.smooth));
    // Words below a picture are read out one by one; a picture alone is one image.
    this.root.setAttribute("role", spec.images.some(({ notes }) => notes) ? "group" : "img");
    this.canvases = spec.images.map(({ label, still, moving, notes, mark }) => {
      const [height, width] = (still ?? { shape: moving.shape.slice(1) }).shape;
      const canvas = element("canvas", { width, height });
      this.at = null;
      const lines = (notes ?? []).map((line) => element("span", {}, line));
      const words = element("figcaption", { class: mark ? `lrx-${mark}` : null }, label, ...lines);
      return { canvas, still, moving, words, pixels: new ImageData(width, height) };
    });
    this.root.replaceChildren(
      ...this.canvases.map(({ canvas, words }) => element("figure", {}, canvas, words)),
    );
    for (const image of this.canvases) if (image.still) paint(image, image.still.values);
  }

  show(ranks, rank) {
    const at = place(ranks, rank);
    if (!at) return;
    for (const image of this.canvases) {
      if (image.moving) paint(image, rowAt(image.moving, at));
    }
  }
}

function paint({ canvas, pixels }, rgb) {
  const rgba = pixels.data;
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    rgba[to] = rgb[from];
    rgba[to + 1] = rgb[from + 1];
    rgba[to + 2] = rgb[from + 2];
    rgba[to + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
