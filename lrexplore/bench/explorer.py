"""`lrexplore bench explorer`: how fast the explorer of ResNet-50 answers, in a real JupyterLab and Chromium."""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lrexplore.bench.jupyterlab import Browser, Lab, Notebook, chromium, jupyter_lab
from lrexplore.bench.repaints import (
    MARKS,
    budget_latencies,
    exact_row_latencies,
    kernel_rank_latencies,
    layer_latency,
    slider_latencies,
    summary,
)
from lrexplore.cli import lab_environment
from lrexplore.disk.whole_file import write_whole

MODEL = "resnet50"
LAYER = "layer3.2.conv2"
NEW_LAYERS = ("layer1.0.conv2", "layer2.0.conv2", "layer3.0.conv1", "layer4.0.conv2", "layer4.0.downsample.0", "fc")
ERROR = '[data-mime-type="application/vnd.jupyter.stderr"]'
WARM_UP = 5
SLEEP_S = 60


@dataclass(frozen=True)
class Measure:
    """One number, its unit, and the bar it should not pass."""

    what: str
    value: float
    unit: str
    bar: float | None = None

    @property
    def line(self) -> str:
        """The measure as a line of the table."""
        bar = "" if self.bar is None else f"{self.bar:>12,.0f}"
        verdict = "" if self.bar is None else "ok" if self.value <= self.bar else "ABOVE"
        digits = 0 if self.value >= 100 or self.unit == "requests" else 1
        return f"{self.what:<58}{self.value:>12,.{digits}f} {self.unit:<9}{bar:>12}  {verdict}".rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 once everything is measured and printed, whatever the numbers are."""
    parser = argparse.ArgumentParser("lrexplore bench explorer", description=__doc__)
    parser.add_argument("--steps", type=int, default=100, help="presses of an arrow key a measurement (100)")
    parser.add_argument("--tab", choices=["layer", "network"], help="measure this tab alone (both)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    options = parser.parse_args(arguments)
    before, measures = os.getloadavg(), []
    print(f"{MODEL} in JupyterLab, headless Chromium, {os.cpu_count()} CPU cores, {platform.machine()}")
    print(f"load average (1 min) {before[0]:.2f} before; what else runs counts in")
    print(f"\n{'':<58}{'measured':>12} {'':<9}{'bar':>12}")
    with tempfile.TemporaryDirectory(prefix="lrexplore-bench-") as folder:
        for item in measure(Path(folder), options.steps, options.tab):
            measures.append(item)
            print(item.line, flush=True)
    print(f"load average (1 min) {os.getloadavg()[0]:.2f} after")
    if options.json:
        report = {"load_before": before, "load_after": os.getloadavg(), "measures": [asdict(item) for item in measures]}
        write_whole(options.json, json.dumps(report, indent=2), name="--json")
    return 0


def measure(folder: Path, num_steps: int, tab: str | None = None) -> Iterator[Measure]:
    """The measures as they come, of both tabs or of one, from one notebook that is opened in `folder`."""
    cells = ["import torch, lrexplore as lr", f"explorer = lr.explore({MODEL!r})\nexplorer"]
    _write_notebook(folder / "bench.ipynb", cells)
    package = Path(__file__).resolve().parents[2]
    search = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": search, **lab_environment()}
    with jupyter_lab(folder, environment=environment) as lab, chromium() as browser:
        notebook, shown = _first_display(lab, browser)
        yield from shown
        for part in {"layer": (_slider, _kernel, _layers), "network": (_network,), None: _ALL}[tab]:
            yield from part(notebook, num_steps)
        yield Measure("requests to anywhere else", len(browser.outside), "requests", 0)
        pages = "" if tab == "layer" else " or explorer.page('Network').panel.error"
        error = notebook.kernel_value(f"explorer.panel.error{pages}")
        if error:
            raise RuntimeError(f"The explorer's error areas must stay empty, got: {error}")
        notebook.page.close()


def _write_notebook(path: Path, cells: list[str]) -> None:
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def _first_display(lab: Lab, browser: Browser) -> tuple[Notebook, list[Measure]]:
    notebook = browser.open(lab, "bench.ipynb")
    page = notebook.page
    run = "window.jupyterapp.commands.execute('notebook:run-cell-and-select-next').then(() => performance.now())"
    page.evaluate(run)
    before = len(notebook.received)
    started = page.evaluate("performance.now()")
    page.evaluate(f"() => {{ {run}; }}")
    page.wait_for_function(f"{MARKS}.length > 0 || document.querySelector('{ERROR}')")
    if errors := notebook.errors():
        raise RuntimeError(f"`explorer` must come on screen without an error, got:\n{errors[-1]}")
    first_ms = page.evaluate(f"{MARKS}[0].startTime") - started
    num_bytes = sum(notebook.received[before:])
    notebook.kernel_value("explorer.wait(120)")
    return notebook, [
        Measure("running the cell to first plots", first_ms, "ms", 5000),
        Measure("received until then, pictures and JupyterLab's own included", num_bytes, "bytes", 2_000_000),
        Measure("received until the first layer's curves are complete", sum(notebook.received[before:]), "bytes"),
    ]


def _slider(notebook: Notebook, num_steps: int) -> list[Measure]:
    page = notebook.page
    layer_latency(page, LAYER)
    notebook.kernel_value("explorer.wait(120)")
    measures = []
    for when in ("", ", while a cell sleeps"):
        if when:
            page.evaluate(
                "seconds => { window.sleeping = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
                ".requestExecute({code: `import time; time.sleep(${seconds})`}).done"
                ".then(() => { window.sleeping = null; }); }",
                SLEEP_S,
            )
        latencies = slider_latencies(page, num_steps=WARM_UP + num_steps)[WARM_UP:]
        if when and page.evaluate("window.sleeping === null"):
            raise RuntimeError(f"`--steps` must be done within {SLEEP_S} s, {num_steps} took longer. Ask for fewer.")
        times = summary(latencies)
        measures.append(Measure(f"slider key to painted plots, median{when}", times["median_ms"], "ms", 40))
        measures.append(Measure(f"slider key to painted plots, p95{when}", times["p95_ms"], "ms", 70))
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt().then(() => null)"
    )
    page.wait_for_function("() => window.sleeping === null")
    return measures


def _kernel(notebook: Notebook, num_steps: int) -> list[Measure]:
    notebook.kernel_value("explorer.wait(120)")
    most = notebook.kernel_value("explorer.state.max_rank")
    ranks = [1 + (37 * step) % most for step in range(1, WARM_UP + num_steps + 1)]
    through = summary(kernel_rank_latencies(notebook.page, "explorer", ranks)[WARM_UP:])
    notebook.kernel_value("[setattr(explorer.state, 'rank', explorer.state.max_rank - 20), explorer.wait(120)]")
    notebook.page.wait_for_function(f"rank => {MARKS}.at(-1).detail.rank === rank", arg=most - 20)
    exact = summary(exact_row_latencies(notebook, "explorer", num_steps=max(num_steps // 2, 1)))
    return [
        Measure("rank set in the kernel to painted plots, median", through["median_ms"], "ms"),
        Measure("rank set in the kernel to painted plots, p95", through["p95_ms"], "ms", 130),
        Measure("slider key to exact neurons of a rank not sent, median", exact["median_ms"], "ms"),
        Measure("slider key to exact neurons of a rank not sent, p95", exact["p95_ms"], "ms", 130),
    ]


def _layers(notebook: Notebook, num_steps: int) -> list[Measure]:
    page = notebook.page
    new = {}
    for name in NEW_LAYERS:
        new[name] = layer_latency(page, name)
        notebook.kernel_value("explorer.wait(20)")
    seen = [layer_latency(page, NEW_LAYERS[i % len(NEW_LAYERS)]) for i in range(max(num_steps // 3, len(NEW_LAYERS)))]
    times = summary(seen)
    return [
        Measure(f"a new layer, {name}, to its first curves", latency, "ms", 1000) for name, latency in new.items()
    ] + [
        Measure("a layer seen before, median", times["median_ms"], "ms"),
        Measure("a layer seen before, p95", times["p95_ms"], "ms", 200),
    ]


def _network(notebook: Notebook, num_steps: int) -> list[Measure]:
    page = notebook.page
    started = page.evaluate("performance.now()")
    page.locator(".jupyter-widget-tab").get_by_role("tab", name="Network", exact=True).click()
    page.wait_for_function("() => document.querySelector('[data-plot-id=ranks] .main-svg')", timeout=300_000)
    shown_ms = page.evaluate("performance.now()") - started
    notebook.kernel_value("explorer.page('Network').wait(300)")
    notebook.kernel_value("[setattr(explorer.page('Network').state, 'ratio', 0.95), explorer.page('Network').wait(60)]")
    page.wait_for_function(f"() => {MARKS}.at(-1).detail.value === 0.95")
    before = len(notebook.received)
    times = summary(budget_latencies(page, num_steps=WARM_UP + num_steps)[WARM_UP:])
    num_bytes = sum(notebook.received[before:]) / (WARM_UP + num_steps)
    return [
        Measure("Network tab opened to the first plan, curves included", shown_ms, "ms"),
        Measure("budget key to repainted bars, median", times["median_ms"], "ms"),
        Measure("budget key to repainted bars, p95", times["p95_ms"], "ms", 150),
        Measure("received a budget step", num_bytes, "bytes"),
    ]


_ALL = (_slider, _kernel, _layers, _network)
