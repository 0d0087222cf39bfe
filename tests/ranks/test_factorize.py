import copy

import pytest
import torch

from lrexplore.calibration import calibrate
from lrexplore.init import REAL_INPUTS
from lrexplore.network import report
from lrexplore.network.batch_norm import correct_batch_norms
from lrexplore.network.compare import compare, layer_drift
from lrexplore.nn import FACTORIZED
from lrexplore.ranks import factorize

RANKS = {"0": 4, "3": 5, "7": 6}


@pytest.mark.parametrize("initializer", REAL_INPUTS)
def test_real_inputs_make_the_network_lose_less_than_spectral(model, images, initializer):
    held = [images[0] + 0.1 * torch.randn(images[0].shape, generator=torch.Generator().manual_seed(3))]
    networks = [factorize(model, ranks=RANKS, initializer=name, loader=images) for name in ("spectral", initializer)]
    spectral, real = (
        float(compare(model, net, held, latency_rounds=0).loc["KL divergence", "compared"]) for net in networks
    )
    assert real < spectral


def test_the_correction_keeps_the_mean_of_every_output(model, images):
    inputs = calibrate(model, images, lean=False)
    small = factorize(model, ranks=RANKS, initializer="whitened_centred", calibration=inputs, correct_norms=False)
    fit = torch.cat(images)[torch.arange(24) % 4 != 1]
    seen = {}
    hooks = [model[i].register_forward_hook(lambda m, a, out, i=i: seen.update({i: (a[0], out)})) for i in (0, 3, 7)]
    with torch.no_grad():
        model(fit)
        for i in (0, 3, 7):
            inputs, output = seen[i]
            found = small[i](inputs)
            if i == 0:  # this layer has no bias: the batch norm after it took the correction
                output, found = model[1](output), small[1](found)
            dims = [d for d in range(output.ndim) if d != 1]
            assert torch.allclose(output.mean(dims), found.mean(dims), atol=1e-3 * float(output.std()))
    [hook.remove() for hook in hooks]
    assert small[0].bias is None


def test_without_a_bias_and_a_batch_norm_the_layer_gets_a_bias():
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(12, 20, bias=False), torch.nn.ReLU())
    small = factorize(layer, ranks={"0": 3}, loader=[torch.randn(200, 12) + 1])
    assert small[0].bias is not None
    assert small[0].bias_added
    assert layer[0].bias is None


def test_the_default_initializer_depends_on_what_is_known(model, images):
    assert "shrinkage" not in report(factorize(model, ranks=RANKS))["reason"].str.cat()
    with pytest.raises(ValueError, match="`loader` must be given for the initializer 'whitened'"):
        factorize(model, ranks=RANKS, initializer="whitened")
    by_loader = factorize(model, ranks=RANKS, loader=images, correct_norms=False)
    by_entry = factorize(model, ranks=RANKS, calibration=calibrate(model, images))
    for one, other in zip(by_loader.state_dict().values(), by_entry.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_batch_norms_are_corrected_and_only_where_something_changed(model, images):
    with torch.no_grad():
        plain, corrected = (
            factorize(model, ranks={"0": 4}, initializer="spectral", loader=images, correct_norms=on)
            for on in (False, True)
        )
        x = torch.cat(images)
        wanted = model[:2](x)
        moments = [(u.mean((0, 2, 3)), u.var((0, 2, 3))) for u in (wanted, plain[:2](x), corrected[:2](x))]
        for number in (0, 1):
            off = [(m[number] - moments[0][number]).norm() for m in moments[1:]]
            assert off[1] < 0.05 * off[0]
        untouched = factorize(model, ranks={"9": 4}, initializer="spectral", loader=images)
        assert torch.allclose(untouched[1].running_var, model[1].running_var)


def test_the_argument_is_never_changed(model, images):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    factorize(model, ranks=RANKS, loader=images)
    assert model.training and model[1].training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())


def test_a_calibration_of_another_network_is_refused(model):
    other = torch.nn.Sequential(torch.nn.Linear(4, 30))
    with pytest.raises(ValueError, match="`calibration` must be of"):
        factorize(model, ranks=RANKS, calibration=calibrate(other, [torch.randn(6, 4)]))


def test_comparing_a_network_with_itself_finds_no_difference(model, images):
    table = compare(model, model, [(x, model(x).argmax(1)) for x in images], latency_rounds=1)
    expected = {"top-1 agreement": 1, "top-5 agreement": 1, "KL divergence": 0, "cosine of logits": 1, "parameters": 1,
                "MFLOP": 1, "top-1 accuracy": 0}  # fmt: skip
    for name, value in expected.items():
        assert table.loc[name, "compared"] == pytest.approx(value, abs=1e-9)
    assert table.loc["latency ms", "original"] > 0
    assert table.loc["top-1 accuracy", "original"] == 1


