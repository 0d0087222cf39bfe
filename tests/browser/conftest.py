"""One JupyterLab and one Chromium for all browser tests of a run. A missing Chromium is a failure, with its cure."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from browser.demo import demo_frame, demo_table

from lrexplore.bench.jupyterlab import Browser, Lab, Notebook, chromium, jupyter_lab
from lrexplore.explorer.panel.export import to_html

TESTS = Path(__file__).parents[1]
FIRST = demo_table()["rows"][0]["name"]
PAINTED = "rank => performance.getEntriesByName('lrexplore:painted').at(-1)?.detail.rank === rank"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on an empty folder; its kernels import lrexplore and the tests' own modules."""
    search = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    keep_widgets = {"@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True}}
    folder = tmp_path_factory.mktemp("notebooks")
    with jupyter_lab(folder, environment={"PYTHONPATH": search}, settings=keep_widgets) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium, cut off from the outside."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def open_notebook(lab: Lab, browser: Browser) -> Callable[..., Notebook]:
    """A function: (name, list of cell sources) -> the notebook, opened in JupyterLab with its kernel ready."""

    def open_cells(name: str, cells: list[str], *, theme: str = "light") -> Notebook:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, lab.folder / f"{name}.ipynb")
        return browser.open(lab, f"{name}.ipynb", theme=theme)

    return open_cells


@pytest.fixture(scope="module")
def quiet(browser: Browser) -> Iterator[Browser]:
    """The browser; at the end of the module no page has asked for anything outside or written an error."""
    outside, console = len(browser.outside), len(browser.console)
    yield browser
    assert browser.outside[outside:] == []
    assert [line for line in browser.console[console:] if line.startswith("error")] == []


@pytest.fixture(scope="module")
def watched(open_notebook: Callable[..., Notebook], quiet: Browser) -> Iterator[Callable[..., Notebook]]:
    """A function: (name, cell sources, panels) -> the notebook, its cells run.

    At the end of the module its cells have raised nothing and the error areas of its panels (expressions) are empty.
    """
    opened = []

    def open_watched(name: str, cells: list[str], *panels: str) -> Notebook:
        notebook = open_notebook(name, cells)
        opened.append((notebook, panels))
        notebook.run_all()
        return notebook

    yield open_watched
    for notebook, panels in opened:
        assert notebook.kernel_value(f"[{', '.join(f'{panel}.error' for panel in panels)}]") == [""] * len(panels)
        assert notebook.errors() == []
        notebook.close()


@pytest.fixture
def open_panel(quiet: Browser, tmp_path: Path) -> Iterator[Callable]:
    """A function: (frame, rank) -> a page that shows the frame, all of the page's plots drawn."""
    pages = []

    def opened(frame=None, *, rank=16, frames=None, table=None):
        frame = frame or demo_frame(FIRST)
        state = {"table": table or demo_table(), "layer": FIRST, "rank": rank, "frame": frame}
        path = to_html(state, tmp_path / "panel.html", "demo", frames=frames)
        page = quiet.context.new_page()
        pages.append(page)
        page.goto(path.as_uri())
        page.wait_for_function(PAINTED, arg=min(rank, frame["max_rank"]))
        return page

    yield opened
    for page in pages:
        page.close()
