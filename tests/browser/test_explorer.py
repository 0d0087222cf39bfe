"""The explorer of ResNet-50 in a real JupyterLab, used as a person would: by mouse, by keyboard, from cells."""

import json
from pathlib import Path

import nbformat
import pytest
from browser.accessibility import violations

pytestmark = pytest.mark.browser

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01-explorer.ipynb"
LAYER, OTHER = "layer2.0.conv1", "layer3.2.conv2"
PAINTED = "rank => performance.getEntriesByName('lrexplore:painted').at(-1)?.detail.rank === rank"
TITLE = "name => document.querySelector('.lrx-title')?.textContent.startsWith(name + ' ')"
NEURONS = "Array.from(document.querySelector('[data-plot-id=neurons]').data.at(-1).y)"
SLIDER, BOX = ".lrx-slider", ".lrx-box"
TABLE = "lrexplore.explorer.layer.layer_table"
CELLS = """() => {
    const {activeCellIndex, mode, widgets} = window.jupyterapp.shell.currentWidget.content;
    return [activeCellIndex, mode, widgets.map(({model}) => model.type)];
}"""
PLAIN = {"initializer": "function", "scheme": "channel", "layer": LAYER, "rank": 32}


def first_cell() -> str:
    """The cell that the first notebook begins with."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    return next(cell.source for cell in cells if cell.cell_type == "code")


@pytest.fixture(scope="module")
def notebook(watched):
    opened = watched("first", [first_cell()], "explorer.panel")
    opened.page.wait_for_function(TITLE, arg="conv1")
    return opened


@pytest.fixture
def shown(notebook):
    """The notebook with LAYER on screen at rank 32, its curves complete."""
    notebook.kernel_value(f"[setattr(explorer.state, name, value) for name, value in {PLAIN}.items()]")
    assert notebook.kernel_value("explorer.wait(400)")
    notebook.page.wait_for_function(TITLE, arg=LAYER)
    notebook.page.wait_for_function(f"() => document.querySelector('{SLIDER}').value === '32'")
    wait_for_neurons(notebook)
    return notebook


def wait_for_neurons(notebook):
    """Wait until the neurons on screen are the kernel's at exactly this rank (two bytes a number came)."""
    row = "explorer.layer_tab.study().row(explorer.state.initializer, explorer.state.rank)"
    wanted = notebook.kernel_value(f"{row}[0].tolist()")
    same = f"wanted => {{ const shown = {NEURONS};"
    same += " return shown.length === wanted.length && shown.every((value, i) => Math.abs(value - wanted[i]) < 1e-3); }"
    notebook.page.wait_for_function(same, arg=wanted)


def readout(page, name):
    return page.locator(f"[data-readout-id={name}] .lrx-value").inner_text()


def row(page, name):
    return page.locator(f"tr[data-name='{name}']")


def test_a_layer_is_found_by_search_and_chosen_by_a_click(shown):
    page = shown.page
    page.get_by_role("searchbox", name="Search layers").fill("layer3.2.conv")
    assert page.locator(".lrx-layers tbody tr:visible").count() == 3
    row(page, OTHER).click()
    page.wait_for_function(TITLE, arg=OTHER)
    shown.wait_for_value("explorer.state.layer", OTHER)
    assert row(page, OTHER).get_attribute("aria-selected") == "true"
    assert page.locator(BOX).input_value() == str(shown.kernel_value("explorer.state.rank"))
    page.get_by_role("searchbox", name="Search layers").fill("")
    wait_for_neurons(shown)


def test_a_layer_is_chosen_by_keyboard_alone(shown):
    page = shown.page
    search = page.get_by_role("searchbox", name="Search layers")
    search.fill(OTHER)
    search.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function(TITLE, arg=OTHER)
    shown.wait_for_value("explorer.state.layer", OTHER)
    search.fill("")


