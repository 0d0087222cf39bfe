import numpy as np
import pytest

from lrexplore.theory.moving_figure import MovingFigure


def moved():
    view = MovingFigure("one", "two")
    view.line(1, "stays", [0, 1], [0, 1])
    for exponent in (1, 2, 3):
        with view.moment(f"{exponent}", note=f"the power {exponent}"):
            view.line(1, "moves", [1, 2], [1, 2**exponent], "spectral")
            view.points(2, "follows", [exponent], [exponent])
    return view


def test_every_moment_is_a_frame_of_the_moving_traces_alone():
    view = moved()
    assert [trace.name for trace in view.figure.data] == ["stays", "moves", "follows"]
    assert [frame.name for frame in view.figure.frames] == ["1", "2", "3"]
    for frame, exponent in zip(view.figure.frames, (1, 2, 3), strict=True):
        assert tuple(frame.traces) == (1, 2)
        np.testing.assert_array_equal(frame.data[0].y, [1, 2**exponent])
        assert frame.layout.title.text == f"the power {exponent}"


def test_moving_traces_stand_in_their_panels_in_every_frame():
    view = moved()
    for moving in (view.figure.data[1:], *(frame.data for frame in view.figure.frames)):
        assert [(trace.xaxis, trace.yaxis, trace.legend) for trace in moving] == [
            ("x", "y", "legend"),
            ("x2", "y2", "legend2"),
        ]


def test_slider_and_buttons_name_frames_that_exist():
    figure = moved().slider("power", play=True)
    [slider], [menu] = figure.layout.sliders, figure.layout.updatemenus
    assert slider.currentvalue.prefix == "power: "
    assert [step.args[0][0] for step in slider.steps] == [frame.name for frame in figure.frames]
    assert [button.label for button in menu.buttons] == ["Play", "Pause"]
    assert figure.data[1].y[1] == 2 and figure.layout.title.text == "the power 1"


def test_a_moment_with_other_traces_is_refused():
    view = moved()
    with pytest.raises(ValueError, match="`moment` must draw 2 traces"), view.moment("4"):
        view.line(1, "moves", [1], [1])
