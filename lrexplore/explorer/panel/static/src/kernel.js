// Whether the kernel that made a widget still answers: one that is restarted keeps its id, and says that it ends.

const GONE = "jupyter-widgets-disconnected";
const ENDS = ["dead", "restarting", "autorestarting", "terminating"];
const WORDS = "The kernel that made this is stopped: what is here still moves, run the cell again for everything else.";

// Calls `tell(words)` now and whenever it changes, with no words while the kernel answers; returns what ends it.
// `manager` is the widget manager, of which JupyterLab's knows the session of its notebook.
export function watchKernel(view, manager, tell) {
  const session = manager?.context?.sessionContext;
  const kernel = () => session?.session?.kernel?.id;
  const made = kernel();
  let ended = false;
  const look = (_, status) => {
    ended ||= session && (kernel() !== made || ENDS.includes(status) || ENDS.includes(session.session?.kernel?.status));
    tell(ended || view.classList.contains(GONE) ? WORDS : "");
  };
  const marked = new MutationObserver(look);
  marked.observe(view, { attributes: true, attributeFilter: ["class"] });
  const signals = [session?.kernelChanged, session?.statusChanged].filter(Boolean);
  for (const signal of signals) signal.connect(look);
  look();
  return () => {
    marked.disconnect();
    for (const signal of signals) signal.disconnect(look);
  };
}
