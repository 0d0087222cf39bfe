// Whether a kernel answers: ipywidgets marks each widget that has none, be it stopped, started anew or not yet there.

const GONE = "jupyter-widgets-disconnected";
const WORDS = "The kernel that made this is stopped. The rank still moves; run the cell again for everything else.";

// Calls `tell(words)` now and whenever it changes, with no words while a kernel answers; returns what ends it.
export function watchKernel(root, tell) {
  const marked = root.closest(`.jupyter-widgets, .${GONE}`);
  if (!marked) return () => {};
  const look = () => tell(marked.classList.contains(GONE) ? WORDS : "");
  const observer = new MutationObserver(look);
  observer.observe(marked, { attributes: true, attributeFilter: ["class"] });
  look();
  return () => observer.disconnect();
}
