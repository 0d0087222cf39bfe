"""The frame that the browser gets, its compact form, and patches that bring it up to date."""

import numpy as np
import pytest
from explorer.networks import GROUPED, HEAD, STEM, WIDE, small_network
from torch import nn

from lrexplore.explorer.layer.compute import Study
from lrexplore.explorer.layer.frame import (
    build_frame,
    build_patch,
    build_time_patch,
    compact,
    error_readouts,
    key_of,
    known_curves,
)
from lrexplore.explorer.layer.times import LayerTime
from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.panel.panel import PlotPanel, check_frame, pack_arrays
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.linalg import parameter_ratio


@pytest.fixture(scope="module")
def network():
    return Subject(small_network(), "small")


def choose(network, name, scheme="channel"):
    choice = Choice(name, scheme, "relu", name == STEM)
    return choice, Study(network.problem(choice), network.layers[name].group_shape)


def fill(study, initializer="function"):
    for _ in study.fill(initializer, 1, lambda: False):
        pass


def readout(frame, name):
    return next(item for item in frame["readouts"] if item["id"] == name)


@pytest.mark.parametrize("initializer", ["independent", "spectral", "rescaled", "function", "sampled"])
@pytest.mark.parametrize("name", [STEM, WIDE, GROUPED, HEAD])
def test_the_browser_can_draw_every_frame(network, name, initializer):
    choice, study = choose(network, name)
    check_frame(pack_arrays(compact(build_frame(network, study, choice, initializer))))


def test_frames_of_different_choices_have_different_keys(network):
    choices = [
        Choice(name, scheme, activation, norm)
        for name in (STEM, WIDE)
        for scheme in ("channel", "spatial")
        for activation in ("relu", "gelu")
        for norm in (False, True)
    ]
    keys = {key_of(choice, initializer) for choice in choices for initializer in ("spectral", "function")}
    assert len(keys) == 2 * len(choices)


def test_only_what_is_known_is_drawn(network):
    _, study = choose(network, WIDE)
    assert set(known_curves(study)) == {"independent", "spectral", "rescaled"}
    study.add("function", 3)
    assert set(known_curves(study)) == {"independent", "spectral", "rescaled", "function"}


def test_readouts_have_a_value_for_every_rank(network):
    choice, study = choose(network, WIDE)
    fill(study)
    frame = build_frame(network, study, choice, "function")
    for item in frame["readouts"]:
        assert item["values"].shape == (study.max_rank,)
    np.testing.assert_allclose(
        readout(frame, "function_error")["values"], study.curve("function").function_error, rtol=1e-6
    )
    np.testing.assert_allclose(readout(frame, "energy")["values"], study.energy, rtol=1e-6)


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_the_parameter_readout_is_the_parameter_ratio(network, scheme):
    choice, study = choose(network, WIDE, scheme)
    frame = build_frame(network, study, choice, "spectral")
    shape = network.layers[WIDE].matrix_shape(scheme)
    expected = [parameter_ratio(shape, rank) for rank in range(1, study.max_rank + 1)]
    np.testing.assert_allclose(readout(frame, "parameters")["values"], expected, rtol=1e-6)


def test_parameters_are_saved_up_to_the_break_even_mark_and_not_past_it(network):
    choice, study = choose(network, WIDE)
    frame = build_frame(network, study, choice, "spectral")
    (mark,) = frame["marks"]
    saved = readout(frame, "parameters")["values"] < 1
    assert saved[: mark["rank"]].all()
    assert not saved[mark["rank"] :].any()


def test_what_is_not_known_of_the_chosen_initializer_is_nan(network):
    choice, study = choose(network, WIDE)
    frame = build_frame(network, study, choice, "function")
    for name in ("function_error", "frobenius_error", "saved"):
        assert np.isnan(readout(frame, name)["values"]).all()


@pytest.mark.parametrize("name", ["function_error", "frobenius_error", "saved"])
def test_no_number_is_claimed_between_far_ranks_that_are_known(network, name):
    _, study = choose(network, WIDE)
    study.add("function", 4)
    study.add("function", 12)
    values = error_readouts(study, "function", known_curves(study))[name]
    assert np.flatnonzero(~np.isnan(values)).tolist() == [3, 11]


def test_a_readout_between_the_ranks_of_a_table_says_that_it_is_about(network):
    layer = nn.Linear(80, 70)
    subject = Subject(layer, "one")
    choice = Choice("", "channel", "identity", False)
    frame = build_frame(subject, Study(subject.problem(choice), (70, 80)), choice, "function")
    assert readout(frame, "function_error")["note"].endswith("≈ between the 64 ranks computed")
    choice, study = choose(network, WIDE)
    assert "≈" not in readout(build_frame(network, study, choice, "function"), "function_error")["note"]


