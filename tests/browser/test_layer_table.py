"""The layer table in a page written to disk: what it shows, how a layer is found in it."""

import pytest
from browser.demo import demo_frame, demo_table

pytestmark = pytest.mark.browser

NAMES = [row["name"] for row in demo_table()["rows"]]
SHOWN = "rows => rows.filter((row) => !row.hidden).map((row) => row.dataset.name)"
PLACES = """() => {
    const scroller = document.querySelector(".lrx-scroller");
    const cells = [...scroller.querySelectorAll("td:not(.lrx-reason)")];
    const cut = cells.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent);
    return [cut, scroller.scrollWidth - scroller.clientWidth];
}"""


def network_table(names=NAMES):
    """Table of a network whose order is not that of the alphabet, its last column long words."""
    table = demo_table()
    table["columns"][0] |= {"label": "layer", "order": "given"}
    table["rows"] = [row | {"name": name} for row, name in zip(table["rows"], names, strict=False)]
    for row in table["rows"]:
        row["follows"] = "BN, then add, ReLU6"
    return table


@pytest.fixture
def open_table(open_panel):
    """A function: (names) -> a page with a table of these layers."""

    def opened(names, **options):
        frames = {name: demo_frame(name) for name in names}
        table = network_table(names)
        return open_panel(frames[names[0]], frames=frames, table=table, **options)

    return opened


def shown(page):
    return page.locator(".lrx-layers tbody tr").evaluate_all(SHOWN)


def search(page, text):
    box = page.get_by_role("searchbox", name="Search layers")
    box.fill(text)
    return box


@pytest.mark.parametrize("width", [1400, 1000, 820, 480])
def test_no_column_is_cut(open_table, width):
    page = open_table(NAMES[:6])
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function("width => document.querySelector('.lrx').clientWidth < width", arg=width)
    assert page.evaluate(PLACES) == [[], 0]


def test_a_long_name_is_shown_whole(open_table):
    long = "encoder.layers.encoder_layer_11.self_attention.out_proj.and_then_some"
    page = open_table([NAMES[0], long])
    assert page.evaluate(PLACES)[0] == []
    assert page.locator(f"tr[data-name='{long}'] .lrx-name").inner_text() == long


def test_a_search_without_a_hit_says_so(open_table):
    page = open_table(NAMES[:6])
    search(page, "no such layer")
    assert page.locator(".lrx-layers [role=status]").inner_text() == "Nothing here has “no such layer”."
    assert page.locator(".lrx-count").inner_text() == "0 of 6"
    search(page, "")
    assert page.locator(".lrx-layers [role=status]:visible").count() == 0


def test_a_search_of_several_words_finds_the_layers_that_have_all_of_them(open_table):
    page = open_table(["body.1.conv1", "body.1.conv2", "head.1.conv1"])
    search(page, "conv1 body")
    assert shown(page) == ["body.1.conv1"]


def test_enter_takes_the_only_hit_and_no_other(open_table):
    page = open_table(NAMES[:6])
    selected = page.locator("tr[aria-selected=true]")
    search(page, "conv").press("Enter")
    assert selected.get_attribute("data-name") == NAMES[0]
    search(page, "layer1 0.conv3").press("Enter")
    assert selected.get_attribute("data-name") == NAMES[2]
    page.wait_for_function("name => document.querySelector('.lrx-title').textContent.startsWith(name)", arg=NAMES[2])


def test_sorted_by_layer_the_table_has_the_order_of_the_network(open_table):
    names = ["stem", "body.10", "body.9", "classifier"]
    page = open_table(names)
    page.get_by_role("button", name="params").click()
    layer = page.locator("th[data-key=name] button")
    layer.click()
    assert shown(page) == names
    layer.click()
    assert shown(page) == names[::-1]


def test_a_row_under_the_pointer_looks_unlike_the_selected_one(open_table):
    page = open_table(NAMES[:4])
    color = "row => getComputedStyle(row).backgroundColor"
    selected, other = page.locator("tr[aria-selected=true]"), page.locator(f"tr[data-name='{NAMES[2]}']")
    page.mouse.move(0, 0)
    rest = [row.evaluate(color) for row in (selected, other)]
    other.hover()
    hovered = other.evaluate(color)
    selected.hover()
    assert len({*rest, hovered, selected.evaluate(color)}) == 4


def test_the_rank_of_the_layer_on_screen_is_followed_in_the_table_and_told_from_the_usual_one(open_panel):
    table = network_table(NAMES[:3])
    table["columns"].append({"key": "rank", "label": "rank", "align": "right", "follows": "rank"})
    table["rows"] = [row | {"rank": "16", "usual": {"rank": "16"}} for row in table["rows"]]
    frames = {name: demo_frame(name) for name in NAMES[:3]}
    page = open_panel(frames[NAMES[0]], frames=frames, table=table)
    cell = page.locator(f"tr[data-name='{NAMES[0]}'] td").last
    assert cell.inner_text() == "16"
    page.locator(".lrx-slider").press("ArrowRight")
    page.wait_for_function("() => document.querySelector('td.lrx-by-hand')?.textContent.startsWith('17')")
    assert cell.get_attribute("title") == "17, set by hand (else 16)"
    page.locator(".lrx-slider").press("ArrowLeft")
    page.wait_for_function("() => document.querySelector('td.lrx-by-hand') === null")
    assert page.locator("tr[data-name] td:last-child").all_inner_texts() == ["16"] * 3


def test_dollars_in_a_layers_name_are_shown_as_they_are(open_table):
    page = open_table(["cost$x^2$", NAMES[1]])
    assert page.locator("tbody .lrx-name").first.inner_text() == "cost$x^2$"
    assert page.locator(".lrx-title strong").inner_text() == "cost$x^2$"
    assert "mathjax_ignore" in page.locator(".lrx").get_attribute("class")