def test_the_report_counts_parameters_and_operations(model, images):
    small = factorize(model, ranks=RANKS, initializer="spectral")
    table = compare(model, small, images, latency_rounds=0)
    assert table.loc["parameters", "factorized"] == sum(p.numel() for p in small.parameters())
    positions = 12 * 12
    first = positions * 4 * (27 + 16)
    second = 36 * 5 * (144 + 24)
    assert table.loc["MFLOP", "factorized"] == pytest.approx((first + second + 6 * 136 + 400) / 1e6)


def test_full_rank_drifts_nowhere_and_drift_adds_up_along_the_network(model, images):
    full = factorize(model, ranks={"0": 16, "3": 24}, initializer="spectral")
    assert layer_drift(model, full, images)[["own", "total"]].to_numpy().max() < 1e-8
    drift = layer_drift(model, factorize(model, ranks=RANKS, initializer="spectral"), images)
    assert list(drift["layer"]) == list(RANKS)
    assert drift.loc[0, "own"] == pytest.approx(drift.loc[0, "total"], rel=1e-6)
    assert drift.loc[2, "total"] != pytest.approx(drift.loc[2, "own"], rel=1e-2)


def test_an_empty_loader_and_other_outputs_are_refused(model, images):
    with pytest.raises(ValueError, match="`loader` must give at least one batch"):
        compare(model, model, [])
    with pytest.raises(ValueError, match="`model` must answer with logits"):
        compare(model[:2], model[:2], images)
    with pytest.raises(ValueError, match="`factorized` must answer like `model`"):
        compare(model, model[:-1], images)


def test_a_gradient_reaches_every_factor(model, images):
    small = factorize(model, ranks=RANKS, loader=images)
    small(images[0]).square().sum().backward()
    for module in small.modules():
        if isinstance(module, FACTORIZED):
            assert module.left.grad.abs().max() > 0 and module.right.grad.abs().max() > 0


def test_a_dict_of_arguments_is_an_input_from_calibration_to_comparison(two_inputs, named_inputs):
    small = factorize(two_inputs, rank_scale=0.25, loader=named_inputs, correct_norms=True)
    plain = factorize(two_inputs, rank_scale=0.25, loader=named_inputs, correct_norms=False)
    assert not torch.equal(small.norm.running_var, plain.norm.running_var)
    table = compare(two_inputs, small, named_inputs, latency_rounds=1)
    assert table.loc["MFLOP", "original"] == pytest.approx((20 * 32 + 32 * 10) / 1e6)
    assert table.loc["KL divergence", "compared"] > 0
    drift = layer_drift(two_inputs, small, named_inputs)
    assert list(drift["layer"]) == ["image", "head"] and (drift["total"] > 0).all()


def test_a_batch_that_the_model_refuses_is_named_when_comparing(model):
    with pytest.raises(ValueError, match=r"batches that the model takes, got \(2, 5\)"):
        compare(model, model, [torch.randn(2, 5)])


def test_a_network_without_batch_norms_is_not_run_to_correct_them():
    calls = []
    net = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.ReLU(), torch.nn.Linear(30, 10))
    net.register_forward_hook(lambda *seen: calls.append(seen))
    factorize(net, rank_scale=0.25, initializer="spectral", loader=[torch.randn(4, 20)])
    assert not [seen for seen in calls if not seen[2].is_meta]


def test_inputs_on_the_cpu_are_moved_to_the_device_of_both_models():
    device = torch.device("cuda" if torch.cuda.is_available() else "meta")
    net = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.BatchNorm1d(30)).to(device)
    assert correct_batch_norms(net, copy.deepcopy(net), [torch.randn(4, 20)]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plan": "plan.json"}, r"`plan` must be a RankPlan, got a str. Load a file with `lr.RankPlan.load\(path\)`"),
        ({"plan": {"0": 3}}, "`plan` must be a RankPlan, got a dict.*a dict of ranks is `ranks`"),
        ({"rank_scale": 0.5, "calibration": "file"}, "`calibration` must be what `lr.calibrate` returns, got a str"),
        ({"ranks": ["0"]}, "`ranks` must be a dict of layer name -> rank, got a list"),
    ],
)
def test_arguments_of_another_kind_are_refused_with_the_way_out(model, options, message):
    with pytest.raises(TypeError, match=message):
        factorize(model, **options)


def test_layers_that_a_calibration_lacks_stay_as_they_are_and_cannot_be_asked_for(model, images):
    calibration = calibrate(model, images, layers=["3"])
    small = factorize(model, rank_scale=0.25, calibration=calibration)
    assert [name for name, module in small.named_modules() if isinstance(module, FACTORIZED)] == ["3"]
    assert set(report(small).set_index("name").loc[["0", "7", "9"], "reason"]) == {
        "the calibration has no inputs of it"
    }
    with pytest.raises(ValueError, match="`ranks` must name layers that the calibration has inputs of, got '0'"):
        factorize(model, ranks={"0": 3, "3": 3}, calibration=calibration)
