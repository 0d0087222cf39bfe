"""The still picture."""

from io import BytesIO

import numpy as np
import pytest
from explorer.networks import HEAD, STEM, small_network
from PIL import Image

from lrexplore.explorer.layer.compute import Study
from lrexplore.explorer.layer.frame import build_frame
from lrexplore.explorer.pictures.layer_picture import MARKERS, draw_png
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.theory.styles import STYLES


@pytest.fixture(scope="module")
def network():
    return Subject(small_network(), "small")


def frame_of(network, name, initializer="function"):
    choice = Choice(name, "channel", "relu", False)
    return build_frame(network, Study(network.problem(choice), network.layers[name].group_shape), choice, initializer)


@pytest.mark.parametrize("initializer", ["independent", "spectral", "function"])
@pytest.mark.parametrize("name", [STEM, HEAD])
def test_the_picture_is_a_png_with_all_plots_two_in_a_row(network, name, initializer):
    image = Image.open(BytesIO(draw_png(frame_of(network, name, initializer), 2, "small · 1 < 2")))
    image.load()
    assert image.format == "PNG"
    rows = 3
    assert image.height == pytest.approx(80 * (3.4 * rows + 0.6), abs=2)
    assert image.width == pytest.approx(80 * 10.4, abs=2)
    assert len(np.unique(np.asarray(image.convert("L")))) > 50


def test_another_rank_is_another_picture(network):
    frame = frame_of(network, HEAD, "spectral")
    assert draw_png(frame, 1, "small") != draw_png(frame, 5, "small")
    assert draw_png(frame, 1, "small") == draw_png(frame, 1, "small")


@pytest.mark.parametrize("heading", [r"$\frac$ · rank 1", "one $ two $ three", "$"])
def test_dollars_in_a_name_are_shown_and_set_no_formula(network, heading):
    frame = frame_of(network, HEAD, "spectral")
    assert draw_png(frame, 1, heading) != draw_png(frame, 1, heading.replace("$", ""))


def test_a_name_that_begins_like_mathematics_is_drawn_letter_by_letter(network):
    frame = frame_of(network, HEAD, "spectral")
    pictures = [draw_png(frame, 1, title) for title in ("cost$\\frac$", "cost$x^2$", "costx2")]
    assert len(set(pictures)) == 3


def test_an_initializer_whose_name_begins_like_mathematics_is_drawn_letter_by_letter(network):
    frame = frame_of(network, HEAD, "spectral")
    for plot in frame["plots"]:
        for trace in plot.get("data", ()):
            trace["name"] = "$\\frac$"
    assert draw_png(frame, 1, "small").startswith(b"\x89PNG")


def test_no_figure_stays_open(network):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    draw_png(frame_of(network, HEAD, "spectral"), 1, "small")
    assert plt.get_fignums() == before


def test_the_marker_of_every_initializer_can_be_drawn():
    assert {symbol.removesuffix("-open") for _, symbol in STYLES.values()} <= set(MARKERS)
