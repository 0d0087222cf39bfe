"""The panel as a person uses it, in a page written to disk: no kernel, no server."""

import numpy as np
import pytest
from browser.accessibility import violations
from browser.demo import demo_frame, demo_table

from lrexplore.explorer.panel.arrays import pack, unpack
from lrexplore.explorer.panel.export import to_html

pytestmark = pytest.mark.browser

FIRST, SECOND, THIRD = (row["name"] for row in demo_table()["rows"][:3])
TRACE = "([id, index, attribute]) => Array.from(document.querySelector(`[data-plot-id=${id}]`).data[index][attribute])"
PAINTED = "rank => performance.getEntriesByName('lrexplore:painted').at(-1)?.detail.rank === rank"


def row(frame, plot_id, entry, rank):
    """Values that a plot shows at a rank that its table holds."""
    plot = next(plot for plot in frame["plots"] if plot["id"] == plot_id)
    ranks = unpack(frame["ranks"])
    return unpack(plot["by_rank"][entry]["values"])[int(np.flatnonzero(ranks == rank)[0])]


def trace(page, plot_id, index, attribute):
    return np.array(page.evaluate(TRACE, [plot_id, index, attribute]), dtype=np.float32)


def test_an_arrow_key_moves_every_plot_to_the_next_rank(open_panel):
    frame = demo_frame(FIRST)
    page = open_panel(frame)
    page.locator(".lrx-slider").press("ArrowRight")
    page.wait_for_function(PAINTED, arg=17)
    np.testing.assert_array_equal(trace(page, "neurons", 0, "y"), row(frame, "neurons", 0, 17))
    np.testing.assert_array_equal(trace(page, "spectrum", 0, "y"), row(frame, "spectrum", 0, 17))
    np.testing.assert_array_equal(trace(page, "curves", 1, "y"), row(frame, "curves", 1, 17))
    assert page.locator(".lrx-box").input_value() == "17"
    assert page.locator("[data-readout-id=parameters] .lrx-value").inner_text().startswith("30.2")


def test_markers_lie_where_a_plot_drawn_afresh_puts_them(open_panel):
    positions = "() => [...document.querySelectorAll('[data-plot-id=neurons] path.point')].map(node => {"
    positions += " const {e, f} = node.getCTM(); const box = node.getBBox(); return [e, f, box.width]; })"
    moved = open_panel(rank=16)
    moved.locator(".lrx-slider").press("End")
    moved.wait_for_function(PAINTED, arg=64)
    fresh = open_panel(rank=64)
    np.testing.assert_allclose(moved.evaluate(positions), fresh.evaluate(positions), atol=0.02)


def test_traces_that_do_not_change_stay_on_the_plot(open_panel):
    page = open_panel()
    page.locator(".lrx-slider").press("ArrowRight")
    page.wait_for_function(PAINTED, arg=17)
    assert page.locator("[data-plot-id=spectrum] .scatterlayer .trace").count() == 2
    assert page.locator("[data-plot-id=error] .scatterlayer .trace").count() == 6


def test_a_rank_between_two_rows_shows_their_linear_interpolation(open_panel):
    frame = demo_frame(FIRST, ranks=[1, 8, 16, 24, 64])
    page = open_panel(frame, rank=16)
    page.locator(".lrx-box").fill("20")
    page.wait_for_function(PAINTED, arg=20)
    middle = (row(frame, "neurons", 0, 16) + row(frame, "neurons", 0, 24)) / 2
    np.testing.assert_allclose(trace(page, "neurons", 0, "y"), middle, rtol=1e-6)


def test_a_number_read_off_between_two_known_ones_says_so_and_an_unknown_one_is_a_dash(open_panel):
    frame = demo_frame(FIRST)
    error = frame["readouts"][0]
    values = unpack(error["values"]).copy()
    values[17] = np.nan
    error |= {"values": pack(values), "near": pack((np.arange(64) % 2).astype(np.uint8))}
    page = open_panel(frame, rank=15)
    value = page.locator("[data-readout-id=function_error] .lrx-value")
    assert value.inner_text() == "0.612"
    page.locator(".lrx-slider").press("ArrowRight")
    page.wait_for_function(PAINTED, arg=16)
    assert value.inner_text() == "≈0.603"
    for rank in (17, 18):
        page.locator(".lrx-slider").press("ArrowRight")
        page.wait_for_function(PAINTED, arg=rank)
    assert value.inner_text() == "–"


