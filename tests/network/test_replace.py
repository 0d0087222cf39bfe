import copy
import pickle

import pytest
import torch
import torch.nn.utils.prune
import torchvision
from torch import nn

import lrexplore as lr
from lrexplore.init import initialize
from lrexplore.network import batch_norm_of, collapse, find_layers, replace_layers, report
from lrexplore.nn import FACTORIZED, FactorizedConv2d, FactorizedLinear


def small_network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.Conv2d(16, 32, 3, stride=2, groups=2, padding_mode="circular", padding=1, bias=False),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    nn.init.uniform_(model[1].weight, 0.5, 1.5)
    nn.init.normal_(model[1].bias)
    return model.eval()


FULL_RANKS = {"0": 16, "4": 16, "8": 10}
IMAGE = torch.randn(2, 3, 10, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scheme", ["channel", "spatial", {"4": "spatial"}])
@pytest.mark.parametrize("initializer", ["spectral", "function"])
def test_full_rank_reproduces_the_logits_before_and_after_collapse(initializer, scheme):
    model = small_network()
    ranks = FULL_RANKS
    if scheme == "spatial":
        ranks = {"0": 9, "4": 24, "8": 10}
    elif scheme != "channel":
        ranks = FULL_RANKS | {"4": 24}
    factorized = replace_layers(model, ranks=ranks, initializer=initializer, scheme=scheme)
    assert sum(isinstance(module, FACTORIZED) for module in factorized.modules()) == 3
    # float32 SVDs of three layers in a row
    torch.testing.assert_close(factorized(IMAGE), model(IMAGE), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(collapse(factorized)(IMAGE), model(IMAGE), atol=2e-5, rtol=1e-4)


def test_collapse_gives_equal_logits_and_ordinary_layers():
    factorized = replace_layers(small_network().double(), rank_scale=0.3)
    collapsed = collapse(factorized)
    assert [type(module) for module in collapsed] == [type(module) for module in small_network()]
    assert not hasattr(collapsed, "factorization")
    torch.testing.assert_close(collapsed(IMAGE.double()), factorized(IMAGE.double()))


def test_the_argument_is_untouched_and_nothing_is_shared():
    model = small_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    factorized = replace_layers(model, rank_scale=0.3)
    with torch.no_grad():
        for parameter in factorized.parameters():
            parameter.zero_()
    assert repr(model) == repr(small_network()) and not hasattr(model, "factorization")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_every_layer_is_reported_with_its_parameters_and_its_reason():
    model = small_network()
    factorized = replace_layers(model, rank_scale=0.5)
    table = report(factorized).set_index("name")
    assert list(table.index) == ["0", "3", "4", "8"]
    assert table.loc["3", "reason"].startswith("depthwise") and table["rank"].isna()["3"]
    assert (table["rank"].dropna() == [8, 8, 5]).all()
    for name, row in table.iterrows():
        for column, network in (("parameters_before", model), ("parameters_after", factorized)):
            assert row[column] == sum(p.numel() for p in network.get_submodule(name).parameters())
    saved = (table["parameters_before"] - table["parameters_after"]).sum()
    assert saved == sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in factorized.parameters())


def test_a_rank_scale_past_break_even_leaves_the_layer_and_an_explicit_rank_does_not():
    model = nn.Linear(10, 10)
    kept = replace_layers(model, rank_scale=0.5)
    assert type(kept) is nn.Linear
    assert kept.factorization[0].reason == ("rank 5 is past break-even: a 10 x 10 matrix saves parameters up to rank 4")
    replaced = replace_layers(model, ranks={"": 5})
    assert isinstance(replaced, FactorizedLinear)
    assert replaced.factorization[0].reason == "costs more: rank 5 is past break-even, rank 4"


def test_a_multiple_rounds_the_ranks_of_a_scale():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 60), nn.ReLU(), nn.Linear(60, 30), nn.Linear(30, 60))
    small = replace_layers(model, rank_scale=0.2, rank_multiple=8, initializer="independent")
    assert [record.rank for record in small.factorization] == [16, 8, 8]
    with pytest.raises(ValueError, match="`rank_multiple` must be a whole number"):
        replace_layers(model, rank_scale=0.2, rank_multiple=0)


def test_only_the_layers_named_in_ranks_are_replaced():
    factorized = replace_layers(small_network(), ranks={"4": 3})
    assert [type(m) for m in factorized.modules() if isinstance(m, FACTORIZED)] == [FactorizedConv2d]
    assert [(r.name, r.rank, r.reason) for r in factorized.factorization if r.name in ("0", "4")] == [
        ("0", None, "not chosen"),
        ("4", 3, ""),
    ]


