"""The Network tab in a real JupyterLab: opened, moved, pinned, dragged and saved as a person would."""

import pytest
from browser.accessibility import violations

from lrexplore.explorer.network.state import CHOICES

pytestmark = pytest.mark.browser

CELL = """
import lrexplore as lr
from explorer.networks import small_network
from explorer.whole_network import batches

explorer = lr.explore(small_network(), loader=batches())
explorer
"""
WORK = """
from threading import Event, Thread
from lrexplore.explorer.network import long_work
from lrexplore.ranks import network_curves as curves

def draw_until(done):
    page = explorer.page("Network")
    while not done.is_set():
        with page._lock:
            page._draw()

done = Event()
work = Thread(target=draw_until, args=[done])

def gated_curve(model, layer, *rest):
    assert layer.name != "grouped" or gate.wait(60)
    return curve(model, layer, *rest)

gate, curve = Event(), curves._curve
gate.set()
curves._curve, long_work.CURVES_S = gated_curve, 0
"""
PAGE = "explorer.page('Network')"
HEIGHTS = "() => document.querySelector('[data-plot-id=ranks]').data.map(({y}) => [...y])"
ANSWERED = "value => performance.getEntriesByName('lrexplore:painted').at(-1)?.detail.value === value"
CELLS = """() => {
    const {activeCellIndex, mode, widgets} = window.jupyterapp.shell.currentWidget.content;
    return [activeCellIndex, mode, ...widgets.map(({model}) => model.type)];
}"""
CONTROLS = "select, button, input, textarea, summary, a[href], [tabindex]"
FREE = """
    const every = document.querySelector(".jp-OutputArea-output:has(.lrx)").querySelectorAll(controls);
    const free = [...every].filter((node) => !node.disabled && !node.closest("[inert]") && node.checkVisibility());
"""
FOCUS = f"""controls => {{{FREE}
    const next = free.find((node) => !window.walked.has(node));
    if (next === undefined) return null;
    window.walked.add(next);
    next.focus({{preventScroll: true}});
    return [next === document.activeElement, next.tagName, next.outerHTML.slice(0, 300)];
}}"""
KINDS = ("SELECT", "BUTTON", "INPUT", "SUMMARY", "TR")
TAKEN = (*"abrxcvymzjkdd00", "ArrowDown", "ArrowUp", "ArrowRight", "ArrowLeft", "PageDown", "Escape", "Shift+M")
"""Keys with which JupyterLab's command mode changes, moves and cuts cells, or restarts the kernel."""
AT = """(node, [x, y]) => {
    const {xaxis, yaxis} = node._fullLayout, box = node.getBoundingClientRect();
    return [box.left + xaxis._offset + xaxis.c2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
}"""


def tab(page, title):
    return page.locator(".jupyter-widget-tab").get_by_role("tab", name=title, exact=True)


@pytest.fixture(scope="module")
def notebook(watched):
    opened = watched("network", [CELL, WORK], "explorer.panel", f"{PAGE}.panel")
    page = opened.page
    page.wait_for_function("() => document.querySelector('.lrx-title strong') !== null")
    tab(page, "Network").click()
    page.wait_for_function("() => document.querySelector('[data-plot-id=samples] canvas, .lrx-photographs canvas')")
    save = page.get_by_role("button", name="save", exact=True)
    assert not save.is_visible(), "one row of controls until a person wants more"
    page.get_by_role("button", name="pin, judge, save").click()
    save.wait_for()
    return opened


@pytest.fixture
def shown(notebook):
    """The notebook with nothing pinned, half of the parameters, and everything computed."""
    notebook.kernel_value(f"[{PAGE}.state.unpin(), setattr({PAGE}.state, 'ratio', 0.5), {PAGE}.wait(120)]")
    notebook.page.wait_for_function(ANSWERED, arg=0.5)
    return notebook


def slider(page):
    return page.get_by_role("slider", name="budget")


