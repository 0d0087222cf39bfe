"""The training tab in a real JupyterLab: a real tiny run started by hand, watched until it is done."""

import base64
import json

import pytest
from browser.accessibility import violations

pytestmark = pytest.mark.browser

START_S = 120_000
POINTS = "id => document.querySelector(`[data-plot-id=${id}]`)?.data?.at(-1)?.x?.length ?? 0"
CELLS = [
    "import lrexplore as lr\nfrom explorer.recorded import record\n"
    "for initializer in ('function', 'spectral'):\n"
    "    for seed in (0, 1):\n"
    "        record(lr_folder / f'{initializer}-{seed}', initializer=initializer, seed=seed)",
    "explorer = lr.explore('resnet20', rank_scale=0.1)\nexplorer",
    "explorer.state.tab = 'Training'\ntab = explorer.page('Training').tab\ntab.state.folder = str(lr_folder)",
]


@pytest.fixture(scope="module")
def notebook(watched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    first = f"import pathlib\nlr_folder = pathlib.Path({str(folder)!r})\n{CELLS[0]}"
    opened = watched("training", [first, *CELLS[1:]], "tab.panel", "explorer.panel")
    opened.page.wait_for_function(f"() => ({POINTS})('steps') > 0")
    return opened


def box(page, name):
    return page.get_by_role("checkbox", name=f"Compare {name}", exact=True)


def names(page):
    """Names of the curves in the first plot."""
    return page.evaluate("() => document.querySelector('[data-plot-id=steps]').data.map(trace => trace.name)")


def test_runs_are_compared_by_their_check_boxes(notebook):
    page = notebook.page
    assert box(page, "spectral-0").is_checked()
    box(page, "spectral-0").uncheck()
    notebook.wait_for_value("'spectral-0' in tab.state.checked", False)
    page.wait_for_function(
        "() => document.querySelector('[data-plot-id=steps]').data.every(trace => trace.name !== 'spectral (2 seeds)')"
    )
    everything = page.get_by_role("checkbox", name="Compare all runs shown")
    assert everything.evaluate("node => node.indeterminate")
    everything.check()
    notebook.wait_for_value("len(tab.state.checked)", 4)
    page.wait_for_function(
        "() => document.querySelector('[data-plot-id=steps]').data.some(trace => trace.name === 'spectral (2 seeds)')"
    )


def test_the_search_box_filters_runs_and_the_box_above_checks_those_shown(notebook):
    page = notebook.page
    search = page.get_by_role("searchbox", name="Search runs in")
    search.fill("function")
    assert page.locator("tr[data-name]:visible", has=page.locator(".lrx-check")).count() == 2
    everything = page.get_by_role("checkbox", name="Compare all runs shown")
    everything.uncheck()
    notebook.wait_for_value("tab.state.checked", ["spectral-0", "spectral-1"])
    everything.check()
    notebook.wait_for_value("len(tab.state.checked)", 4)
    search.fill("")


def test_one_legend_hides_a_curve_in_every_plot(notebook):
    page = notebook.page
    entry = page.get_by_role("button", name="spectral (2 seeds)")
    assert entry.count() == 1
    entry.click()
    hidden = (
        "() => [...document.querySelectorAll('[data-plot-id=steps], [data-plot-id=frobenius_norm]')].every(node =>"
        " node.data.filter(trace => trace.legendgroup === 'spectral (2 seeds)').every(trace => trace.opacity === 0))"
    )
    page.wait_for_function(hidden)
    entry.click()
    page.wait_for_function(f"() => !({hidden})()")


def test_the_slider_smooths_by_keyboard(notebook):
    page = notebook.page
    page.get_by_role("slider", name="smoothing").press("Home")
    notebook.wait_for_value("tab.state.smoothing", 0.0)
    page.get_by_role("button", name="0.9").click()
    notebook.wait_for_value("tab.state.smoothing", 0.9)


def test_a_picker_makes_a_heat_map_of_all_layers_of_the_selected_run(notebook):
    page = notebook.page
    page.locator("tr[data-name='spectral-1'] .lrx-name").click()
    notebook.wait_for_value("tab.state.selected", "spectral-1")
    page.get_by_label("layer", exact=True).select_option("every layer of the selected run")
    page.wait_for_function("() => document.querySelector('[data-plot-id=nuclear_norm]').data[0].type === 'heatmap'")
    low, high = page.locator("[data-plot-id=nuclear_norm]").evaluate("node => node._fullLayout.yaxis.range")
    assert low > high, "the first layer is on top, as the caption says"
    page.get_by_label("layer", exact=True).select_option("median of all layers")
    page.wait_for_function("() => document.querySelector('[data-plot-id=nuclear_norm]').data[0].type === 'scatter'")


def test_a_zoom_stays_while_its_axis_means_the_same_and_no_longer(notebook):
    page = notebook.page
    plot = page.locator("[data-plot-id=steps]")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    page.mouse.up()
    ranges = "node => [node._fullLayout.xaxis.range, node._fullLayout.yaxis.range]"
    page.wait_for_function("() => !document.querySelector('[data-plot-id=steps]')._fullLayout.xaxis.autorange")
    zoomed = plot.evaluate(ranges)
    title = "title => document.querySelector('[data-plot-id=steps]')._fullLayout.xaxis.title.text === title"
    page.get_by_label("each step", exact=True).select_option("training top-1")
    page.wait_for_function("() => document.querySelector('[data-plot-id=steps]')._fullLayout.yaxis.autorange")
    assert plot.evaluate(ranges)[0] == zoomed[0]
    page.get_by_label("over", exact=True).select_option("epoch")
    page.wait_for_function(title, arg="epoch")
    low, high = plot.evaluate(ranges)[0]
    assert low < 1 < high < 3, "two epochs, no longer the steps zoomed to"
    page.get_by_label("over", exact=True).select_option("step")
    page.get_by_label("each step", exact=True).select_option("training loss")
    page.wait_for_function(title, arg="step")


def test_a_run_started_here_sends_its_points_and_is_done(notebook):
    page = notebook.page
    page.get_by_role("button", name="new run").click()
    page.get_by_label("in", exact=True).select_option("steps")
    page.get_by_label("length", exact=True).fill("6")
    page.get_by_label("length", exact=True).press("Tab")
    page.get_by_label("seed", exact=True).fill("7")
    page.get_by_label("seed", exact=True).press("Tab")
    page.get_by_label("name", exact=True).fill("live")
    page.get_by_label("name", exact=True).press("Tab")
    notebook.wait_for_value("[tab.form.choices()[name] for name in ('steps', 'seed', 'name')]", [6, 7, "live"])
    notebook.kernel_value("setattr(tab.state, 'grouping', 'single runs')")
    page.get_by_role("button", name="start run").click()
    page.wait_for_function(
        "() => document.querySelector('[data-plot-id=steps]').data.some(trace => trace.name.includes('seed 7')"
        " && trace.x.length === 6)",
        timeout=START_S,
    )
    row = "state => document.querySelector(\"tr[data-name='live']\").dataset.state === state"
    page.wait_for_function(row, arg="done", timeout=START_S)
    assert notebook.kernel_value("tab.runs['live'].status['step']") == 6
    assert notebook.kernel_value("tab.state.selected") == "live"
    assert box(page, "live").is_checked()
    assert page.locator("tr[data-name='live']").get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_tab(notebook, theme):
    notebook.set_theme(theme)
    notebook.page.wait_for_function(
        "() => [...document.querySelectorAll('.lrx-spoken')].at(-1).textContent.startsWith('Training')"
    )
    assert violations(notebook.page, ".jp-OutputArea-output:has(.lrx)") == []
    notebook.set_theme("light")


def test_a_saved_notebook_holds_a_picture_of_the_runs(open_notebook, lab):
    cell = "import pathlib, lrexplore as lr\nfrom explorer.recorded import record\nfolder = pathlib.Path('kept-runs')"
    opened = open_notebook("kept-runs", [f"{cell}\nrecord(folder / 'a')\nlr.watch(folder)"])
    opened.run_all()
    opened.page.wait_for_function(f"() => ({POINTS})('steps') > 0")
    opened.close()
    view, still = json.loads((lab.folder / "kept-runs.ipynb").read_text(encoding="utf-8"))["cells"][0]["outputs"]
    assert base64.b64decode(still["data"]["image/png"]).startswith(b"\x89PNG")
    assert {"".join(output["data"]["text/plain"]) for output in (view, still)} == {"Training runs in kept-runs: 1"}


def test_a_page_of_the_runs_needs_no_kernel(notebook, quiet, tmp_path):
    path = tmp_path / "runs.html"
    notebook.kernel_value(f"str(tab.to_html({str(path)!r}))")
    page = quiet.context.new_page()
    page.goto(path.as_uri())
    page.wait_for_function(f"() => ({POINTS})('steps') > 0")
    assert page.get_by_role("slider").count() == 0
    assert page.get_by_role("checkbox").count() == 0
    assert page.locator("tr[data-name]:visible").count() == len(notebook.kernel_value("tab.state.checked"))
    page.locator("tr[data-name]").first.click()
    assert violations(page) == []
    page.close()
