"""The form that starts runs."""

import pytest

from lrexplore.explorer.training.form import BY_HAND, WHOLE, TrainingForm
from lrexplore.recipes import configure


@pytest.fixture
def form():
    made = TrainingForm(by_hand=True)
    yield made
    made.close()


def pick(dropdown, value):
    """What the browser sends for a choice in a dropdown."""
    dropdown.set_state({"index": dropdown.options.index(value)})


def test_what_the_form_says_at_first_is_a_run_that_training_takes(form):
    config = configure(**form.choices())
    assert (config.model, config.rank_scale, config.initializer) == ("resnet20", 0.1, "function")
    assert (config.epochs, config.seed) == (4, 0)
    assert not form.start.disabled


def test_every_field_reaches_the_choices(form):
    form.model.set_state({"value": "resnet32"})
    form.rank_scale.set_state({"value": 0.2})
    pick(form.initializer, "spectral")
    pick(form.scheme, "spatial")
    pick(form.decay, "weight")
    form.strength.set_state({"value": 0.0005})
    pick(form.unit, "steps")
    form.length.set_state({"value": 30})
    form.seed.set_state({"value": 4})
    form.name.set_state({"value": " mine "})
    assert form.choices() == {
        "model": "resnet32", "data": "fashion-mnist", "rank_scale": 0.2, "initializer": "spectral", "scheme": "spatial",
        "decay": "weight", "decay_strength": 0.0005, "steps": 30, "seed": 4, "name": "mine",
    }  # fmt: skip


def test_an_unfactorized_run_has_no_choices_of_factors(form):
    pick(form.ranks, WHOLE)
    assert not {"rank_scale", "initializer", "scheme"} & form.choices().keys()
    assert not configure(**form.choices()).factorized
    assert form.rank_scale.disabled
    assert form.initializer.disabled


def test_a_network_of_ones_own_turns_the_button_off_and_says_why(form):
    form.model.set_state({"value": "MyNetwork"})
    assert form.start.disabled
    assert "knows by name" in form.start.tooltip
    assert "MyNetwork" in form.reason.value
    form.model.set_state({"value": "resnet44"})
    assert not form.start.disabled
    assert form.reason.value == ""


def test_ranks_set_by_hand_belong_to_the_network_on_screen(form):
    pick(form.ranks, BY_HAND)
    assert "rank_scale" not in form.choices()
    assert not form.start.disabled
    form.model.set_state({"value": "resnet32"})
    assert form.start.disabled
    assert "resnet20" in form.reason.value


def test_steps_are_whole(form):
    pick(form.unit, "steps")
    form.length.set_state({"value": 2.5})
    with pytest.raises(ValueError, match="`steps` must be a whole number"):
        form.choices()


def test_a_number_out_of_range_becomes_the_nearest_one_in_it(form):
    form.rank_scale.set_state({"value": 7.0})
    assert form.choices()["rank_scale"] == 1


def test_an_initializer_that_training_does_not_know_leaves_the_form_alone(form):
    form.follow("spectral", "spatial")
    form.follow("whitened", "channel")
    assert (form.initializer.value, form.scheme.value) == ("spectral", "channel")
