"""A board as a person sees it, in a page written to disk: no kernel, no server."""

import pytest
from browser.accessibility import violations
from browser.demo_board import packed_board

from lrexplore.explorer.panel.export import to_html

pytestmark = pytest.mark.browser

DRAWN = "() => performance.getEntriesByName('lrexplore:painted').at(-1)?.detail.key === 'demo'"


@pytest.fixture
def page(quiet, tmp_path):
    """A page that shows the demo board."""
    state = {"table": {}, "layer": "", "rank": 1, "value": 0.5, "frame": packed_board()}
    opened = quiet.context.new_page()
    opened.goto(to_html(state, tmp_path / "board.html", "demo").as_uri())
    opened.wait_for_function(DRAWN)
    yield opened
    opened.close()


def test_a_board_has_no_layers_and_no_ranks(page):
    assert page.locator(".lrx-layers:visible").count() == 0
    assert page.get_by_role("slider").count() == 1
    assert page.locator(".lrx-title").inner_text().startswith("demo")


def test_readouts_show_their_single_values_and_what_is_missing(page):
    assert page.locator(".lrx-value").all_inner_texts() == ["0.432", "not run", "Gaussian"]


def test_slider_and_box_are_one_and_stay_in_range(page):
    slider, box = page.get_by_role("slider"), page.locator(".lrx-box:visible")
    assert box.input_value() == "0.5"
    slider.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.lrx-board-slider .lrx-box').value === '0.51'")
    box.fill("7")
    box.press("Enter")
    page.wait_for_function("() => document.querySelector('.lrx-board-slider .lrx-slider').value === '1'")
    page.get_by_role("button", name="smallest 0.1").click()
    page.wait_for_function("() => document.querySelector('.lrx-board-slider .lrx-box').value === '0.1'")


def test_a_dragged_bar_shows_where_it_would_end_and_escape_puts_it_back(page):
    plot = page.locator("[data-plot-id=ranks]")
    at = "(node, [bar, y]) => { const {xaxis, yaxis} = node._fullLayout, box = node.getBoundingClientRect();"
    at += " return [box.left + xaxis._offset + xaxis.c2p(bar), box.top + yaxis._offset + yaxis.d2p(y)]; }"
    page.mouse.move(*plot.evaluate(at, [1, 0.5]))
    page.mouse.down()
    page.mouse.move(*plot.evaluate(at, [1, 0.25]))
    assert page.locator(".lrx-ghost:visible").inner_text() == "body: rank 16"
    page.mouse.move(*plot.evaluate(at, [1, 0.0001]))
    assert page.locator(".lrx-ghost:visible").inner_text() == "body: rank 1"
    page.keyboard.press("Escape")
    assert page.locator(".lrx-ghost:visible").count() == 0
    page.mouse.up()


def test_escape_puts_a_bar_back_also_where_the_panel_has_the_focus(page):
    page.get_by_role("slider").focus()
    box = page.locator("[data-plot-id=ranks] .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.8 * box["height"])
    assert page.locator(".lrx-ghost:visible").count() == 1
    page.keyboard.press("Escape")
    assert page.locator(".lrx-ghost:visible").count() == 0
    page.mouse.up()


def test_words_below_a_picture_say_what_changed(page):
    caption = page.locator("figcaption.lrx-changed")
    assert caption.inner_text().split("\n") == ["was: a cat", "now: a dog"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_board(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("() => document.querySelector('.lrx-spoken').textContent.startsWith('demo')")
    assert violations(page) == []
