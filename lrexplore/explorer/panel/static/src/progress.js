// How far long work is, for its bar and in words. Work that goes on is never said to be at its end: nobody knows how long
// the rest takes.

const NEARLY = 0.99;

export function said(progress) {
  if (!(progress > 0)) return { value: null, text: "" };
  if (progress >= NEARLY) return { value: null, text: "finishing" };
  return { value: progress, text: `${Math.floor(100 * progress)}\u2009%` };
}
