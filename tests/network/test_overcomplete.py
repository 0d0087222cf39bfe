import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.nn.deep import DeepConv2d, DeepLinear


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 3, groups=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ).eval()  # fmt: skip


def images(seed=1):
    return torch.randn(6, 3, 10, 10, generator=torch.Generator().manual_seed(seed))


KINDS = {
    "full": {}, "deep": {}, "wide": {"width": 3}, "wide nine times": {"kind": "wide", "width": 9},
    "full smaller": {"kind": "full", "inner": "smaller"}, "channel": {"kind": "deep", "scheme": "channel"},
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_network_wider_than_itself_computes_the_same_and_collapses_saves_and_loads(name, tmp_path):
    model = network()
    wider = lr.overcomplete(model, **{"kind": name, **KINDS[name]})
    assert isinstance(wider[0], DeepConv2d) and isinstance(wider[7], DeepLinear)
    out = wider(images())
    assert torch.allclose(out, model(images()), atol=1e-5)
    collapsed = lr.collapse(wider)
    assert repr(collapsed) == repr(model)
    assert torch.allclose(collapsed(images()), out, atol=1e-5)
    lr.save(wider, tmp_path / "wider.safetensors")
    again = lr.load(tmp_path / "wider.safetensors", network())
    assert torch.equal(again(images()), out) and repr(again) == repr(wider)


@pytest.mark.parametrize("name", ["full", "deep", "wide"])
@pytest.mark.parametrize("initializer", ["spectral", "independent"])
@pytest.mark.parametrize("decay", ["weight", "frobenius"])
def test_after_training_the_collapsed_network_still_has_its_logits(name, initializer, decay):
    wider = lr.overcomplete(network(), name, initializer=initializer, noise=0.01).train()
    groups = lr.parameter_groups(wider, decay=decay, decay_strength=1e-2, decay_norms=True)
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    if decay == "frobenius":
        lr.FrobeniusDecay(wider, 1e-2).attach(optimizer)
    before = [[factor.detach().clone() for factor in wider[i].factor_parameters()] for i in (0, 3, 7)]
    for step in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(wider(images(step)), torch.arange(6) % 5).backward()
        optimizer.step()
    wider.eval()
    assert torch.allclose(lr.collapse(wider)(images(9)), wider(images(9)), atol=1e-5)
    for index, were in zip((0, 3, 7), before, strict=True):
        left, *_, right = wider[index].factor_parameters()
        assert float((left - were[0]).norm(dim=0).min()) > 0  # every inner direction has moved
        assert float((right - were[-1]).norm(dim=-1).min()) > 0


@pytest.mark.parametrize(
    "kind, width, ratio", [("full", 1, 2.04), ("deep", 1, 3.09), ("wide", 3, 6.11), ("wide", 9, 18.3)]
)
def test_the_published_counts_of_parameters_come_out(kind, width, ratio):
    # Khodak et al. 2021, thin ResNet-32 on CIFAR-10: 464,154 parameters, both convolutions of every block factorized
    model = lr.load_model("resnet32")
    blocks = [layer for layer in lr.layers(model).query("kind == 'conv'").name if layer.startswith("layer")]
    blocks = [name for name in blocks if "conv" in name]
    wider = lr.overcomplete(model, kind, width=width, layers=blocks, initializer="independent")
    count, before = (sum(p.numel() for p in net.parameters()) for net in (wider, model))
    assert before == 464_154
    assert count / before == pytest.approx(ratio, rel=0.002)  # printed to three digits


def test_only_named_layers_change_and_the_report_says_what_they_cost():
    wider = lr.overcomplete(network(), "full", layers=["3"])
    assert isinstance(wider[0], nn.Conv2d) and isinstance(wider[3], DeepConv2d)
    table = lr.report(wider).set_index("name")
    assert table.loc["0", "reason"] == "not chosen"
    assert table.loc["3", "parameters_after"] == sum(p.numel() for p in wider[3].parameters())
    assert table.loc["3", "reason"].startswith("costs more")
    assert table.loc["3", "flops_after"] == table.loc["3", "flops_before"]  # collapsed, it costs what it did
    assert lr.compare(network(), wider, [images()], latency_rounds=0).loc["MFLOP", "compared"] == 1
    with pytest.raises(ValueError, match="Its layers are factorized already"):
        lr.overcomplete(lr.overcomplete(network()))


@pytest.mark.parametrize(
    "given, said",
    [
        ({"kind": "depp"}, "`kind` must be one of full, deep, wide, got 'depp'"),
        ({"inner": "both"}, "`inner` must be one of larger, smaller"),
        ({"kind": "wide", "width": 0}, "`width` must be a whole number >= 1, got 0"),
        ({"noise": -1}, "`noise` must lie in 0..1"),
        ({"surplus": 0.0}, "`surplus` must lie in 1e-06..1, got 0.0"),
        ({"layers": ["33"]}, "`layers` must name layers of the model, got '33'"),
        ({"initializer": "whitened"}, "`initializer` must be one of spectral, independent"),
        ({"scheme": 3}, "`scheme` must be one of channel, spatial"),
        ({"generator": 3}, "`generator` must be a torch.Generator"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(given, said):
    with pytest.raises((ValueError, TypeError), match=said):
        lr.overcomplete(network(), **given)
