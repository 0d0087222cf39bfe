// A button that chooses files and a place to drop some on; what was chosen goes to the kernel in parts, each after the
// kernel has taken the one before. Sent as it is: it imports nothing.

export const MOST_NAMED = 20;

// The files that are sent: in the order of their names, while there is room. The others are named.
export function chosen(files, mostFiles, mostBytes) {
  const sorted = [...files].sort((a, b) => a.name.localeCompare(b.name));
  const sent = [];
  const leftOut = [];
  let bytes = 0;
  for (const file of sorted) {
    if (file.type && !file.type.startsWith("image/")) leftOut.push(`${file.name} (no image)`);
    else if (sent.length >= mostFiles) leftOut.push(`${file.name} (over ${mostFiles} files)`);
    else if (bytes + file.size > mostBytes) leftOut.push(`${file.name} (over ${Math.round(mostBytes / 2 ** 20)} MiB together)`);
    else {
      bytes += file.size;
      sent.push(file);
    }
  }
  return { sent, leftOut, bytes };
}

// Sends files one part after the other; `ask(content, buffers)` resolves to whether the kernel wants more, and `tell`
// hears which share is sent. Resolves to whether all went.
export async function send({ sent, leftOut, bytes }, partBytes, ask, tell) {
  if (!(await ask({ type: "begin", names: sent.map((file) => file.name), left_out: leftOut }))) return false;
  let done = 0;
  for (const [number, file] of sent.entries()) {
    for (let start = 0; start < file.size; start += partBytes) {
      const part = await file.slice(start, start + partBytes).arrayBuffer();
      if (!(await ask({ type: "part", file: number }, [new DataView(part)]))) return false;
      done += part.byteLength;
      tell(done / bytes);
    }
  }
  return ask({ type: "end" });
}

function render({ model, el }) {
  const name = document.createElement("span");
  const input = document.createElement("input");
  const label = document.createElement("label");
  label.className = "lrx-upload";
  Object.assign(input, { type: "file", multiple: true, accept: model.get("accept") });
  input.setAttribute("aria-label", model.get("label")); // the words beside it also tell how far it is
  name.setAttribute("role", "status");
  name.textContent = model.get("label");
  label.append(name, input);
  el.append(label);

  let number = "";
  let answer = null;
  const receive = (content) => {
    if (content.number === number) answer?.(content.type === "more");
  };
  model.on("msg:custom", receive);
  const ask = (content, buffers = []) =>
    new Promise((resolve) => {
      answer = resolve;
      model.send({ ...content, number }, undefined, buffers);
    });
  const say = (text) => {
    name.textContent = text;
  };

  async function take(files) {
    answer?.(false); // of what was still being sent
    const mine = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`; // no randomUUID on a page without https
    number = mine;
    const all = chosen(files, model.get("most_files"), model.get("most_bytes"));
    const sent = await send(all, model.get("part_bytes"), ask, (share) => mine === number && say(`sending, ${Math.round(100 * share)} %`));
    if (mine === number) say(sent ? model.get("label") : "not sent: other files took their place");
  }

  input.addEventListener("change", () => {
    if (input.files.length > 0) take([...input.files]);
    input.value = ""; // the same files can be chosen again
  });
  const over = (event) => {
    event.preventDefault();
    event.stopPropagation();
    label.toggleAttribute("data-over", event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files.length > 0) take([...event.dataTransfer.files]);
  };
  for (const type of ["dragover", "dragleave", "drop"]) label.addEventListener(type, over);
  return () => model.off("msg:custom", receive);
}

export default { render };
