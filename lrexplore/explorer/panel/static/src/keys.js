// Keys typed in the explorer stay there: wherever the focus is but in a text box, JupyterLab's command mode takes letters
// and arrows for itself, and turns, moves and cuts cells.

// Returns what ends it. Chords go on: they save the notebook and open the palette.
export function keepKeys(node) {
  const keep = (event) => {
    if (!event.ctrlKey && !event.altKey && !event.metaKey) event.stopPropagation();
  };
  node.addEventListener("keydown", keep);
  return () => node.removeEventListener("keydown", keep);
}

// The output of the notebook's cell, which holds the pickers, the buttons and the tabs too; elsewhere the panel alone.
export function explorerOf(root) {
  return root.closest(".jp-OutputArea-output") ?? root;
}
