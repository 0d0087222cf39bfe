// Colors and font of the page around the panel, as plotly takes them. Read only once the panel is attached.

const NAMES = ["text", "muted", "grid", "border", "surface", "accent"];

export function readTheme(root) {
  const probe = root.appendChild(document.createElement("span"));
  const theme = { font: getComputedStyle(root).fontFamily };
  for (const name of NAMES) {
    probe.style.color = `var(--lrx-${name})`;
    theme[name] = plain(getComputedStyle(probe).color);
  }
  probe.remove();
  return theme;
}

export function sameTheme(a, b) {
  return Object.keys(b).every((key) => a[key] === b[key]);
}

// Calls back when JupyterLab, VS Code or the system switches between light and dark.
export function watchTheme(callback) {
  const observer = new MutationObserver(callback);
  const watched = { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-jp-theme-name"] };
  observer.observe(document.body, watched);
  observer.observe(document.documentElement, watched);
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", callback);
  };
}

// Mixed colors are computed as "color(srgb 0.1 0.2 0.3)", which plotly does not read.
function plain(color) {
  const mixed = /^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)/.exec(color);
  return mixed ? `rgb(${mixed.slice(1).map((part) => Math.round(255 * Number(part))).join(", ")})` : color;
}
