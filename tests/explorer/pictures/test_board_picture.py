"""The still picture of a board."""

from io import BytesIO

import numpy as np
import pytest
from explorer.recorded import record
from PIL import Image

from lrexplore.explorer.pictures.board_picture import draw_board_png
from lrexplore.explorer.training.tab import TrainingTab

FUNCTION, SPECTRAL, INK = (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x22, 0x22, 0x22)


@pytest.fixture
def tab(tmp_path):
    """The tab, at rest, of four runs and an unfactorized one."""
    for initializer, seeds in (("function", (0, 1)), ("spectral", (3, 4))):
        for seed in seeds:
            record(tmp_path / f"{initializer}-{seed}", initializer=initializer, seed=seed)
    record(tmp_path / "whole", rank_scale=None)
    opened = TrainingTab(tmp_path)
    opened.show(False)
    yield opened
    opened.close()


def pixels(tab):
    image = Image.open(BytesIO(draw_board_png(tab._frame)))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


def area(image, color, near=12):
    """How many pixels have about a color, (red, green, blue)."""
    return int((abs(image - np.array(color)).max(axis=2) < near).sum())


def test_the_picture_has_every_curve_in_its_color_and_the_baseline_in_ink(tab):
    image = pixels(tab)
    assert image.shape[1] > 1.5 * image.shape[0]
    for color in (FUNCTION, SPECTRAL, INK):
        assert area(image, color), color
    tab.state.checked = ["spectral-3", "spectral-4"]
    tab.state.baseline = "none"
    assert not area(pixels(tab), FUNCTION)


def test_a_band_is_drawn_around_means_alone(tab):
    faint = 255 - 0.18 * (255 - np.array(SPECTRAL))
    tab.state.checked, tab.state.baseline = ["spectral-3", "spectral-4"], "none"
    assert area(pixels(tab), faint, 3) > 2000
    tab.state.checked, tab.state.smoothing = ["spectral-3"], 0
    assert area(pixels(tab), faint, 3) < 200


@pytest.mark.parametrize(
    "choice",
    [{"log_x": True, "log_y": True}, {"layer": "every layer of the selected run"}, {"grouping": "single runs"},
     {"layer": "every layer of the selected run", "log_x": True}],
)  # fmt: skip
def test_every_choice_is_another_picture(tab, choice):
    before = pixels(tab)
    for name, value in choice.items():
        setattr(tab.state, name, value)
    after = pixels(tab)
    assert after.shape != before.shape or (after != before).any()


def test_a_board_without_plots_has_no_picture(tab):
    tab.state.checked = []
    assert draw_board_png(tab._frame) == b""
    assert "image/png" not in tab._repr_mimebundle_()


def test_names_that_begin_like_mathematics_are_drawn_letter_by_letter(tab):
    tab.state.layer = "every layer of the selected run"
    frame = {**tab._frame, "title": "runs in $\\frac$"}
    for plot in frame["plots"]:
        plot["label"] = "$\\frac$"
        for trace in plot["data"]:
            trace["name"] = "$\\frac$"
            if trace["type"] == "heatmap":
                trace["y"] = [f"$\\frac$ {layer}" for layer in trace["y"]]
    assert draw_board_png(frame).startswith(b"\x89PNG")


def test_no_figure_stays_open(tab):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    pixels(tab)
    assert plt.get_fignums() == before
