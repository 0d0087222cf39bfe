import numpy as np
import pytest
from browser.demo import demo_frame, demo_table

from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.panel.frames import pack_arrays
from lrexplore.explorer.panel.panel import STATIC, PlotPanel


class Messages(list):
    """What a panel sends, in place of the comm to a browser: (content, buffers)."""

    comm_id = "none"

    def send(self, data=None, metadata=None, buffers=None):
        self.append((data, buffers or []))

    def on_msg(self, callback):
        self.received = callback

    def open(self, *args, **kwargs):
        pass

    close = on_close = open


@pytest.fixture
def shown():
    """A panel that shows the demo frame, and the messages it sends from then on."""
    panel = PlotPanel(table=demo_table())
    panel.show(demo_frame(), layer="layer1.0.conv1", rank=16)
    messages = Messages()
    panel.comm = messages
    messages.clear()
    yield panel, messages
    panel.comm = None
    panel.close()


def receive(panel, content):
    panel._handle_msg({"content": {"data": content}, "buffers": []})


def test_a_new_frame_with_layer_and_rank_is_one_message(shown):
    panel, messages = shown
    panel.show(demo_frame("layer1.0.conv2", seed=1), layer="layer1.0.conv2", rank=8)
    assert len(messages) == 1
    assert messages[0][0]["state"].keys() == {"frame", "layer", "rank"}


def test_the_arrays_of_a_frame_travel_as_their_own_bytes(shown):
    panel, messages = shown
    frame = demo_frame("layer1.0.conv2", seed=1)
    panel.show(frame)
    by_rank = frame["plots"][2]["by_rank"][0]["values"]
    assert by_rank["buffer"] in [bytes(buffer) for buffer in messages[0][1]]
    assert len(by_rank["buffer"]) == 64 * 500 * 4


def test_numpy_values_anywhere_in_a_frame_are_packed(shown):
    packed = pack_arrays({"a": [np.float64(2.5), {"b": np.arange(3)}], "c": np.array(["x", "y"]), "d": (1, None)})
    assert packed["a"][0] == 2.5 and type(packed["a"][0]) is float
    np.testing.assert_array_equal(unpack(packed["a"][1]["b"]), [0, 1, 2])
    assert packed["c"] == ["x", "y"]
    assert packed["d"] == [1, None]


def test_a_rank_that_the_browser_sets_reaches_observers(shown):
    panel, _ = shown
    seen = []
    panel.observe(lambda change: seen.append(change.new), "rank")
    receive(panel, {"method": "update", "state": {"rank": 17}, "buffer_paths": []})
    assert seen == [17]


def test_a_patch_of_the_frame_on_screen_is_sent_and_kept(shown):
    panel, messages = shown
    curve = np.linspace(1, 0, 64)
    patch = {
        "key": panel.frame["key"],
        "plots": {"error": {"data": {2: {"y": curve}}}},
        "by_rank": {"neurons": {0: np.zeros((64, 500), dtype=np.float32)}},
        "readouts": {"function_error": curve},
    }
    assert panel.amend(patch)
    assert [data["state"].keys() for data, _ in messages] == [{"patch"}]
    kept = {plot["id"]: plot for plot in panel.frame["plots"]}
    np.testing.assert_allclose(unpack(kept["error"]["data"][2]["y"]), curve, rtol=1e-6)
    assert unpack(kept["neurons"]["by_rank"][0]["values"]).max() == 0
    np.testing.assert_allclose(unpack(panel.frame["readouts"][0]["values"]), curve, rtol=1e-6)


def test_a_patch_of_another_frame_is_dropped(shown):
    panel, messages = shown
    assert not panel.amend({"key": "another", "plots": {"error": {"data": {0: {"y": np.zeros(64)}}}}})
    assert messages == []


def test_the_same_patch_can_be_sent_again_after_another_frame(shown):
    panel, messages = shown
    patch = {"key": panel.frame["key"], "readouts": {"function_error": np.zeros(64)}}
    first = demo_frame()
    panel.amend(patch)
    panel.show(demo_frame("layer1.0.conv2", seed=1))
    panel.show(first)
    messages.clear()
    assert panel.amend(patch)
    assert len(messages) == 1


def test_an_exact_row_travels_as_buffers_that_its_description_points_to(shown):
    panel, messages = shown
    y, size = np.linspace(0, 1, 500), np.full(500, 3.0)
    panel.send_row(11, {"neurons": [y, size]})
    ((data, buffers),) = messages
    content = data["content"]
    assert (content["type"], content["rank"], content["key"]) == ("row", 11, panel.frame["key"])
    for array, described in zip((y, size), content["rows"]["neurons"], strict=True):
        back = unpack(described | {"buffer": buffers[described["buffer"]]})
        np.testing.assert_allclose(back, array, rtol=1e-6)


def test_cancel_calls_back_and_other_messages_do_not(shown):
    panel, _ = shown
    calls = []
    panel.on_cancel(lambda: calls.append(1))
    receive(panel, {"method": "custom", "content": {"type": "cancel"}})
    receive(panel, {"method": "custom", "content": {"type": "other"}})
    assert calls == [1]


def test_a_frame_that_lacks_a_part_is_refused_and_the_panel_stays_as_it_was(shown):
    panel, messages = shown
    before = panel.frame
    frame = demo_frame()
    del frame["ranks"]
    with pytest.raises(ValueError, match="`frame` must have 'ranks', got only"):
        panel.show(frame)
    assert panel.frame is before
    assert messages == []


def test_a_readout_without_a_value_for_every_rank_is_refused(shown):
    panel, _ = shown
    frame = demo_frame()
    frame["readouts"][0]["values"] = np.zeros(63)
    with pytest.raises(ValueError, match="`readouts` 'function_error' must hold one value a rank, 64, got shape"):
        panel.show(frame)


@pytest.mark.parametrize(("plot", "path"), [(2, ("by_rank", 0, "values")), (4, ("images", 1, "by_rank"))])
def test_a_table_without_a_row_for_every_rank_is_refused(shown, plot, path):
    panel, _ = shown
    frame = demo_frame()
    name, entry, key = path
    frame["plots"][plot][name][entry][key] = np.zeros((63, 4, 4, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="must hold one row for each of the 64 `ranks`, got shape"):
        panel.show(frame)


def test_two_panels_do_not_share_their_state():
    first, second = PlotPanel(), PlotPanel()
    first.show(demo_frame(), rank=5)
    assert second.frame == {} and second.rank == 1
    first.close()
    second.close()


def test_script_and_styles_at_first_display_are_below_700_kb():
    panel = PlotPanel()
    assert len(panel._esm) + len(str(panel._css)) < 700_000
    panel.close()


def test_script_and_styles_stay_small_and_the_licences_of_what_they_hold_are_beside_them():
    assert sum((STATIC / name).stat().st_size for name in ("panel.js", "panel.css")) < 1_410_000
    assert "==== plotly.js 4" in (STATIC / "LICENSES.txt").read_text(encoding="utf-8")


def test_the_lock_file_names_no_registry():
    assert "resolved" not in (STATIC / "package-lock.json").read_text(encoding="utf-8")
