// Text of the licences of every package of which something is in a bundle, from the list of the bundle's inputs.

import { readFile, readdir } from "node:fs/promises";

export async function notices(root, inputs) {
  const folders = [...new Set(inputs.map(packageFolder).filter(Boolean))].sort();
  const parts = await Promise.all(folders.map((folder) => notice(`${root}/${folder}`)));
  return `panel.js holds parts of the packages below.\n\n${parts.join("\n\n")}\n`;
}

function packageFolder(input) {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
}

async function notice(folder) {
  const { name, version, license, licenses } = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
  const kind = license ?? licenses?.map(({ type }) => type).join(" or ") ?? "see below";
  const file = (await readdir(folder)).sort().find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const text = file ? (await readFile(`${folder}/${file}`, "utf8")).replace(/\r/g, "").trim() : "(the package has no licence file)";
  return `==== ${name} ${version} (${kind}) ====\n${text}`;
}
