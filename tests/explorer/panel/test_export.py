import json
import re
from html.parser import HTMLParser

import pytest
from browser.demo import demo_frame, demo_table

from lrexplore.explorer.panel.export import to_html
from lrexplore.explorer.panel.panel import PlotPanel

FIRST, SECOND = (row["name"] for row in demo_table()["rows"][:2])


class Scripts(HTMLParser):
    """Texts of a page's script elements, by their id."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.addresses, self.at = {}, [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [attributes[name] for name in ("src", "href") if name in attributes]
        self.at = attributes.get("id", "module") if tag == "script" else None

    def handle_data(self, data):
        if self.at:
            self.texts[self.at] = self.texts.get(self.at, "") + data

    def handle_endtag(self, tag):
        self.at = None


@pytest.fixture
def state():
    return {"table": demo_table(), "layer": FIRST, "rank": 16, "frame": demo_frame(FIRST)}


def written(path):
    return Scripts(path.read_text(encoding="utf-8"))


def test_a_page_loads_nothing_from_elsewhere(state, tmp_path):
    page = written(to_html(state, tmp_path / "page.html", "demo"))
    assert page.addresses == []


def test_a_page_has_the_layers_whose_frames_it_has(state, tmp_path):
    alone = json.loads(written(to_html(state, tmp_path / "one.html", "demo")).texts["state"])
    assert [row["name"] for row in alone["table"]["rows"]] == [FIRST]
    both = to_html(state, tmp_path / "two.html", "demo", frames={SECOND: demo_frame(SECOND, seed=1)})
    assert [row["name"] for row in json.loads(written(both).texts["state"])["table"]["rows"]] == [FIRST, SECOND]


def test_a_panels_own_state_can_be_written(state, tmp_path):
    panel = PlotPanel(table=state["table"])
    panel.show(state["frame"], layer=FIRST, rank=16)
    page = written(to_html(panel.get_state(), tmp_path / "page.html", "demo"))
    assert json.loads(page.texts["state"])["rank"] == 16
    panel.close()


def test_text_that_looks_like_markup_stays_text(state, tmp_path):
    state["frame"]["title"] = "</script><script>alert(1)</script>"
    path = to_html(state, tmp_path / "page.html", "<b>&</b>")
    page = written(path)
    assert set(page.texts) == {"state", "source", "module"}
    assert json.loads(page.texts["state"])["frame"]["title"] == state["frame"]["title"]
    assert re.search("<title>(.*?)</title>", path.read_text(encoding="utf-8"))[1] == "&lt;b&gt;&amp;&lt;/b&gt;"
