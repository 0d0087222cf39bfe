"""The tools and the legend of a plot, in a page written to disk: axes go home, curves hide, nothing leads away."""

import pytest
from browser.demo import demo_frame, demo_table

pytestmark = pytest.mark.browser

FIRST, SECOND = (row["name"] for row in demo_table()["rows"][:2])
RANGE = "([id, axis]) => [...document.querySelector(`[data-plot-id=${id}]`)._fullLayout[axis].range]"
TITLE = "name => document.querySelector('.lrx-title').textContent.startsWith(name)"
TRACE = "document.querySelector(`[data-plot-id=${id}]`)._fullData.find(trace => trace.name === name)"
DRAWN = f"([id, name]) => {TRACE}.opacity > 0"
BOXES = """() => {
    const box = (node) => node.getBoundingClientRect().toJSON();
    const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
    return [...document.querySelectorAll(".lrx-item:has(.lrx-tools)")].map((item) => {
        const others = item.querySelectorAll(".lrx-heading, .lrx-legend button, .lrx-stage, .lrx-flag, summary");
        return [...others].every((other) => apart(box(item.querySelector(".lrx-tools")), box(other)));
    });
}"""


def tool(page, plot_label, name):
    return page.get_by_role("toolbar", name=f"Tools of {plot_label}").get_by_role("button", name=name)


def axis(page, name, plot="error"):
    return page.evaluate(RANGE, [plot, name])


