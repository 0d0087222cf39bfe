"""The panel in a real JupyterLab: what the person does reaches the kernel, and what the kernel sends is drawn."""

import numpy as np
import pytest
from browser.demo import demo_frame, demo_table

from lrexplore.explorer.panel.arrays import unpack

pytestmark = pytest.mark.browser

NAMES = [row["name"] for row in demo_table()["rows"][:3]]
SETUP = f"""
import time
import numpy as np
from browser.demo import demo_frame, demo_table
from lrexplore.explorer.panel.panel import PlotPanel

panel = PlotPanel(table=demo_table())
frames = {{name: demo_frame(name, seed=seed) for seed, name in enumerate({NAMES})}}
panel.observe(lambda change: panel.show(frames[change.new]) if change.new in frames else None, "layer")
cancelled = []
panel.on_cancel(lambda: cancelled.append(True))
panel.show(frames["{NAMES[0]}"], layer="{NAMES[0]}", rank=16)
panel
"""
PAINTED = "rank => performance.getEntriesByName('lrexplore:painted').at(-1)?.detail.rank === rank"
TRACE = "([view, id]) => Array.from(document.querySelectorAll(`[data-plot-id=${id}]`)[view]?.data?.[0].y ?? [])"


@pytest.fixture(scope="module")
def notebook(watched):
    opened = watched("panel", [SETUP, "panel"], "panel")
    opened.page.wait_for_function("() => document.querySelectorAll('[data-plot-id=curves] .main-svg').length >= 2")
    return opened


@pytest.fixture
def panel(notebook):
    """The notebook with its panel as it was when first shown."""
    notebook.kernel_value(f"[panel.show(frames['{NAMES[0]}'], layer='{NAMES[0]}', rank=16)]")
    notebook.page.wait_for_function(f"() => document.querySelector('.lrx-title').textContent.startsWith('{NAMES[0]}')")
    return notebook


def wait_for_trace(notebook, values, *, plot="neurons", view=0):
    """Wait until a plot's first trace has these values (they are compared as float32)."""
    wanted = np.asarray(values, dtype=np.float32).tolist()
    same = f"([view, id, wanted]) => {{ const y = ({TRACE})([view, id]);"
    same += " return y.length === wanted.length && y.every((value, i) => Math.abs(value - wanted[i]) < 1e-6); }"
    notebook.page.wait_for_function(same, arg=[view, plot, wanted])


def neurons(seed, rank):
    return unpack(demo_frame(NAMES[seed], seed=seed)["plots"][2]["by_rank"][0]["values"])[rank - 1]


def test_the_kernel_learns_the_rank_that_an_arrow_key_set(panel):
    panel.page.locator(".lrx-slider").first.press("ArrowRight")
    panel.wait_for_value("panel.rank", 17)
    wait_for_trace(panel, neurons(0, 17))


def test_every_view_of_the_panel_shows_the_same_rank(panel):
    panel.page.locator(".lrx-slider").first.press("End")
    wait_for_trace(panel, neurons(0, 64), view=1)
    assert panel.page.locator(".lrx-slider").nth(1).input_value() == "64"


def test_a_layer_chosen_in_the_table_is_drawn_by_the_kernel(panel):
    panel.page.locator(f"tr[data-name='{NAMES[1]}']").first.click()
    wait_for_trace(panel, neurons(1, 16))
    assert panel.kernel_value("panel.layer") == NAMES[1]
    assert panel.page.locator("tr[aria-selected=true]").nth(1).get_attribute("data-name") == NAMES[1]


def test_the_slider_draws_while_a_cell_runs(panel):
    panel.page.evaluate(
        "() => { window.sleeping = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({code: 'time.sleep(3)'}).done.then(() => { window.sleeping = null; }); }"
    )
    panel.page.locator(".lrx-slider").first.press("Home")
    wait_for_trace(panel, neurons(0, 1))
    assert panel.page.evaluate("() => window.sleeping !== null")
    panel.page.wait_for_function("() => window.sleeping === null")
    panel.wait_for_value("panel.rank", 1)


def test_arrows_in_the_panel_do_not_move_jupyterlabs_selection(panel):
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    panel.page.locator(".lrx-slider").first.focus()
    before = panel.page.evaluate(active)
    panel.page.keyboard.press("ArrowDown")
    panel.wait_for_value("panel.rank", 15)
    assert panel.page.evaluate(active) == before


def test_an_exact_row_from_the_kernel_replaces_the_interpolated_one(panel):
    coarse = f"demo_frame('{NAMES[0]}', ranks=[1, 32, 64]) | {{'key': 'coarse'}}"
    panel.kernel_value(f"[panel.show({coarse}, rank=10)]")
    exact = np.linspace(0, 1, 500, dtype=np.float32)
    panel.kernel_value("[panel.send_row(10, {'neurons': [np.linspace(0, 1, 500), np.full(500, 5.0)]})]")
    wait_for_trace(panel, exact)


def test_a_patch_changes_the_curves_in_place_and_a_patch_of_another_frame_does_not(panel):
    change = "{'data': {'0': {'y': np.full(64, 0.25)}}, 'caption': 'A quarter at every rank.'}"
    patch = "{'plots': {'error': " + change + "}, 'key': %s}"
    assert panel.kernel_value("panel.amend(%s)" % (patch % "'another'")) is False
    assert panel.kernel_value("panel.amend(%s)" % (patch % "panel.frame['key']")) is True
    for view in (0, 1):
        wait_for_trace(panel, np.full(64, 0.25), plot="error", view=view)
        panel.page.get_by_text("A quarter at every rank.").nth(view).wait_for(state="visible")


