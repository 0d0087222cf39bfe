"""The pickers and the state are one."""

import pytest
from explorer.networks import HEAD, POINT, STEM, WIDE, small_network

from lrexplore.explorer.layer.controls import Controls
from lrexplore.explorer.layer.state import State
from lrexplore.explorer.subject import Subject

PICKERS = [("initializer", "sampled"), ("scheme", "spatial"), ("activation", "gelu")]


@pytest.fixture
def state():
    return State(Subject(small_network(), "a <small> & odd name"))


@pytest.fixture
def controls(state):
    made = Controls(state, state._subject, lambda: None, list().append)
    yield made
    made.close()


def pick(dropdown, value):
    """What the browser sends for a choice in a dropdown."""
    dropdown.set_state({"index": dropdown.options.index(value)})


@pytest.mark.parametrize(("name", "value"), PICKERS)
def test_a_choice_in_the_browser_reaches_the_state(state, controls, name, value):
    pick(getattr(controls, name), value)
    assert getattr(state, name) == value


@pytest.mark.parametrize(("name", "value"), PICKERS)
def test_a_trait_set_in_a_cell_moves_its_picker(state, controls, name, value):
    setattr(state, name, value)
    assert getattr(controls, name).value == value


def test_the_batch_norm_box_and_the_state_are_one(state, controls):
    assert controls.batch_norm.value
    controls.batch_norm.set_state({"value": False})
    assert not state.batch_norm
    state.batch_norm = True
    assert controls.batch_norm.value


def test_a_layer_moves_the_pickers_to_what_follows_it(state, controls):
    state.layer = WIDE
    assert (controls.activation.value, controls.batch_norm.value) == ("silu", False)


@pytest.mark.parametrize(("name", "disabled"), [(STEM, False), (POINT, True), (HEAD, True)])
def test_the_scheme_is_a_choice_only_where_both_differ(state, controls, name, disabled):
    state.layer = name
    assert controls.scheme.disabled == disabled


def test_every_picker_has_a_label_and_says_what_it_does(controls):
    for picker in (controls.initializer, controls.scheme, controls.activation, controls.batch_norm):
        assert picker.description
        assert picker.tooltip


def test_a_name_is_shown_as_text(controls):
    title = controls.title.value
    assert "a &lt;small> &amp; odd name" in title


def test_closed_controls_no_longer_follow_the_state(state):
    made = Controls(state, state._subject, lambda: None, list().append)
    made.close()
    made.close()
    state.initializer = "spectral"
    assert made.initializer.value == "function"