def test_stable_ranks_that_come_later_leave_focus_order_and_search_alone(shown):
    page = shown.page
    page.get_by_role("searchbox", name="Search layers").fill("layer2.0")
    page.get_by_role("button", name="params").click()
    order = "() => [...document.querySelectorAll('.lrx-layers tbody tr:not([hidden])')].map((row) => row.dataset.name)"
    before = page.evaluate(order)
    row(page, LAYER).focus()
    number = "name => /^[0-9]+$/.test(document.querySelector(`tr[data-name='${name}'] td:nth-child(4)`).textContent)"
    page.wait_for_function(number, arg=LAYER)
    shown.kernel_value(
        "setattr(explorer.panel, 'table', {**explorer.panel.table, 'rows': "
        "[{**row, 'stable_rank': '…'} for row in explorer.panel.table['rows']]})"
    )
    page.wait_for_function(
        "name => document.querySelector(`tr[data-name='${name}'] td:nth-child(4)`).textContent === '…'", arg=LAYER
    )
    assert page.evaluate("document.activeElement.dataset.name") == LAYER
    assert page.evaluate(order) == before
    made = f"__import__('importlib').import_module('{TABLE}').layer_table(explorer.subject)"
    shown.kernel_value(f"setattr(explorer.panel, 'table', {made})")
    page.wait_for_function(
        "name => document.querySelector(`tr[data-name='${name}'] td:nth-child(4)`).textContent !== '…'", arg=LAYER
    )
    page.get_by_role("searchbox", name="Search layers").fill("")


def test_an_arrow_key_moves_rank_plots_readouts_and_kernel(shown):
    page = shown.page
    before, cost = page.evaluate(NEURONS), readout(page, "parameters")
    page.locator(SLIDER).press("ArrowRight")
    page.wait_for_function(PAINTED, arg=33)
    shown.wait_for_value("explorer.state.rank", 33)
    wait_for_neurons(shown)
    assert page.evaluate(NEURONS) != before
    assert float(readout(page, "parameters").split()[0]) > float(cost.split()[0])
    assert shown.kernel_value("explorer.factors().rank") == 33
    assert page.locator("[data-plot-id=error] + .lrx-picture .lrx-flag").inner_text() == "rank 33"


def test_the_readout_of_the_function_error_is_that_of_the_table(shown):
    shown.page.locator(SLIDER).press("ArrowLeft")
    shown.wait_for_value("explorer.state.rank", 31)
    assert shown.kernel_value("explorer.wait(400)")
    expected = shown.kernel_value(
        "float(explorer.table().set_index(['initializer', 'rank']).function_error['function', 31])"
    )
    exact = "() => !document.querySelector('[data-readout-id=function_error] .lrx-value').textContent.includes('≈')"
    shown.page.wait_for_function(exact)
    assert float(readout(shown.page, "function_error").split()[0]) == pytest.approx(expected, rel=5e-3)


def test_the_rank_is_dragged_by_mouse(shown):
    page = shown.page
    box = page.locator(SLIDER).bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 31.5 / 127 * box["width"], y)
    page.mouse.down()
    for part in (0.4, 0.5, 0.6, 0.75):
        page.mouse.move(box["x"] + part * box["width"], y)
    page.mouse.up()
    rank = int(page.locator(SLIDER).input_value())
    assert 85 < rank < 105
    page.wait_for_function(PAINTED, arg=rank)
    shown.wait_for_value("explorer.state.rank", rank)


def test_a_click_on_the_error_plot_sets_the_rank(shown):
    page = shown.page
    plot = page.locator("[data-plot-id=error]")
    plot.scroll_into_view_if_needed()
    x = plot.evaluate("node => node._fullLayout.xaxis._offset + node._fullLayout.xaxis.d2p(64)")
    plot.click(position={"x": x, "y": 120})
    page.wait_for_function(PAINTED, arg=64)
    shown.wait_for_value("explorer.state.rank", 64)


