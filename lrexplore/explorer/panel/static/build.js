// Builds panel.js, panel.css and LICENSES.txt beside this file; with --check, says whether the committed ones are
// what their sources build.

import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { notices } from "./notices.js";

const MOST_BYTES = 1_400_000;
const REQUEST = /(?:fetch|import|XMLHttpRequest|EventSource|WebSocket|\.open)\s*\((?:["'`]GET["'`],)?\s*["'`](?:https?:)?\/\//;

// plotly.js asks for map styles that no plot of ours has.
const noMapStyles = {
  name: "no-map-styles",
  setup: (chosen) => chosen.onLoad({ filter: /maplibre-gl\.css$/ }, () => ({ contents: "" })),
};

const result = await build({
  absWorkingDir: import.meta.dirname,
  entryPoints: { panel: "src/index.js", "panel.style": "src/panel.css" },
  outdir: ".",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  define: { global: "globalThis" },
  plugins: [noMapStyles],
  banner: { js: "/* lrexplore panel. Holds plotly.js and what it depends on: notices in LICENSES.txt. */" },
  metafile: true,
  write: false,
});

const outputs = result.outputFiles.map((file) => [file.path.split("/").pop().replace(".style", ""), file.contents]);
const bundled = Object.values(result.metafile.outputs).flatMap(({ inputs }) =>
  Object.keys(inputs).filter((input) => inputs[input].bytesInOutput > 0),
);
outputs.push(["LICENSES.txt", await notices(import.meta.dirname, bundled)]);

for (const [name, contents] of outputs) {
  const bytes = Buffer.from(contents);
  const place = new URL(name, import.meta.url);
  if (bytes.length > MOST_BYTES) fail(`\`${name}\` must stay below ${MOST_BYTES} bytes, got ${bytes.length}. Import less of plotly.js.`);
  if (REQUEST.test(bytes.toString())) fail(`\`${name}\` must make no outside request, got one to a fixed address. Remove it.`);
  if (!process.argv.includes("--check")) await writeFile(place, bytes);
  else if (!bytes.equals(await readFile(place).catch(() => Buffer.alloc(0)))) {
    fail(`\`${name}\` must be what its sources build, got other bytes. Run \`npm run build\` and commit it.`);
  }
  console.log(`${name}: ${bytes.length} bytes`);
}

function fail(reason) {
  console.error(reason);
  process.exitCode = 1;
}