def test_a_typed_rank_out_of_range_becomes_the_nearest_one(open_panel):
    page = open_panel()
    box = page.locator(".lrx-box")
    box.fill("9999")
    assert box.get_attribute("aria-invalid") == "true"
    box.press("Enter")
    page.wait_for_function(PAINTED, arg=64)
    assert box.input_value() == "64"
    assert box.get_attribute("aria-invalid") == "false"


def test_a_rank_of_the_model_out_of_range_is_drawn_as_the_nearest_one(open_panel):
    assert open_panel(rank=500).locator(".lrx-slider").input_value() == "64"


def test_a_click_on_a_plot_sets_the_rank_under_the_pointer(open_panel):
    page = open_panel()
    plot = page.locator("[data-plot-id=error]")
    x = plot.evaluate("node => node._fullLayout.xaxis._offset + node._fullLayout.xaxis.d2p(40)")
    plot.click(position={"x": x, "y": 150})
    page.wait_for_function(PAINTED, arg=40)
    assert page.locator("[data-plot-id=error] + .lrx-picture .lrx-flag").inner_text() == "rank 40"


def test_a_click_on_a_mark_sets_its_rank(open_panel):
    page = open_panel(rank=3)
    page.get_by_role("button", name="break-even 56").click()
    page.wait_for_function(PAINTED, arg=56)


def test_arrows_walk_through_the_layers_past_those_that_cannot_be_chosen(open_panel):
    names = [layer["name"] for layer in demo_table()["rows"][6:9]]
    frames = {name: demo_frame(name, seed=seed) for seed, name in enumerate(names)}
    page = open_panel(frames=frames)
    page.locator(f"tr[data-name='{names[0]}']").click()
    page.keyboard.press("ArrowDown")
    selected = page.locator("tr[aria-selected=true]")
    assert selected.get_attribute("data-name") == names[2]
    page.wait_for_function("name => document.querySelector('.lrx-title').textContent.startsWith(name)", arg=names[2])
    page.locator(f"tr[data-name='{names[1]}']").click(force=True)
    assert selected.get_attribute("data-name") == names[2]
    assert "depthwise" in page.locator(f"tr[data-name='{names[1]}']").inner_text()


def test_search_leaves_the_layers_that_contain_the_text(open_panel):
    frames = {name: demo_frame(name) for name in (FIRST, SECOND, THIRD)}
    page = open_panel(frames=frames)
    page.get_by_role("searchbox", name="Search layers").fill("CONV2")
    assert page.locator("tbody tr:visible").count() == 1
    assert page.locator(".lrx-count").inner_text() == "1 of 3"


def test_a_heading_sorts_the_layers_by_its_numbers(open_panel):
    names = [layer["name"] for layer in demo_table()["rows"][:6]]
    page = open_panel(frames={name: demo_frame(name) for name in names})
    page.get_by_role("button", name="params").click()
    shown = page.locator("tbody tr td:nth-child(3)").all_inner_texts()
    numbers = [float(text.split()[0]) for text in shown]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 1


def test_a_layer_chosen_while_dragging_keeps_the_slider_in_its_range(open_panel):
    page = open_panel(rank=60, frames={SECOND: demo_frame(SECOND, seed=1, max_rank=32)})
    box = page.locator(".lrx-slider").bounding_box()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 15)
    page.mouse.down()
    page.evaluate("name => document.querySelector(`tr[data-name='${name}']`).click()", SECOND)
    page.mouse.move(box["x"] + box["width"], box["y"] + 15)
    page.mouse.up()
    page.wait_for_function(PAINTED, arg=32)
    assert page.locator(".lrx-slider").input_value() == "32"
    assert len(trace(page, "error", 0, "y")) == 32