@pytest.mark.parametrize(
    ("label", "trait", "value"),
    [
        ("initializer", "initializer", "rescaled"),
        ("scheme", "scheme", "spatial"),
        ("followed by", "activation", "gelu"),
    ],
)
def test_a_picker_changes_state_and_plots(shown, label, trait, value):
    page = shown.page
    if trait == "scheme":
        row(page, OTHER).click()
        page.wait_for_function(TITLE, arg=OTHER)
    curves = "() => Array.from(document.querySelector('[data-plot-id=error]').data.flatMap((trace) => [...trace.y]))"
    before = page.evaluate(NEURONS), page.evaluate(curves)
    page.get_by_label(label, exact=True).select_option(value)
    shown.wait_for_value(f"explorer.state.{trait}", value)
    assert shown.kernel_value("explorer.wait(400)")
    wait_for_neurons(shown)
    assert (page.evaluate(NEURONS), page.evaluate(curves)) != before
    name = shown.kernel_value("explorer.state.initializer")
    assert page.locator("[data-plot-id=neurons]").evaluate("node => node.data.at(-1).name") == name


def test_letters_and_arrows_choose_in_a_picker_and_leave_the_cells_alone(shown):
    page = shown.page
    before = page.evaluate(CELLS)
    assert before[1] == "command"
    picker = page.get_by_label("initializer", exact=True)
    picker.press("r")
    shown.wait_for_value("explorer.state.initializer", "rescaled")
    picker.press("ArrowUp")
    shown.wait_for_value("explorer.state.initializer", "spectral")
    for key in ("x", "v", "ArrowRight", "Escape"):
        picker.press(key)
    page.get_by_role("tab", name="Layer").press("b")
    page.get_by_label("batch norm first").press("a")
    assert page.evaluate(CELLS) == before


@pytest.mark.parametrize("place", [SLIDER, ".widget-dropdown select"])
def test_a_chord_typed_in_the_explorer_still_saves_the_notebook(shown, place):
    dirty = "window.jupyterapp.shell.currentWidget.context.model.dirty"
    shown.page.evaluate(f"() => {{ {dirty} = true; }}")
    shown.page.locator(place).first.press("Control+s")
    shown.page.wait_for_function(f"() => {dirty} === false")


def test_a_rank_set_in_a_cell_moves_the_slider(shown):
    shown.kernel_value("[setattr(explorer.state, 'rank', 5)]")
    shown.page.wait_for_function(PAINTED, arg=5)
    assert shown.page.locator(SLIDER).input_value() == "5"
    wait_for_neurons(shown)


def test_a_value_out_of_range_is_refused_in_the_cell_and_nothing_moves(shown):
    with pytest.raises(RuntimeError, match=r"TraitError: `rank` must lie in 1\.\.128"):
        shown.kernel_value("setattr(explorer.state, 'rank', 500)")
    assert shown.kernel_value("explorer.state.rank") == 32
    assert shown.page.locator(SLIDER).input_value() == "32"


def test_the_slider_draws_while_a_cell_runs(shown):
    page = shown.page
    page.evaluate(
        "() => { window.sleeping = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({code: 'import time; time.sleep(3)'}).done.then(() => { window.sleeping = null; }); }"
    )
    page.locator(SLIDER).press("Home")
    page.wait_for_function(PAINTED, arg=1)
    assert page.evaluate("() => window.sleeping !== null")
    page.wait_for_function("() => window.sleeping === null")
    shown.wait_for_value("explorer.state.rank", 1)
    wait_for_neurons(shown)


