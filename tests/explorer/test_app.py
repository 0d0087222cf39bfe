"""The explorer as a whole, without a kernel: `panel.set_state` is what the browser sends."""

import ipywidgets
import pytest
from explorer.networks import DEPTHWISE, HEAD, STEM, WIDE
from traitlets import TraitError


def chosen(explorer):
    return explorer.state.trait_values() | {"shown": (explorer.panel.layer, explorer.panel.rank)}


def test_a_layer_chosen_in_the_browser_is_drawn_with_its_own_rank_in_one_message(explorer, sent):
    explorer.panel.set_state({"layer": WIDE})
    assert explorer.state.layer == WIDE
    assert explorer.panel.rank == explorer.state.rank == 4
    assert explorer.panel.frame["title"].startswith("wide ·")
    assert len([message for message in sent.to(explorer.panel) if "frame" in message.names]) == 1


def test_a_layer_set_in_a_cell_is_sent_as_one_message_with_layer_rank_and_frame(explorer, sent):
    explorer.state.layer = WIDE
    frames = [message.names for message in sent.to(explorer.panel) if "frame" in message.names]
    assert len(frames) == 1
    assert {"frame", "layer", "rank"} <= frames[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("initializer", "spectral"), ("scheme", "spatial"), ("form", "tt"), ("activation", "gelu"), ("batch_norm", False)],
)
def test_each_choice_is_one_frame(explorer, sent, name, value):
    setattr(explorer.state, name, value)
    assert explorer.wait(60)
    frames = [message for message in sent.to(explorer.panel) if "frame" in message.names]
    pictures = len(explorer.panel.frame["plots"]) > 4
    assert 1 <= len(frames) <= 1 + pictures
    assert str(value) in explorer.panel.frame["key"]


def test_a_rank_from_the_browser_reaches_state_ranks_and_model(explorer):
    explorer.panel.set_state({"rank": 9})
    assert explorer.state.rank == 9
    assert explorer.state.ranks_by_hand == {STEM: 9}
    assert explorer.ranks()[STEM] == 9
    assert explorer.factors().rank == 9
    assert explorer.factorized_model().stem.rank == 9


def test_a_rank_from_the_browser_is_answered_with_its_exact_row_and_no_frame(explorer, sent):
    explorer.panel.set_state({"rank": 9})
    assert explorer.wait(60)
    assert all("frame" not in message.names for message in sent.to(explorer.panel))
    assert len(sent.to(explorer.panel, "custom")) == 1


def test_the_table_has_the_rank_of_every_layer_and_says_which_were_set_by_hand(explorer, sent):
    def ranks():
        return {
            row["name"]: (row["rank"], row["usual"]["rank"]) for row in explorer.panel.table["rows"] if "rank" in row
        }

    usual = {name: explorer.state.rank_of(name) for name in explorer.subject.names}
    assert ranks() == {name: (str(rank), str(rank)) for name, rank in usual.items()}
    sent.clear()
    explorer.panel.set_state({"rank": 9})
    assert explorer.wait(60)
    assert ranks() == {name: (str(rank), str(rank)) for name, rank in usual.items()} | {STEM: ("9", str(usual[STEM]))}
    assert len([message for message in sent.to(explorer.panel) if "table" in message.names]) == 1
    explorer.state.scheme = "spatial"
    assert explorer.wait(60)
    assert {name: int(rank) for name, (rank, _) in ranks().items()} == {
        name: explorer.state.rank_of(name, "spatial") for name in usual
    }


def test_a_rank_set_in_a_cell_is_shown(explorer):
    explorer.state.rank = 9
    assert explorer.panel.rank == 9


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (-4, 1), (10_000, 27)])
def test_a_rank_out_of_range_from_the_browser_becomes_the_nearest_one(explorer, asked, given):
    explorer.panel.set_state({"rank": asked})
    assert explorer.state.rank == given


@pytest.mark.parametrize("asked", [28, 10_000])
def test_a_rank_out_of_range_goes_back_also_where_it_changes_nothing(explorer, sent, asked):
    explorer.state.rank = 27
    explorer.panel.set_state({"rank": asked})
    assert (explorer.state.rank, explorer.panel.rank, sent.last(explorer.panel, "rank")) == (27, 27, 27)


def test_a_rank_is_a_number_even_where_true_was_given(explorer):
    explorer.state.rank = True
    assert type(explorer.state.rank) is int
    assert explorer.factors().rank == 1


def test_ranks_are_kept_for_each_layer(explorer):
    explorer.panel.set_state({"rank": 5})
    explorer.panel.set_state({"layer": HEAD})
    explorer.panel.set_state({"rank": 3})
    explorer.panel.set_state({"layer": STEM})
    assert (explorer.state.rank, explorer.panel.rank) == (5, 5)
    assert (explorer.ranks()[STEM], explorer.ranks()[HEAD]) == (5, 3)


def test_layer_and_rank_set_as_one_leave_state_panel_and_model_of_one_mind(explorer):
    with explorer.state.hold_trait_notifications():
        explorer.state.layer, explorer.state.rank = WIDE, 16
    assert explorer.state.rank == explorer.panel.rank == explorer.ranks()[WIDE]
    assert explorer.panel.layer == WIDE


def test_traits_can_be_linked_to_a_widget_of_ones_own(explorer):
    slider = ipywidgets.IntSlider(min=1, max=27)
    bond = ipywidgets.link((explorer.state, "rank"), (slider, "value"))
    slider.set_state({"value": 11})
    assert (explorer.state.rank, explorer.panel.rank) == (11, 11)
    explorer.panel.set_state({"rank": 2})
    assert slider.value == 2
    bond.unlink()


def test_a_name_that_the_browser_should_not_send_is_told_and_leaves_the_explorer_as_it_was(sent, open_explorer):
    explorer = open_explorer()
    explorer.wait(60)
    before = explorer.state.trait_values()
    explorer.panel.set_state({"layer": DEPTHWISE})
    assert "`layer`" in explorer.panel.error
    assert explorer.state.trait_values() == before
    assert (explorer.panel.layer, sent.last(explorer.panel, "layer")) == (STEM, STEM)
    explorer.panel.set_state({"layer": WIDE})
    assert explorer.panel.error == ""
    assert explorer.panel.frame["title"].startswith("wide ·")


@pytest.mark.parametrize(
    ("name", "value"), [("layer", "nope"), ("rank", 0), ("rank", 28), ("initializer", "svd"), ("scheme", "depth")]
)
def test_a_bad_value_in_a_cell_is_refused_there_and_nothing_moves(explorer, sent, name, value):
    before = chosen(explorer)
    with pytest.raises(TraitError):
        setattr(explorer.state, name, value)
    assert chosen(explorer) == before
    assert sent.messages == []