def test_each_layer_is_initialized_for_what_follows_it():
    model = small_network()
    factorized = replace_layers(model, rank_scale=0.3)
    first = find_layers(model)[0]
    halves = model[4].weight.detach().chunk(2)
    cases = [
        (model[0].weight.detach(), 5, "relu", batch_norm_of(model, first)),
        (halves[0], 5, "silu", None),
        (halves[1], 5, "silu", None),
        (model[8].weight.detach(), 3, "identity", None),
    ]
    found = [*factorized[0].factors(), *factorized[4].factors(), *factorized[8].factors()]
    generator = torch.Generator().manual_seed(0)
    for (weight, rank, activation, norm), factors in zip(cases, found, strict=True):
        expected = initialize(weight, rank, activation=activation, batch_norm=norm, generator=generator)
        torch.testing.assert_close(factors.product(), expected.product())


def test_random_factors_follow_the_generator_and_differ_between_groups():
    def drawn(seed):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return replace_layers(small_network(), rank_scale=0.3, initializer="independent", generator=generator)[4]

    assert torch.equal(drawn(1).left, drawn(1).left) and torch.equal(drawn(None).left, drawn(None).left)
    assert not torch.equal(drawn(1).left, drawn(2).left)
    first, second = drawn(None).factors()
    assert not torch.equal(first.right, second.right)


def test_the_record_survives_deepcopy_and_pickle_and_a_second_factorization():
    factorized = replace_layers(small_network(), ranks={"4": 3})
    assert copy.deepcopy(factorized).factorization == factorized.factorization
    assert pickle.loads(pickle.dumps(factorized)).factorization == factorized.factorization
    twice = replace_layers(factorized, ranks={"8": 2})
    assert {r.name: r.rank for r in twice.factorization} == {"0": None, "3": None, "4": 3, "8": 2}


def test_the_factorized_model_is_a_normal_module():
    model = small_network()
    factorized = replace_layers(model, rank_scale=0.3)
    twin = replace_layers(small_network(), rank_scale=0.3, initializer="independent")
    assert not torch.equal(twin(IMAGE), factorized(IMAGE))
    twin.load_state_dict(factorized.state_dict())
    torch.testing.assert_close(twin(IMAGE), factorized(IMAGE))
    torch.testing.assert_close(torch.compile(factorized, backend="aot_eager")(IMAGE), factorized(IMAGE))
    torch.testing.assert_close(torch.export.export(factorized, (IMAGE,)).module()(IMAGE), factorized(IMAGE))
    assert factorized.double()(IMAGE.double()).dtype == torch.float64


def test_a_module_at_two_places_is_one_factorized_module():
    shared = nn.Linear(8, 8)
    factorized = replace_layers(nn.Sequential(shared, nn.ReLU(), shared), rank_scale=0.25)
    assert isinstance(factorized[0], FactorizedLinear) and factorized[0] is factorized[2]


def test_a_pytorch_transformer_layer_runs_factorized_with_and_without_gradients():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    factorized = replace_layers(layer, ranks={"linear1": 8, "linear2": 8}, initializer="spectral")
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(factorized(x), layer(x))
    with torch.no_grad():
        torch.testing.assert_close(factorized(x), layer(x))


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_a_whole_network_collapses_to_equal_logits(name):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, num_classes=10).eval()
    factorized = replace_layers(model, rank_scale=0.1, initializer="independent")
    assert sum(p.numel() for p in factorized.parameters()) < 0.5 * sum(p.numel() for p in model.parameters())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(collapse(factorized)(x), factorized(x), atol=1e-4, rtol=1e-3)


