// A plot's description as plotly takes it: the theme around it, fixed margins, the rank line for a saved picture.

export const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999"];

export function layoutOf(spec, theme, width, height) {
  const given = spec.layout ?? {};
  const layout = merge(
    {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      colorway: COLORS,
      font: { family: theme.font, size: 12, color: theme.text },
      margin: { l: 58, r: 14, t: 8, b: 44 },
      hoverlabel: { bgcolor: theme.surface, bordercolor: theme.border, font: { color: theme.text, family: theme.font } },
      hovermode: "closest",
      uirevision: spec.id,
      xaxis: {},
      yaxis: {},
    },
    given,
  );
  for (const name of Object.keys(layout)) {
    if (!isAxis(name)) continue;
    // A zoom is kept as long as the axis says the same thing; else plotly would take steps for epochs or for powers.
    const { type, autorange, title, range } = layout[name];
    const uirevision = [spec.id, type, autorange, title?.text].join(" ");
    layout[name] = { ...merge(axis(theme), layout[name]), uirevision };
    // A copy: plotly writes into it what a person zooms to.
    if (range) layout[name].range = [...range];
  }
  return { ...layout, width, height, autosize: false, showlegend: false };
}

// What puts the axes of a drawn plot back where its description has them.
export function axesAtHome(spec) {
  const axes = Object.entries({ xaxis: {}, yaxis: {}, ...spec.layout }).filter(([name]) => isAxis(name));
  return Object.fromEntries(
    axes.map(([name, { range, autorange }]) =>
      range && !autorange ? [`${name}.range`, [...range]] : [`${name}.autorange`, autorange ?? true],
    ),
  );
}

// The line that the panel draws over a plot, as a plotly shape: for a picture that leaves the page.
export function rankShape(rank, theme) {
  return {
    type: "line",
    xref: "x",
    yref: "paper",
    x0: rank,
    x1: rank,
    y0: 0,
    y1: 1,
    line: { color: theme.accent, width: 1.5 },
    label: {
      ...{ text: `rank ${rank}`, textposition: "end", textangle: 0, xanchor: "left", yanchor: "top" },
      font: { color: theme.accent, size: 11 },
    },
  };
}

function isAxis(name) {
  return /^[xy]axis\d*$/.test(name);
}

function axis(theme) {
  return {
    gridcolor: theme.grid,
    zerolinecolor: theme.grid,
    linecolor: theme.border,
    tickcolor: theme.border,
    showline: true,
    ticks: "outside",
    ticklen: 4,
    title: { standoff: 8, font: { size: 12, color: theme.muted } },
    tickfont: { color: theme.muted, size: 11 },
    exponentformat: "power",
  };
}

// `base` with the entries of `over`, object by object.
export function merge(base, over) {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const plain = value !== null && typeof value === "object" && !Array.isArray(value) && !ArrayBuffer.isView(value);
    merged[key] = plain && merged[key] && typeof merged[key] === "object" ? merge(merged[key], value) : value;
  }
  return merged;
}

const LINE_LETTERS = 110;

// What a saved picture is of, in lines: it leaves the page that said it.
export function saidInPicture({ about, title }, rank) {
  const parts = [about, title, rank === null ? "" : `rank ${rank}`].filter(Boolean).flatMap((part) => part.split(" · "));
  const lines = [];
  for (const part of parts) {
    const longer = lines.length ? `${lines.at(-1)} · ${part}` : part;
    if (lines.length && longer.length <= LINE_LETTERS) lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  return lines.map((line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;")).join("<br>");
}