def test_a_frame_without_tables_by_rank_is_drawn_as_it_is(open_panel):
    frame = demo_frame(FIRST) | {"ranks": pack(np.zeros(0, dtype=np.int32))}
    frame["plots"] = [plot | {"by_rank": []} for plot in frame["plots"] if plot.get("kind") != "images"]
    page = open_panel(frame)
    page.locator(".lrx-slider").press("ArrowRight")
    page.wait_for_function(PAINTED, arg=17)
    assert page.locator(".main-svg").count() > 0


def test_a_panel_hidden_at_first_is_drawn_once_it_has_room(open_panel, browser, tmp_path):
    state = {"table": demo_table(), "layer": FIRST, "rank": 16, "frame": demo_frame(FIRST)}
    page = browser.context.new_page()
    page.add_init_script("addEventListener('DOMContentLoaded', () => { document.body.style.display = 'none'; })")
    page.goto(to_html(state, tmp_path / "hidden.html", "demo").as_uri())
    page.wait_for_function("() => document.querySelector('.lrx-title strong') !== null")
    assert page.locator(".main-svg").count() == 0
    page.evaluate("document.body.style.display = ''")
    page.wait_for_function(PAINTED, arg=16)
    assert page.locator("[data-plot-id=error]").bounding_box()["width"] > 300
    page.close()


def test_a_legend_entry_hides_its_traces_and_a_new_layer_keeps_them_hidden(open_panel):
    page = open_panel(frames={SECOND: demo_frame(SECOND, seed=1)})
    page.get_by_role("button", name="spectral, Frobenius").click()
    visible = "() => document.querySelector('[data-plot-id=error]')._fullData.map(trace => trace.opacity > 0)"
    expected = [True, False, True, True, True, True]
    assert page.evaluate(visible) == expected
    page.locator(f"tr[data-name='{SECOND}']").click()
    page.wait_for_function("name => document.querySelector('.lrx-title').textContent.startsWith(name)", arg=SECOND)
    assert page.evaluate(visible) == expected


def test_a_saved_picture_has_the_rank_line_and_is_a_png(open_panel):
    page = open_panel()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download this plot as PNG").first.click()
    assert download.value.suggested_filename == "error-rank-16.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_the_panel_follows_the_page_into_the_dark(open_panel):
    page = open_panel()
    color = "() => document.querySelector('[data-plot-id=error]')._fullLayout.font.color"
    light = page.evaluate(color)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"light => ({color})() !== light", arg=light)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"light => ({color})() === light", arg=light)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_panel, scheme):
    page = open_panel()
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("() => document.querySelector('.lrx-spoken').textContent !== ''")
    assert violations(page) == []


def test_a_screen_reader_hears_layer_rank_and_value(open_panel):
    page = open_panel()
    page.wait_for_function("() => document.querySelector('.lrx-spoken').textContent !== ''")
    assert page.locator(".lrx-spoken").inner_text().startswith("Rank 16: function error 0.603")
    label = page.locator("[data-plot-id=error] + [role=img]").get_attribute("aria-label")
    assert label.startswith(f"Error against rank: {FIRST} · ")
    assert "rank 16, function error 0.603" in label


@pytest.mark.parametrize("height", [1000, 800])
@pytest.mark.parametrize("width", [1500, 1100, 860, 700, 420])
def test_no_number_leaves_its_card(open_panel, width, height):
    frame = demo_frame(FIRST)
    about = pack(np.ones(64, dtype=np.uint8))
    for readout in frame["readouts"][:3]:
        readout |= {"values": pack(np.full(64, -0.00149)), "near": about, "format": "pct"}
    frame["readouts"] = [readout | {"id": f"{readout['id']}{copy}"} for copy in (1, 2) for readout in frame["readouts"]]
    page = open_panel(frame)
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_function("width => document.querySelector('.lrx').clientWidth < width", arg=width)
    page.locator(".lrx-note").first.wait_for(state="visible" if height == 1000 else "hidden")
    outside = """() => [...document.querySelectorAll('.lrx-card')].filter((card) => {
        const {right} = card.querySelector('.lrx-value').getBoundingClientRect();
        return right > card.getBoundingClientRect().right + 0.5;
    }).map((card) => card.innerText)"""
    assert page.evaluate(outside) == []