def point_at(page, plot_id, x, y):
    plot = page.locator(f"[data-plot-id={plot_id}]")
    plot.scroll_into_view_if_needed()
    return plot.evaluate(AT, [x, y])


def readout(page, name):
    return page.locator(f".lrx-is-board [data-readout-id={name}] .lrx-value").inner_text()


def test_an_arrow_key_moves_budget_bars_and_kernel(shown):
    page = shown.page
    before = page.evaluate(HEIGHTS)
    slider(page).press("PageDown")
    page.wait_for_function(ANSWERED, arg=0.45)
    shown.wait_for_value(f"{PAGE}.state.ratio", 0.45)
    assert page.evaluate(HEIGHTS) != before
    assert float(readout(page, "parameters")) <= 0.45
    assert shown.kernel_value(f"{PAGE}.wait(60)")
    waiting = """() => !document.querySelector("[data-readout-id=agreement]").innerText.includes('…')"""
    page.wait_for_function(waiting)


def test_a_typed_budget_reaches_the_kernel_and_one_too_small_becomes_the_smallest(shown):
    page = shown.page
    box = page.get_by_role("spinbutton", name="budget, exact value")
    box.fill("0.6")
    box.press("Enter")
    shown.wait_for_value(f"{PAGE}.state.ratio", 0.6)
    box.fill("0.0001")
    box.press("Enter")
    smallest = shown.kernel_value(f"{PAGE}.panel.frame['slider']['min']")
    shown.wait_for_value(f"{PAGE}.state.ratio", smallest)


def test_a_dragged_bar_is_pinned_and_unpinned_by_a_button(shown):
    page = shown.page
    place = shown.kernel_value("explorer.subject.names.index('wide')")
    page.mouse.move(*point_at(page, "ranks", place, 0.8))
    page.mouse.down()
    page.mouse.move(*point_at(page, "ranks", place, 0.4))
    page.mouse.move(*point_at(page, "ranks", place, 0.25))
    page.mouse.up()
    shown.wait_for_value(f"{PAGE}.state.pinned", {"wide": 4})
    page.wait_for_function(f"place => ({HEIGHTS})()[1][place] === 0.25", arg=place)
    page.get_by_role("button", name="unpin", exact=True).click()
    shown.wait_for_value(f"{PAGE}.state.pinned", {})
    page.wait_for_function(f"place => ({HEIGHTS})()[1][place] === 0", arg=place)


def test_a_layer_is_pinned_by_keyboard_alone(shown):
    page = shown.page
    page.get_by_label("layer", exact=True).select_option("point")
    shown.wait_for_value(f"{PAGE}.controls.layer.value", "point")
    box = page.get_by_label("rank", exact=True)
    box.fill("2")
    box.press("Enter")
    shown.wait_for_value(f"{PAGE}.controls.rank.value", 2)
    page.get_by_role("button", name="pin at rank").press("Enter")
    shown.wait_for_value(f"{PAGE}.state.pinned", {"point": 2})


def test_a_click_on_a_front_takes_its_budget(shown):
    page = shown.page
    trace = page.locator("[data-plot-id=front]").evaluate("node => [[...node.data[0].x], [...node.data[0].y]]")
    page.mouse.click(*point_at(page, "front", trace[0][2], trace[1][2]))
    shown.wait_for_value(f"abs({PAGE}.state.ratio - {trace[0][2]}) < 1e-3", True)


def test_plan_and_network_are_written_where_the_box_says(shown, tmp_path):
    page = shown.page
    page.get_by_label("save as").fill(str(tmp_path / "small"))
    shown.wait_for_value(f"{PAGE}.controls.path.value", str(tmp_path / "small"))
    page.get_by_role("button", name="save", exact=True).click()
    page.get_by_text("Wrote ").first.wait_for()
    assert {path.name for path in tmp_path.iterdir()} == {"small.json", "small.safetensors"}
    assert shown.kernel_value(f"lr.RankPlan.load({str(tmp_path / 'small.json')!r}) == explorer.network_plan()")