def zoom(page, plot="error"):
    box = page.locator(f"[data-plot-id={plot}] .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=4)
    page.mouse.up()


def fitting(frame):
    """The frame with a first plot whose y axis fits itself to the curves, the first of which is by far the highest."""
    frame["plots"][0]["layout"]["yaxis"] = {"title": {"text": "relative error"}, "autorange": True}
    frame["plots"][0]["data"][0] |= {"x": [1.0, 64.0], "y": [50.0, 80.0]}
    return frame


@pytest.mark.parametrize("way", ["button", "double click"])
def test_axes_go_back_to_those_of_the_layer_on_screen(open_panel, way):
    page = open_panel(frames={SECOND: fitting(demo_frame(SECOND, seed=1, max_rank=32))})
    first = axis(page, "xaxis"), axis(page, "yaxis")
    assert first == ([0, 65], [0, 1.05])
    page.locator(f"tr[data-name='{SECOND}']").click()
    page.wait_for_function(TITLE, arg=SECOND)
    page.wait_for_function(f"() => ({RANGE})(['error', 'xaxis'])[1] === 33")
    second = axis(page, "xaxis"), axis(page, "yaxis")
    assert second[1][1] > 50
    zoom(page)
    assert axis(page, "xaxis")[1] < 25 and axis(page, "yaxis") != second[1]
    if way == "button":
        tool(page, "Error against rank", "Reset axes").click()
    else:
        page.locator("[data-plot-id=error] .nsewdrag").first.dblclick()
    page.wait_for_function(f"wanted => JSON.stringify(({RANGE})(['error', 'xaxis'])) === wanted", arg="[0,33]")
    assert axis(page, "yaxis") == pytest.approx(second[1])


def test_the_pan_tool_moves_the_axes_and_stays_for_the_next_layer(open_panel):
    page = open_panel(frames={SECOND: demo_frame(SECOND, seed=1)})
    pan = tool(page, "Error against rank", "Pan")
    pan.click()
    zoom(page)
    left, right = axis(page, "xaxis")
    assert left < 0 and right - left == pytest.approx(65)
    page.locator(f"tr[data-name='{SECOND}']").click()
    page.wait_for_function(TITLE, arg=SECOND)
    assert pan.get_attribute("aria-pressed") == "true"
    assert page.evaluate("() => document.querySelector('[data-plot-id=error]')._fullLayout.dragmode") == "pan"


def test_no_tool_leads_away_from_the_page(open_panel):
    page = open_panel()
    names = {"Zoom", "Pan", "Reset axes", "Download this plot as PNG"}
    tools = page.locator(".lrx-tools button").evaluate_all("all => all.map((tool) => tool.ariaLabel)")
    assert len(tools) == 4 * len(names) and set(tools) == names
    assert page.locator(".lrx .modebar-btn").count() == 0
    assert page.locator(".lrx a").count() == 0


def test_the_tools_of_a_plot_are_one_tab_stop_and_arrows_walk_through_them(open_panel):
    page = open_panel()
    stops = "all => all.map((bar) => [...bar.children].filter((tool) => tool.tabIndex === 0).length)"
    assert page.locator(".lrx-tools").evaluate_all(stops) == [1, 1, 1, 1]
    page.locator("[data-plot-id=error]").locator("xpath=ancestor::section").locator(".lrx-legend button").last.focus()
    focused = "() => document.activeElement.ariaLabel"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Zoom"
    for key, name in (("ArrowRight", "Pan"), ("End", "Download this plot as PNG"), ("ArrowLeft", "Reset axes")):
        page.keyboard.press(key)
        assert page.evaluate(focused) == name
    assert page.locator(".lrx-tools").evaluate_all(stops) == [1, 1, 1, 1]
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.tagName") == "SUMMARY"


@pytest.mark.parametrize("rank", [3, 62])
def test_tools_cover_no_title_no_plot_and_no_rank(open_panel, rank):
    assert open_panel(rank=rank).evaluate(BOXES) == [True] * 4


def test_a_curve_that_comes_hidden_can_be_shown(open_panel):
    frame = demo_frame(FIRST)
    frame["plots"][1]["data"][1]["visible"] = "legendonly"
    page = open_panel(frame)
    law = page.get_by_role("button", name="Marchenko–Pastur law")
    assert law.get_attribute("aria-pressed") == "false"
    assert not page.evaluate(DRAWN, ["spectrum", "Marchenko–Pastur law"])
    law.click()
    assert law.get_attribute("aria-pressed") == "true"
    assert page.evaluate(DRAWN, ["spectrum", "Marchenko–Pastur law"])


def test_the_legend_says_what_a_dash_means_without_a_button(open_panel):
    frame = demo_frame(FIRST)
    key = {"type": "scatter", "mode": "lines", "name": "Frobenius error", "meta": "key", "x": [None], "y": [None]}
    frame["plots"][0]["data"].append(key | {"line": {"color": "#808080", "dash": "dash"}})
    page = open_panel(frame)
    said = page.locator(".lrx-legend .lrx-key")
    assert said.all_inner_texts() == ["Frobenius error"]
    assert said.locator("path").get_attribute("stroke-dasharray") == "6 4"
    assert page.get_by_role("button", name="Frobenius error", exact=True).count() == 0


def test_hiding_a_curve_leaves_the_axes_as_they_are_also_in_the_next_draw(open_panel):
    page = open_panel(fitting(demo_frame(FIRST)))
    before = axis(page, "yaxis")
    page.get_by_role("button", name="spectral, function").click()
    assert axis(page, "yaxis") == before
    assert not page.evaluate(DRAWN, ["error", "spectral, function"])
    page.emulate_media(color_scheme="dark")
    color = "() => document.querySelector('[data-plot-id=error]')._fullLayout.font.color"
    page.wait_for_function(f"() => ({color})() === 'rgb(232, 232, 232)'")
    assert axis(page, "yaxis") == before
    assert not page.evaluate(DRAWN, ["error", "spectral, function"])
    page.emulate_media(color_scheme="light")


def test_a_hidden_curve_says_nothing_under_the_pointer(open_panel):
    page = open_panel(fitting(demo_frame(FIRST)))
    page.get_by_role("button", name="spectral, function").click()
    at = "node => { const {xaxis, yaxis} = node._fullLayout, box = node.getBoundingClientRect();"
    at += " return [box.left + xaxis._offset + xaxis.c2p(64), box.top + yaxis._offset + yaxis.d2p(80)]; }"
    page.mouse.move(*page.locator("[data-plot-id=error]").evaluate(at))
    page.wait_for_function("() => document.querySelectorAll('[data-plot-id=error] .hoverlayer .axistext').length > 0")
    assert "80" not in page.locator("[data-plot-id=error] .hoverlayer").text_content()


def test_dollars_in_names_are_shown_as_they_are(open_panel):
    frame = demo_frame(FIRST) | {"title": "cost$\\frac{a}{b}$ · 256 × 2304"}
    frame["plots"][0]["layout"]["xaxis"]["title"]["text"] = "rank of $x^2$"
    page = open_panel(frame)
    assert page.locator(".lrx-title strong").inner_text() == "cost$\\frac{a}{b}$"
    assert page.locator("[data-plot-id=error] .xtitle").text_content() == "rank of $x^2$"
    assert page.evaluate("() => document.querySelector('[data-plot-id=error]')._context.typesetMath") is False