def test_only_ranks_that_were_computed_have_a_number_that_is_not_about_right():
    layer = nn.Linear(80, 70)
    subject = Subject(layer, "one")
    choice = Choice("", "channel", "identity", False)
    study = Study(subject.problem(choice), (70, 80))
    between = next(rank for rank in range(1, 71) if rank not in study.table_ranks)
    fill(study)
    about = [
        set(np.flatnonzero(item["near"]) + 1) for item in errors_of(build_frame(subject, study, choice, "function"))
    ]
    unknown = set(range(1, 71)) - set(study.table_ranks.tolist())
    assert about == [unknown] * 4
    study.add("function", between)
    study.add("spectral", between)
    about = [
        set(np.flatnonzero(item["near"]) + 1) for item in errors_of(build_frame(subject, study, choice, "function"))
    ]
    assert about == [unknown - {between}] * 4


def errors_of(frame):
    return [readout(frame, name) for name in ("function_error", "frobenius_error", "saved", "above_floor")]


def test_against_spectral_is_one_quantity_in_one_unit_in_readout_and_plot(network):
    choice, study = choose(network, WIDE)
    fill(study)
    frame = build_frame(network, study, choice, "function")
    plot = next(plot for plot in frame["plots"] if plot["id"] == "gain")
    (curve,) = [trace for trace in plot["data"] if trace["name"] == "function"]
    readout_percent = 100 * readout(frame, "saved")["values"][curve["x"].astype(int) - 1]
    np.testing.assert_allclose(readout_percent, curve["y"], atol=1.1e-3)
    assert "output energy" in readout(frame, "saved")["note"]
    assert "output energy" in plot["layout"]["yaxis"]["title"]["text"]


def test_a_first_convolution_shows_its_filters(network):
    ids = {}
    for name in (STEM, WIDE):
        choice, study = choose(network, name)
        ids[name] = [plot["id"] for plot in build_frame(network, study, choice, "spectral")["plots"]]
    assert ids[WIDE] == ["error", "gain", "spectrum", "neurons", "time"]
    assert ids[STEM] == [*ids[WIDE], "filters"]


@pytest.mark.parametrize("drawn", ["function", "spectral"])
def test_a_patched_frame_is_the_frame_built_afresh(network, drawn):
    choice, study = choose(network, WIDE)
    panel = PlotPanel()
    panel.show(compact(build_frame(network, study, choice, drawn)))
    fill(study)
    assert panel.amend(build_patch(study, choice, drawn, "function"))
    wanted = pack_arrays(compact(build_frame(network, study, choice, drawn)))
    assert panel.frame["key"] == wanted["key"]
    for ours, theirs in zip(panel.frame["readouts"], wanted["readouts"], strict=True):
        np.testing.assert_array_equal(unpack(ours["values"]), unpack(theirs["values"]))
        assert ("near" in ours) == ("near" in theirs)
        if "near" in ours:
            np.testing.assert_array_equal(unpack(ours["near"]), unpack(theirs["near"]))
    for ours, theirs in zip(panel.frame["plots"], wanted["plots"], strict=True):
        assert ours["layout"] == theirs["layout"]
        for old, new in zip(ours["data"], theirs["data"], strict=True):
            np.testing.assert_allclose(unpack(old["x"]), unpack(new["x"]))
            if ours["id"] != "neurons":
                np.testing.assert_allclose(unpack(old["y"]), unpack(new["y"]))
        for old, new in zip(ours["by_rank"], theirs["by_rank"], strict=True):
            np.testing.assert_array_equal(unpack(old["values"]), unpack(new["values"]))
    panel.close()


def test_a_measured_time_patches_its_plot_and_its_readout(network):
    choice, study = choose(network, WIDE)
    time = LayerTime(np.array([1, 16]), np.array([1.0, 4.0]), 2.0, "8 inputs at once")
    panel = PlotPanel()
    panel.show(compact(build_frame(network, study, choice, "spectral")))
    assert np.isnan(unpack(readout(panel.frame, "time")["values"])).all()
    assert panel.amend(build_time_patch(network, study, choice, "spectral", time))
    wanted = pack_arrays(compact(build_frame(network, study, choice, "spectral", time)))
    assert pack_arrays(panel.frame["plots"][-1]) == wanted["plots"][-1]
    ratios = unpack(readout(panel.frame, "time")["values"])
    np.testing.assert_array_equal(ratios, unpack(readout(wanted, "time")["values"]))
    np.testing.assert_allclose(ratios, np.linspace(0.5, 2, 16), rtol=1e-6)
    panel.close()


def test_a_patch_without_tables_has_the_curves_and_no_neurons(network):
    choice, study = choose(network, WIDE)
    fill(study)
    whole = build_patch(study, choice, "function", "function")
    small = build_patch(study, choice, "function", "function", tables=False)
    assert "by_rank" in whole
    assert set(whole) - set(small) == {"by_rank"}
    for name, change in whole["plots"]["error"]["data"].items():
        np.testing.assert_array_equal(small["plots"]["error"]["data"][name]["y"], change["y"])


def test_two_bytes_a_number_keep_four_digits(network):
    choice, study = choose(network, WIDE)
    fill(study)
    frame = build_frame(network, study, choice, "function")
    small = compact(frame)
    for plot, packed in zip(frame["plots"], small["plots"], strict=True):
        for entry, short in zip(plot["by_rank"], packed["by_rank"], strict=True):
            reach = np.ptp(entry["values"])
            np.testing.assert_allclose(unpack(short["values"]), entry["values"], atol=reach / 65534 + 1e-6)