def test_a_choice_that_cannot_be_is_told_in_this_page(shown):
    page = shown.page
    shown.kernel_value(f"{PAGE}.panel.set_state({{'value': 0.001}})")
    alert = page.get_by_role("alert").filter(has_text="must be at least")
    alert.wait_for(state="visible")
    alert.get_by_role("button", name="Close the error").click()
    shown.wait_for_value(f"{PAGE}.panel.error", "")
    assert shown.kernel_value(f"{PAGE}.state.ratio") == 0.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_network_tab(shown, theme):
    shown.set_theme(theme)
    shown.page.wait_for_function(
        "() => [...document.querySelectorAll('.lrx-spoken')].some((node) => node.textContent.startsWith('whole'))"
    )
    assert violations(shown.page, ".jp-OutputArea-output:has(.lrx)") == []
    shown.set_theme("light")


def test_tabs_are_changed_by_keyboard(shown):
    page = shown.page
    tab(page, "Network").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    shown.wait_for_value("explorer.state.tab", "Layer")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    shown.wait_for_value("explorer.state.tab", "Network")


def test_an_answer_takes_a_slider_that_stands_elsewhere_to_its_bars(shown):
    page = shown.page
    told = "{'method': 'update', 'state': {'value': 0.8}, 'buffer_paths': []}"
    shown.kernel_value(f"{PAGE}.panel.comm.send({told})")
    page.wait_for_function("() => document.querySelector('.lrx-board-slider .lrx-slider').value === '0.8'")
    shown.kernel_value(f"{PAGE}.panel.amend({{'key': {PAGE}.panel.frame['key'], 'value': 0.5}})")
    page.wait_for_function("() => document.querySelector('.lrx-board-slider .lrx-slider').value === '0.5'")
    slider(page).press("ArrowLeft")
    page.wait_for_function(ANSWERED, arg=0.495)
    shown.wait_for_value(f"{PAGE}.state.ratio", 0.495)


def test_no_key_is_lost_while_long_work_draws_all_the_time(shown):
    page = shown.page
    shown.kernel_value("work.start()")
    try:
        slider(page).focus()
        for step in range(1, 41):
            page.keyboard.press("ArrowLeft")
            page.wait_for_function(ANSWERED, arg=round(0.5 - 0.005 * step, 3))
    finally:
        shown.kernel_value("[done.set(), work.join()]")
    assert float(slider(page).input_value()) == 0.3
    assert shown.kernel_value(f"[{PAGE}.state.ratio, {PAGE}.panel.value]") == [0.3, 0.3]


def test_the_map_fills_while_curves_are_computed_and_cancel_goes_back(shown):
    page = shown.page
    shown.kernel_value("gate.clear()")
    page.get_by_label("scheme", exact=True).last.select_option("spatial")
    page.get_by_role("heading", name="2 of 5 layers so far").first.wait_for()
    assert "partial" in page.locator(".lrx-is-board .lrx-title").inner_text()
    assert slider(page).count() == 0
    saving = page.get_by_role("button", name="save", exact=True)
    saving.and_(page.locator(":disabled")).wait_for()
    finite = "() => document.querySelector('[data-plot-id=heat]').data[0].z[0].filter(Number.isFinite).length"
    page.wait_for_function(f"() => ({finite})() === 2")
    page.get_by_role("button", name="cancel").last.click()
    shown.kernel_value("gate.set()")
    shown.wait_for_value(f"{PAGE}.state.scheme", "channel")
    slider(page).wait_for()
    saving.and_(page.locator(":enabled")).wait_for()


