"""The traits: what they take, what they refuse, and what follows from a layer or a scheme."""

from threading import Thread

import pytest
from explorer.networks import DEPTHWISE, GROUPED, HEAD, STEM, WIDE, linear_network, small_network
from torch import nn
from traitlets import TraitError

from lrexplore.explorer.layer.state import State
from lrexplore.explorer.subject import Subject
from lrexplore.linalg import rank_from_scale

NAMES = ("layer", "rank", "initializer", "scheme", "activation", "batch_norm")


@pytest.fixture
def network():
    return Subject(small_network(), "small")


@pytest.fixture
def state(network):
    return State(network)


def values(state):
    return {name: getattr(state, name) for name in NAMES}


def test_the_first_layer_is_chosen_with_its_rank_and_what_was_found_to_follow(state):
    assert values(state) == {
        "layer": STEM,
        "rank": rank_from_scale((40, 27), 0.25),
        "initializer": "function",
        "scheme": "channel",
        "activation": "relu",
        "batch_norm": True,
    }


def test_a_layer_brings_its_rank_and_what_was_found_to_follow(state):
    state.layer = WIDE
    assert (state.activation, state.batch_norm, state.rank) == ("silu", False, 4)
    state.layer = HEAD
    assert (state.activation, state.batch_norm, state.rank) == ("identity", False, 2)
    state.layer = STEM
    assert (state.activation, state.batch_norm, state.rank) == ("relu", True, 7)


def test_a_scheme_brings_the_rank_of_its_own_matrix(state):
    state.layer = GROUPED
    assert state.max_rank == 8
    state.scheme = "spatial"
    assert state.max_rank == 24
    assert state.rank == 6


def test_a_rank_set_before_comes_back_with_its_layer(state):
    state.layer = WIDE
    state.rank = 9
    state.layer = HEAD
    assert state.ranks_by_hand == {WIDE: 9}
    state.layer = WIDE
    assert state.rank == 9


def test_a_rank_kept_for_one_scheme_fits_the_other(state):
    state.rank = 27
    assert (state.rank_of(STEM), state.rank_of(STEM, "spatial"), state.rank_of(WIDE)) == (27, 9, 4)


def test_values_assigned_as_one_are_checked_together_and_refused_together(state):
    state.assign(rank=16, layer=WIDE, scheme="channel")
    assert (state.layer, state.rank, state.activation, state.ranks_by_hand) == (WIDE, 16, "silu", {WIDE: 16})
    before = values(state)
    for refused in ({"layer": STEM, "rank": 28}, {"layer": "nope", "rank": 1}, {"rank": 2, "nope": 1}):
        with pytest.raises(TraitError):
            state.assign(**refused)
        assert values(state) == before


def test_four_threads_may_set_the_state_at_once(state):
    errors = []

    def set_again_and_again(name, rank):
        try:
            for _ in range(200):
                state.assign(layer=name, rank=rank)
                state.layer = name
        except BaseException as error:
            errors.append(error)

    chosen = ((STEM, 27), (WIDE, 16), (HEAD, 6), (GROUPED, 8))
    threads = [Thread(target=set_again_and_again, args=each) for each in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert 1 <= state.rank <= state.max_rank


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("layer", "hed", ["`layer`", "'hed'", HEAD]),
        ("layer", DEPTHWISE, ["`layer`", DEPTHWISE, "depthwise"]),
        ("layer", 3, ["'layer'"]),
        ("rank", 0, ["`rank`", "1..27", "got 0"]),
        ("rank", -1, ["`rank`", "1..27", "got -1"]),
        ("rank", 28, ["`rank`", "1..27", "got 28"]),
        ("rank", 2.5, ["'rank'", "2.5"]),
        ("initializer", "svd", ["`initializer`", "spectral", "svd"]),
        ("scheme", "depth", ["'scheme'", "spatial", "depth"]),
        ("activation", "Relu", ["`activation`", "relu", "Relu"]),
        ("batch_norm", "yes", ["'batch_norm'", "yes"]),
    ],
)
def test_a_value_out_of_range_is_refused_and_changes_nothing(state, name, value, told):
    before = values(state)
    with pytest.raises(TraitError) as caught:
        setattr(state, name, value)
    assert values(state) == before
    for part in told:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["status", "progress"])
def test_status_and_progress_are_only_told(state, name):
    with pytest.raises(TraitError):
        setattr(state, name, getattr(state, name))
    state.tell("working", 0.5)
    assert (state.status, state.progress) == ("working", 0.5)


def test_telling_does_not_open_a_way_round_the_checks(state):
    def set_a_bad_rank(change):
        with pytest.raises(TraitError):
            state.rank = 5000

    state.observe(set_a_bad_rank, names=["status", "progress"])
    before = state.rank
    state.tell("working", 0.5)
    assert state.rank == before


def test_a_model_that_is_one_layer_has_its_rank_at_once():
    state = State(Subject(nn.Linear(16, 8), "one"))
    assert (state.layer, state.rank, state.activation) == ("", 2, "identity")


def test_the_choice_is_what_a_study_is_of(state):
    state.layer = HEAD
    state.activation, state.batch_norm = "gelu", True
    choice = state.choice
    assert (choice.layer, choice.scheme, choice.activation, choice.batch_norm) == (HEAD, "channel", "gelu", True)


def test_traits_can_be_observed_by_name():
    state, seen = State(Subject(linear_network(), "two")), []
    state.observe(lambda change: seen.append((change["name"], change["new"])), names=["layer", "rank"])
    state.rank = 7
    state.layer = "2"
    assert seen == [("rank", 7), ("rank", 2), ("layer", "2")]