def test_long_work_says_how_far_it_is_and_can_be_cancelled(shown):
    page = shown.page
    row(page, "layer4.0.conv2").click()
    cancel = page.get_by_role("button", name="cancel")
    cancel.wait_for(state="visible")
    page.locator(".lrx-status-text", has_text=" of ").wait_for()
    cancel.click()
    cancel.wait_for(state="hidden")
    shown.wait_for_value("explorer.state.progress", 1.0)
    page.locator(".lrx-status-text", has_text="cancelled").wait_for()
    go_on = page.get_by_role("button", name="go on")
    go_on.wait_for()
    known = shown.kernel_value("len(explorer.layer_tab.study().curve('function').ranks)")
    go_on.click()
    go_on.wait_for(state="hidden")
    shown.wait_for_value(f"len(explorer.layer_tab.study().curve('function').ranks) > {known}", True)
    cancel.click()


def test_on_a_laptop_rank_readouts_and_two_plots_are_seen_together(shown):
    page = shown.page
    page.set_viewport_size({"width": 1280, "height": 800})
    note = page.locator(".lrx-note").first
    note.wait_for(state="hidden")
    page.wait_for_function("() => document.querySelector('[data-plot-id=error]').clientHeight < 250")
    page.evaluate("() => document.querySelector('.jupyter-widget-tab').scrollIntoView({block: 'start'})")
    seen = page.locator(".jp-WindowedPanel-outer").first.bounding_box()
    parts = [
        SLIDER,
        *(f"[data-readout-id={name}] .lrx-value" for name in ("function_error", "saved", "parameters", "time")),
    ]
    for part in (*parts, "[data-plot-id=error]", "[data-plot-id=gain]", f"tr[data-name='{LAYER}']"):
        box = page.locator(part).bounding_box()
        assert seen["y"] - 1 <= box["y"] and box["y"] + box["height"] <= seen["y"] + seen["height"] + 1, part
        assert seen["x"] <= box["x"] and box["x"] + box["width"] <= seen["x"] + seen["width"], part
    page.get_by_role("button", name="What the numbers mean").click()
    assert note.is_visible()
    page.set_viewport_size({"width": 1400, "height": 1000})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_explorer(shown, theme):
    shown.set_theme(theme)
    shown.page.wait_for_function("() => document.querySelector('.lrx-spoken').textContent !== ''")
    assert violations(shown.page, ".jp-OutputArea-output:has(.lrx)") == []
    shown.set_theme("light")


def test_a_saved_notebook_holds_a_picture_and_moves_without_a_kernel(open_notebook, lab, browser):
    first = open_notebook("kept", [first_cell(), "explorer.wait(400)"])
    first.run_all()
    first.page.wait_for_function(TITLE, arg="conv1")
    still = first.page.locator(".lrx-still")
    still.wait_for(state="attached")
    assert not still.is_visible(), "while the widget lives"
    complete = first.kernel_value("__import__('base64').b64encode(explorer.layer_tab.picture()).decode()")
    first.page.wait_for_function("png => document.querySelector('.lrx-still').src.endsWith(png)", arg=complete)
    first.close()
    view, still = json.loads((lab.folder / "kept.ipynb").read_text(encoding="utf-8"))["cells"][0]["outputs"]
    assert "application/vnd.jupyter.widget-view+json" in view["data"]
    assert still["data"]["image/png"].replace("\n", "") == complete
    assert {"text/html", "text/plain"} <= set(still["data"])
    again = browser.open(lab, "kept.ipynb")
    again.page.wait_for_function(PAINTED, arg=16)
    before = again.page.evaluate(NEURONS)
    again.page.locator(SLIDER).press("ArrowRight")
    again.page.wait_for_function(PAINTED, arg=17)
    assert again.page.evaluate(NEURONS) != before
    again.page.close()


def test_an_unknown_network_is_refused_in_its_cell_with_the_nearest_names(open_notebook):
    notebook = open_notebook("unknown", ['import lrexplore as lr\nlr.explore("resnet5")'])
    notebook.run_all()
    notebook.page.get_by_text("Nearest: resnet50").first.wait_for()
    (text,) = notebook.errors()
    assert "ValueError" in text
    assert "got 'resnet5'" in text
    notebook.close()