def test_layers_are_weighed_and_judged_by_more_inputs_on_demand(shown):
    page = shown.page
    page.get_by_label("layer weights").select_option("sensitivity")
    page.locator(".lrx-is-board .lrx-title", has_text="layers weighed by sensitivity").wait_for()
    page.get_by_text("Assumes that movements add up").wait_for()
    assert "each × its sensitivity on 16 inputs" in page.locator("[data-readout-id=error]").inner_text()
    page.get_by_label("judged by").select_option("64 inputs")
    shown.wait_for_value(f"{PAGE}.state.num_judged", 64)
    assert shown.kernel_value(f"{PAGE}.wait(60)")
    page.locator("[data-readout-id=agreement]", has_text="on 6 inputs: your loader · 95 % interval").wait_for()
    page.get_by_label("layer weights").select_option("plain")
    shown.wait_for_value(f"{PAGE}.state.weights", "plain")


def test_a_budget_being_typed_is_left_alone_by_what_is_drawn_meanwhile(shown):
    page = shown.page
    box = page.get_by_role("spinbutton", name="budget, exact value")
    box.fill("0.7")
    drawn = "performance.getEntriesByName('lrexplore:painted').length"
    count = page.evaluate(drawn)
    shown.kernel_value(f"{PAGE}.panel.amend({{'key': {PAGE}.panel.frame['key'], 'plots': {{'heat': {{}}}}}})")
    page.wait_for_function(f"count => {drawn} > count", arg=count)
    assert box.input_value() == "0.7"
    box.press("Enter")
    shown.wait_for_value(f"{PAGE}.state.ratio", 0.7)
    box.fill("")
    box.blur()
    assert box.input_value() == "0.7"


def settle(shown):
    """Wait until nothing is computed for the screen any more, in either tab."""
    assert shown.kernel_value(f"explorer.wait(120) and {PAGE}.wait(120)")


def walk(shown, controls=CONTROLS):
    """Kinds of the controls that were not met so far: every key was pressed on each, and the cells are as they were."""
    page, before, kinds = shown.page, shown.page.evaluate(CELLS), set()
    assert before[1] == "command"
    while (focused := page.evaluate(FOCUS, controls)) is not None:
        reached, kind, text = focused
        assert reached, f"cannot be reached: {text}"
        kinds.add(kind)
        for key in TAKEN:
            page.keyboard.press(key)
        assert page.evaluate(CELLS) == before, text
    return kinds


def test_no_control_of_any_tab_gives_its_keys_to_the_notebook(shown):
    page = shown.page
    before = shown.kernel_value(f"{{name: getattr({PAGE}.state, name) for name in {CHOICES}}}")
    for title, least in (("Training", 10), ("Network", 30), ("Layer", 30)):
        tab(page, title).click()
        shown.wait_for_value("explorer.state.tab", title)
        enough = f"([controls, least]) => {{{FREE} return free.length > least; }}"
        page.wait_for_function(enough, arg=[CONTROLS, least])
        page.evaluate("() => { window.walked = new WeakSet(); }")
        has_plots = title != "Training"  # with words under them, away while what was chosen is computed
        kinds = walk(shown, "select")
        settle(shown)
        for _ in range(2):  # a number that is set may take plots away once more
            if has_plots:
                page.locator(".lrx summary:visible").first.wait_for()
            kinds |= walk(shown)
            settle(shown)
        wanted = set(KINDS) - ({"TR"} if title == "Network" else set()) if has_plots else {"SELECT", "BUTTON", "INPUT"}
        assert kinds >= wanted
    settle(shown)
    error = shown.kernel_value(f"{PAGE}.panel.error")
    assert error == "" or "larger" in error, "a rule or a kind of budget was chosen for which a half is too little"
    shown.kernel_value(f"{PAGE}.state.assign(**{before})")
    shown.kernel_value("explorer.state.assign(initializer='function', scheme='channel', activation='relu')")
    settle(shown)
    tab(page, "Network").click()
    shown.wait_for_value("explorer.state.tab", "Network")
