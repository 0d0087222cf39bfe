// The arithmetic of a track: values between two ends, steps, and marks that would touch.

const APART = 0.28;

export function clamped(value, { min, max }) {
  return Math.min(Math.max(value, min), max);
}

// Where between the ends a value lies, 0 to 1.
export function partOf(value, { min, max }) {
  return max > min ? (clamped(value, { min, max }) - min) / (max - min) : Number(value >= max);
}

// Whole steps; the ends too, where they lie between.
export function snapped(value, step, ends) {
  return clamped(Number((Math.round(value / step) * step).toFixed(6)), ends);
}

// Which of the ascending parts stand in a second line: every other one of those that are close to each other.
export function inSecondLine(parts) {
  let lower = false;
  return parts.map((part, i) => {
    lower = i > 0 && part - parts[i - 1] < APART && !lower;
    return lower;
  });
}
