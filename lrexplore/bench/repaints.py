"""Milliseconds from what a person does to the repainted plots, as the page itself saw both.

The panel marks `lrexplore:painted` in the page's performance timeline once a new rank is on screen. What it does not
mark (another layer, an exact row for the rank on screen) is found by hooks that look once a frame.
"""

MARKS = "performance.getEntriesByName('lrexplore:painted')"
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
HOOKS = """() => {
    if (window.lrx) return;
    window.lrx = {key: 0, click: 0, titles: [], neurons: []};
    addEventListener("keydown", (event) => { window.lrx.key = event.timeStamp; }, {capture: true});
    addEventListener("click", (event) => { window.lrx.click = event.timeStamp; }, {capture: true});
    const painted = (then) => {
        const {port1, port2} = new MessageChannel();
        port1.onmessage = () => then(performance.now());
        port2.postMessage(null);
    };
    const title = document.querySelector(".lrx-title");
    const drawn = () => painted((time) => window.lrx.titles.push({text: title.textContent, time}));
    new MutationObserver(() => requestAnimationFrame(drawn)).observe(title, {childList: true});
    let before = null;
    const look = () => {
        const y = document.querySelector("[data-plot-id=neurons]")?.data?.at(-1)?.y ?? [];
        const sum = y.reduce((total, value, i) => total + (i + 1) * value, 0);
        if (sum !== before) painted((time) => window.lrx.neurons.push({sum, time}));
        before = sum;
        requestAnimationFrame(look);
    };
    look();
}"""


def slider_latencies(page, *, num_steps: int = 100, panel: int = 0) -> list[float]:
    """Latencies in ms of `num_steps` presses of an arrow key, each waited for; the slider turns round at its ends."""
    page.evaluate(HOOKS)
    slider = page.locator(".lrx-slider").nth(panel)
    slider.focus()
    most = int(slider.get_attribute("max"))
    direction = "ArrowRight"
    latencies: list[float] = []
    for _ in range(num_steps):
        rank = int(slider.input_value())
        direction = "ArrowLeft" if rank >= most else "ArrowRight" if rank <= 1 else direction
        count = page.evaluate(f"{MARKS}.length")
        page.keyboard.press(direction)
        page.wait_for_function(f"count => {MARKS}.length > count", arg=count)
        latencies.append(page.evaluate(f"{MARKS}.at(-1).startTime - window.lrx.key"))
    return latencies


def exact_row_latencies(notebook, explorer: str, *, num_steps: int = 30) -> list[float]:
    """Latencies in ms from an arrow key to the exact neurons of a rank that the browser could only interpolate.

    `explorer` names the explorer in the kernel; the rank walks down from where it is, past ranks of the table.
    """
    page = notebook.page
    page.evaluate(HOOKS)
    page.locator(".lrx-slider").first.focus()
    table = set(notebook.kernel_value(f"{explorer}.layer_tab.study().table_ranks.tolist()"))
    rank = notebook.kernel_value(f"{explorer}.state.rank")
    latencies: list[float] = []
    while len(latencies) < num_steps and rank > 1:
        page.keyboard.press("ArrowLeft")
        rank -= 1
        page.wait_for_function(f"rank => {MARKS}.at(-1).detail.rank === rank", arg=rank)
        notebook.wait_for_value(f"{explorer}.state.rank", rank)
        notebook.kernel_value(f"{explorer}.wait(60)")
        page.evaluate(TWO_FRAMES)
        if rank not in table:
            latencies.append(page.evaluate("window.lrx.neurons.at(-1).time - window.lrx.key"))
    return latencies


def kernel_rank_latencies(page, explorer: str, ranks: list[int]) -> list[float]:
    """Latencies in ms from `explorer.state.rank = ...` leaving the page for the kernel to that rank's plots."""
    sent = """async ([explorer, rank]) => {
        const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
        const started = performance.now();
        await kernel.requestExecute({code: `${explorer}.state.rank = ${rank}`, silent: true}).done;
        return started;
    }"""
    latencies = []
    for rank in ranks:
        count = page.evaluate(f"{MARKS}.length")
        started = page.evaluate(sent, [explorer, rank])
        page.wait_for_function(f"count => {MARKS}.length > count", arg=count)
        latencies.append(page.evaluate(f"{MARKS}.at(-1).startTime") - started)
    return latencies


def layer_latency(page, name: str) -> float:
    """Milliseconds from a click on a layer of the table to its painted plots."""
    page.evaluate(HOOKS)
    count = page.evaluate("window.lrx.titles.length")
    page.locator(f"tr[data-name='{name}']").first.click()
    drawn = "([name, count]) => window.lrx.titles.slice(count).find(({text}) => text.startsWith(name + ' '))"
    page.wait_for_function(drawn, arg=[name, count])
    return page.evaluate(f"sought => ({drawn})(sought).time - window.lrx.click", [name, count])


def budget_latencies(page, *, num_steps: int = 100) -> list[float]:
    """Latencies in ms from an arrow key on the Network tab's budget slider to the repainted bars, walking down."""
    page.evaluate(HOOKS)
    slider = page.get_by_role("slider", name="budget")
    slider.focus()
    answer = f"([count, before]) => {MARKS}.slice(count).find(({{detail}}) => detail.key && detail.value < before)"
    latencies = []
    for _ in range(num_steps):
        before, count = float(slider.input_value()), page.evaluate(f"{MARKS}.length")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(answer, arg=[count, before])
        latencies.append(page.evaluate(f"sought => ({answer})(sought).startTime - window.lrx.key", [count, before]))
    return latencies


def summary(latencies: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest of some latencies."""
    ordered = sorted(latencies)
    return {
        "median_ms": ordered[len(ordered) // 2],
        "p95_ms": ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)],
        "max_ms": ordered[-1],
    }