def test_an_error_is_shown_until_the_person_closes_it(panel):
    alert = panel.page.get_by_role("alert").first
    panel.kernel_value("[setattr(panel, 'error', '`rank` must lie in 1..64, got 80.')]")
    alert.wait_for(state="visible")
    assert "`rank` must lie in 1..64" in alert.inner_text()
    panel.page.get_by_role("button", name="Close the error").first.click()
    alert.wait_for(state="hidden")
    panel.wait_for_value("panel.error", "")


def test_cancel_reaches_the_kernel_and_progress_is_shown(panel):
    panel.kernel_value("[panel.set_trait('status', 'curves of function: 37 of 64 ranks')]")
    panel.kernel_value("[panel.set_trait('busy', True), panel.set_trait('progress', 0.58)]")
    panel.page.get_by_role("button", name="cancel").first.click()
    panel.wait_for_value("len(cancelled)", 1)
    assert panel.page.locator(".lrx-status progress").first.evaluate("bar => bar.value") == pytest.approx(0.58)
    panel.kernel_value("[panel.set_trait('busy', False), panel.set_trait('status', '')]")
    panel.page.get_by_role("button", name="cancel").first.wait_for(state="hidden")


def test_the_dark_theme_reaches_the_plots(panel):
    color = "() => document.querySelector('[data-plot-id=error]')._fullLayout.font.color"
    light = panel.page.evaluate(color)
    panel.set_theme("dark")
    panel.page.wait_for_function(f"light => ({color})() !== light", arg=light)
    panel.set_theme("light")
    panel.page.wait_for_function(f"light => ({color})() === light", arg=light)


def test_a_reopened_notebook_whose_kernel_is_gone_draws_and_moves(open_notebook, lab, browser):
    first = open_notebook("reopened", [SETUP])
    first.run_all()
    first.page.wait_for_function(PAINTED, arg=16)
    first.close()
    again = browser.open(lab, "reopened.ipynb")
    again.page.wait_for_function(PAINTED, arg=16)
    again.page.locator(".lrx-slider").press("ArrowRight")
    wait_for_trace(again, neurons(0, 17))
    again.page.close()


@pytest.mark.parametrize("way", ["shutdown", "restartKernel"])
def test_a_panel_whose_kernel_is_stopped_says_so_waits_for_nothing_and_moves(open_notebook, way):
    notebook = open_notebook(f"stopped-{way}", [SETUP])
    notebook.run_all()
    page = notebook.page
    page.wait_for_function(PAINTED, arg=16)
    assert page.get_by_text("The kernel that made this is stopped").count() == 0
    page.evaluate(f"() => window.jupyterapp.shell.currentWidget.sessionContext.{way}()")
    page.get_by_text("The kernel that made this is stopped").wait_for()
    page.locator(f"tr[data-name='{NAMES[1]}']").click()
    page.locator(".lrx-slider").press("ArrowRight")
    wait_for_trace(notebook, neurons(0, 17))
    assert page.locator(".lrx-is-waiting").count() == 0
    page.close()


def test_points_and_dragged_bars_of_a_board_reach_the_kernel(watched):
    cell = "from browser.demo_board import demo_board\nfrom lrexplore.explorer.panel.panel import PlotPanel\n"
    cell += "board, points = PlotPanel(), []\nboard.on_point(lambda point: points.append(vars(point)))\n"
    notebook = watched("board", [cell + "board.show(demo_board(), value=0.5)\nboard"], "board")
    page = notebook.page
    page.wait_for_function("() => document.querySelector('[data-plot-id=front] .main-svg') !== null")
    at = "(node, [x, y]) => { const {xaxis, yaxis} = node._fullLayout, box = node.getBoundingClientRect();"
    at += " return [box.left + xaxis._offset + xaxis.c2p(x), box.top + yaxis._offset + yaxis.d2p(y)]; }"

    def point_at(plot_id, x, y):
        plot = page.locator(f"[data-plot-id={plot_id}]")
        plot.scroll_into_view_if_needed()
        return plot.evaluate(at, [x, y])

    page.mouse.move(*point_at("ranks", 1, 0.5))
    page.mouse.down()
    page.mouse.move(*point_at("ranks", 1, 0.3))
    page.mouse.move(*point_at("ranks", 1, 0.25))
    page.mouse.up()
    notebook.wait_for_value("len(points)", 1)
    page.mouse.click(*point_at("ranks", 2, 0.5))
    notebook.wait_for_value("len(points)", 2)
    page.mouse.click(*point_at("front", 0.4, 2.0))
    notebook.wait_for_value("len(points)", 3)
    page.mouse.click(*point_at("heat", 2, 1.0))
    notebook.wait_for_value("len(points)", 4)
    dragged, bar, plan, cell = notebook.kernel_value("points")
    assert (dragged["plot"], dragged["x"], dragged["index"], dragged["step"]) == ("ranks", "body", 1, 16)
    assert (bar["x"], bar["step"]) == ("head", None)
    assert (plan["plot"], plan["index"], plan["x"]) == ("front", 1, 0.4)
    assert (cell["plot"], cell["x"], cell["index"]) == ("heat", "head", [2, 2])
    page.get_by_role("slider").press("ArrowRight")
    notebook.wait_for_value("round(board.value, 2)", 0.51)
