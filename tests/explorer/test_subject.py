"""The network under study: its layers, the ranks kept, costs and words."""

import pytest
import torch
from explorer.networks import DEPTHWISE, GROUPED, HEAD, POINT, STEM, WIDE, linear_network, small_network
from torch import nn

from lrexplore.explorer.layer.layer_table import layer_table
from lrexplore.explorer.layer.words import follows, summary, title
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.linalg import stable_rank
from lrexplore.network import replace_layers


@pytest.fixture
def network():
    return Subject(small_network(), "small")


def choice_of(network, name, scheme="channel"):
    found = network.layers[name].follows
    return Choice(name, scheme, found.activation, found.batch_norm is not None)


def num_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_names_are_the_layers_that_can_be_factorized_in_module_order(network):
    assert network.names == [STEM, WIDE, GROUPED, POINT, HEAD]
    assert DEPTHWISE in network.layers


def test_a_problem_holds_the_matrix_and_what_follows(network):
    problem = network.problem(choice_of(network, STEM))
    torch.testing.assert_close(problem.matrix, network.model.stem.weight.flatten(1))
    torch.testing.assert_close(problem.batch_norm.gamma, network.model.norm.weight)
    torch.testing.assert_close(problem.batch_norm.beta, network.model.norm.bias)
    assert problem.activation == "relu"


def test_a_grouped_problem_is_that_of_the_first_group(network):
    problem = network.problem(choice_of(network, GROUPED))
    torch.testing.assert_close(problem.matrix, network.model.grouped.weight[:8].flatten(1))
    spatial = network.problem(choice_of(network, GROUPED, "spatial"))
    assert tuple(spatial.matrix.shape) == (24, 24)
    assert spatial.rows == 3


def test_batch_norm_that_the_model_lacks_has_scale_one_and_shift_zero(network):
    norm = network.problem(Choice(GROUPED, "channel", "relu", True)).batch_norm
    torch.testing.assert_close(norm.gamma, torch.ones(8))
    torch.testing.assert_close(norm.beta, torch.zeros(8))


def test_the_default_rank_is_that_of_the_rank_scale(network):
    assert (network.default_rank(STEM, "channel"), network.default_rank(WIDE, "channel")) == (7, 4)


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("name", [STEM, WIDE, POINT, HEAD])
def test_costs_are_what_a_factorized_layer_holds(network, name, scheme):
    rank = 2
    factorized = replace_layers(network.model, ranks={name: rank}, scheme=scheme)
    weights = torch.Size(network.layers[name].weight_shape).numel()
    change = num_parameters(factorized) - num_parameters(network.model)
    parameters, flops = network.costs(name, scheme)
    assert rank * parameters == pytest.approx(1 + change / weights)
    assert 0 < flops < 1


def test_costs_of_multiply_adds_are_none_where_they_are_not_known():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.only = nn.Conv2d(2, 8, 3)

        def forward(self, image, scale):
            return self.only(image) * scale.item()

    network = Subject(Odd(), "odd")
    assert network.layers["only"].flops is None
    assert network.costs("only", "channel")[1] is None
    assert "multiply-adds" not in summary(network)


def test_the_title_says_layer_matrix_kind_and_what_follows(network):
    assert title(network, choice_of(network, STEM)) == "stem · 40 x 27 · conv 3 x 3 · then BN, ReLU"
    assert title(network, choice_of(network, GROUPED)).startswith("grouped · 8 x 72 · conv 3 x 3 · group 1 of 2")
    assert title(network, choice_of(network, HEAD)) == "head · 6 x 20 · linear · then nothing"


def test_a_chosen_activation_is_told_from_a_detected_one(network):
    words = follows(network, Choice(STEM, "channel", "gelu", False))
    assert "gelu (chosen; the model has BN, ReLU)" in words


def test_the_table_has_every_layer_and_the_reason_why_one_cannot_be_chosen(network):
    rows = {row["name"]: row for row in layer_table(network)["rows"]}
    assert list(rows) == list(network.layers)
    assert "depthwise" in rows[DEPTHWISE]["disabled"]
    assert [name for name, row in rows.items() if row["disabled"] is None] == network.names
    columns = layer_table(network)["columns"]
    assert {column["key"] for column in columns} <= set(rows[STEM])
    assert [column["key"] for column in columns if column.get("order") == "given"] == ["name"]


def test_the_table_shows_the_stable_ranks_once_they_are_found(network):
    def shown():
        return {row["name"]: row["stable_rank"] for row in layer_table(network)["rows"]}

    assert {shown()[name] for name in network.names} == {"…"}
    assert network.add_stable_ranks(lambda: False)
    assert not network.add_stable_ranks(lambda: False), "all are known already"
    for name in network.names:
        layer = network.layers[name]
        weight = network.model.get_submodule(name).weight.detach()[: layer.group_shape[0]]
        exact = stable_rank(torch.linalg.svdvals(weight.double().flatten(1)))
        assert shown()[name] == f"{exact:.0f}"
    assert shown()[DEPTHWISE] == "–"


def test_the_search_for_stable_ranks_ends_between_layers_and_goes_on_where_it_was(network):
    looks = iter([False, False, True])
    assert not network.add_stable_ranks(lambda: next(looks))
    known = [row["stable_rank"] for row in layer_table(network)["rows"] if row["stable_rank"] not in "–…"]
    assert len(known) == 2
    assert network.add_stable_ranks(lambda: False)


def test_the_summary_counts_the_whole_model(network):
    assert f"{num_parameters(network.model) / 1e6:.2f} M parameters" in summary(network)


def test_a_model_without_factorizable_layers_is_refused_with_their_reasons():
    with pytest.raises(ValueError, match=r"`model` must have a layer.* got thin with none \(`0`: .*\)\. Pass a model"):
        Subject(nn.Sequential(nn.Linear(1, 5)), "thin")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_with_the_layers_name(value):
    model = linear_network()
    model[2].weight.data[0, 0] = value
    with pytest.raises(ValueError, match="layer `2`"):
        Subject(model, "broken")


@pytest.mark.parametrize("scale", [0, -0.1, 1.5, float("nan")])
def test_a_rank_scale_out_of_range_is_refused(scale):
    with pytest.raises(ValueError, match=r"`rank_scale` must lie in \(0, 1\]"):
        Subject(linear_network(), "two", scale)


def test_a_rank_scale_of_one_is_full_rank():
    network = Subject(linear_network(), "two", 1.0)
    assert [network.default_rank(name, "channel") for name in network.names] == [8, 6]