def test_progress_is_told_of_each_layer_and_of_the_end():
    seen = []
    replace_layers(small_network(), rank_scale=0.3, progress=lambda *step: seen.append(step))
    assert seen == [(0, 3, "0"), (1, 3, "4"), (2, 3, "8"), (3, 3, "")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "One of `rank_scale` and `ranks` must be given, got neither"),
        ({"rank_scale": 0.5, "ranks": {}}, "got both"),
        ({"rank_scale": 0.0}, r"`rank_scale` must lie in \(0, 1\], got 0.0"),
        ({"ranks": {"features.0.cnov": 1}}, "got 'features.0.cnov'. Nearest: features.0.conv"),
        ({"ranks": {"features.0.conv": 99}}, "`ranks` of layer 'features.0.conv'.*1..8.*got 99"),
        ({"ranks": {"features.0.conv": 0}}, "got 0"),
        ({"ranks": {"features.0.conv": "many"}}, "`ranks` of layer 'features.0.conv'"),
        ({"ranks": {"depthwise": 1}}, "can be factorized, got 'depthwise': depthwise"),
        ({"rank_scale": 0.5, "initializer": "functon"}, "got 'functon'. Nearest: function"),
        ({"rank_scale": 0.5, "scheme": "row"}, "`scheme` must be one of channel, spatial, got 'row'"),
        ({"rank_scale": 0.5, "scheme": {"depthwise": "row"}}, "`scheme` must be one of"),
        (
            {"rank_scale": 0.5, "scheme": {"conv": "spatial"}},
            "`scheme` must name layers.*got 'conv'",
        ),
    ],
)
def test_bad_choices_are_refused_with_the_way_out(options, message):
    conv = nn.Conv2d(8, 8, 3, padding=1)
    model = nn.ModuleDict({"features": nn.ModuleList([nn.ModuleDict({"conv": conv})])})
    model["depthwise"] = nn.Conv2d(8, 8, 3, groups=8)
    with pytest.raises(ValueError, match=message):
        replace_layers(model, **options)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named_before_anything_is_computed(value):
    model = small_network()
    with torch.no_grad():
        model[4].weight[0, 0, 0, 0] = value
    seen = []
    with pytest.raises(ValueError, match="`4` must be finite, got 1 NaN or infinite of"):
        replace_layers(model, rank_scale=0.3, progress=lambda *step: seen.append(step))
    assert seen == []
    model = small_network()
    with torch.no_grad():
        model[1].weight[0] = value
    with pytest.raises(ValueError, match="`1` must be finite"):
        replace_layers(model, rank_scale=0.3)


def test_a_report_needs_a_factorized_model():
    with pytest.raises(ValueError, match="`model` must come from `factorize`, got a Linear"):
        report(nn.Linear(3, 3))


def test_a_model_in_which_nothing_can_be_factorized_is_refused_with_the_reasons():
    with pytest.raises(ValueError, match=r"got a Sequential with none \(`0`: Conv1d: only nn.Linear and nn.Conv2d"):
        replace_layers(nn.Sequential(nn.Conv1d(4, 4, 3)), rank_scale=0.5)
    once = replace_layers(small_network(), rank_scale=0.3)
    once[3] = nn.Identity()
    with pytest.raises(ValueError, match=r"factorized already: pass `lr.collapse\(model\)`"):
        replace_layers(once, rank_scale=0.2)
    everything_past = replace_layers(small_network(), rank_scale=1.0)
    assert not any(isinstance(module, FACTORIZED) for module in everything_past.modules())


def test_a_model_on_the_meta_device_is_told_to_load_its_weights():
    with pytest.raises(ValueError, match="`0` must hold values, got a tensor on the meta device"):
        replace_layers(small_network().to("meta"), rank_scale=0.3)


def test_a_model_that_deepcopy_refuses_is_told_what_to_take_off():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    nn.utils.prune.l1_unstructured(model[0], "weight", amount=0.3)
    with pytest.raises(ValueError, match="`model` must be one that `copy.deepcopy` copies.*prune.remove"):
        replace_layers(model, rank_scale=0.25)
    nn.utils.prune.remove(model[0], "weight")
    assert isinstance(replace_layers(model, rank_scale=0.25)[0], FactorizedLinear)


def test_layers_before_one_batch_norm_get_each_its_own_correction():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(12, 12, bias=False), nn.Linear(12, 12, bias=False)
            self.norm = nn.BatchNorm1d(12)

        def forward(self, x):
            return self.norm(self.first(x)).relu() + self.norm(self.second(x)).relu()

    torch.manual_seed(0)
    model, x = Shared().eval(), 2 + torch.randn(400, 12)
    small = lr.factorize(
        model, ranks={"first": 3, "second": 3}, initializer="whitened", calibration=lr.calibrate(model, [x])
    )
    assert torch.equal(small.norm.running_mean, model.norm.running_mean)
    for name in ("first", "second"):
        before, after = (net.get_submodule(name)(x).mean(0) for net in (model, small))
        torch.testing.assert_close(after, before, atol=0.15, rtol=0)
