"""What batch norms imply of every layer's inputs, against what the layers are really given."""

from collections import OrderedDict

import pytest
import torch
import torchvision
from torch import nn

import lrexplore as lr
from lrexplore.calibration.beliefs import Belief, Mixing, correlations
from lrexplore.calibration.implied import implies_inputs
from lrexplore.linalg.inputs import IMPLIED, WHITE


def _block(c_in: int, c_out: int, size: int = 1, **options) -> OrderedDict:
    conv = nn.Conv2d(c_in, c_out, size, padding=size // 2, bias=False, **options)
    return OrderedDict(conv=conv, norm=nn.BatchNorm2d(c_out))


class Small(nn.Module):
    """A skip connection, a depthwise layer, a gate, a concatenation and a pool."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(_block(3, 16, 3))
        self.wide = nn.Sequential(_block(16, 32))
        self.depth = nn.Sequential(_block(32, 32, 3, groups=32))
        self.back = nn.Sequential(_block(32, 16))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.Sigmoid())
        self.side = nn.Sequential(_block(16, 8))
        self.grouped = nn.Sequential(_block(24, 24, 3, groups=2))
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = self.stem(x).relu()
        x = x + self.back(self.depth(self.wide(x).relu()).relu())
        x = x * self.gate(x)
        x = torch.cat([x, self.side(x).relu()], 1)
        return self.head(self.grouped(x).relu().mean((2, 3)))


def _with_statistics(model: nn.Module, images: torch.Tensor) -> nn.Module:
    """The model with the statistics of these images in its batch norms, and scales and shifts as trained ones have."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.weight.data = 0.5 + torch.rand(module.weight.shape, generator=generator)
            module.bias.data = 0.6 * torch.randn(module.bias.shape, generator=generator)
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(images)
    return model.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Smooth noise with colors that correlate."""
    noise = torch.randn(48, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    noise = 0.3 * noise + 0.95 * noise.mean(1, keepdim=True) * 3**0.5
    return nn.functional.interpolate(noise, size=32, mode="bicubic")


@pytest.fixture(scope="module")
def small(images) -> nn.Module:
    torch.manual_seed(0)
    return _with_statistics(Small(), images)


@pytest.fixture(scope="module")
def both(small, images):
    """Implied and real inputs of every layer."""
    return lr.implied_inputs(small), lr.calibrate(small, [images], positions=None)


def test_every_layer_gets_inputs_and_says_from_where(both):
    implied, real = both
    assert set(implied) == set(real)
    assert {entry.source for name in implied for entry in implied.entries(name)} == {IMPLIED}
    assert implied.is_implied and not real.is_implied


def test_means_and_variances_are_those_that_the_layers_see(both):
    implied, real = both
    for name in ("wide.conv", "back.conv", "side.conv"):
        for wanted, found in zip(real.entries(name), implied.entries(name), strict=True):
            spread = wanted.covariance().diagonal().sqrt()
            assert float(((found.mean - wanted.mean).abs() / spread).mean()) < 0.35, name
            ratio = found.covariance().diagonal().sqrt() / spread
            assert 0.6 < float(ratio.median()) < 1.6, name


def test_outputs_have_the_variances_that_the_batch_norms_stored(small, both):
    implied, _ = both
    for name in ("wide.conv", "back.conv", "side.conv", "grouped.conv"):
        module, norm = small.get_submodule(name), small.get_submodule(name.replace("conv", "norm"))
        for group, entry in enumerate(implied.entries(name)):
            rows = module.weight.detach().double().chunk(module.groups)[group].flatten(1)
            variance = ((rows @ entry.covariance()) * rows).sum(1)
            stored = norm.running_var.double().chunk(module.groups)[group]
            assert float(((variance - stored).abs() / stored).median()) < 0.05, name


def test_samples_have_the_moments(both):
    implied, _ = both
    for name in ("stem.conv", "wide.conv", "grouped.conv"):
        entry = implied.entries(name)[-1]
        drawn = torch.cat([entry.samples, entry.held_out]).double()
        scale = float(entry.covariance().diagonal().max())
        assert float((drawn.mT.cov() - entry.covariance()).abs().max()) < 0.25 * scale
        torch.testing.assert_close(drawn.mean(0), entry.mean, atol=0.1 * scale**0.5, rtol=0)


@pytest.mark.parametrize(("groups", "size"), [(1, 1), (1, 3), (4, 3), (12, 5)])
def test_a_layer_acts_on_a_belief_as_its_matrix_does(groups, size):
    torch.manual_seed(0)
    conv = nn.Conv2d(12, 24, size, groups=groups)
    drawn = torch.randn(12, 30, dtype=torch.float64)
    belief = Belief(torch.randn(12, dtype=torch.float64), drawn @ drawn.mT / 30)
    found = Mixing(conv, 4.0)(belief)
    dense = torch.zeros(24, 12, size * size, dtype=torch.float64)
    for group, block in enumerate(conv.weight.detach().double().flatten(2).chunk(groups)):
        rows, columns = 24 // groups, 12 // groups
        dense[group * rows : (group + 1) * rows, group * columns : (group + 1) * columns] = block
    matrix = dense.flatten(1)
    places = correlations((size, size), 4.0)
    torch.testing.assert_close(
        found.covariance, matrix @ torch.kron(belief.covariance, places) @ matrix.mT, rtol=5e-3, atol=1e-3
    )
    mean = matrix @ belief.mean.repeat_interleave(size * size) + conv.bias.double()
    torch.testing.assert_close(found.mean, mean)


def test_a_product_and_a_sum_of_independent_beliefs_have_their_moments():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    beliefs = [Belief(torch.rand(4, dtype=torch.float64) + i, root @ root.mT) for i, root in enumerate((one, other))]
    x, y = (
        belief.mean + torch.randn(400_000, 4, generator=generator, dtype=torch.float64) @ root.mT
        for belief, root in zip(beliefs, (one, other), strict=True)
    )
    for made, drawn in ((beliefs[0].times(beliefs[1]), x * y), (beliefs[0].plus(beliefs[1]), x + y)):
        torch.testing.assert_close(made.mean, drawn.mean(0), atol=0.05, rtol=0)
        torch.testing.assert_close(made.covariance, drawn.mT.cov(), atol=0.05 * float(made.covariance.max()), rtol=0)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "vgg11_bn"])
def test_every_network_gets_finite_inputs_for_every_layer_or_a_reason(name, images):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=10)
    if name == "squeezenet1_1":
        with pytest.raises(ValueError, match="must have batch norms with statistics"):
            lr.implied_inputs(model)
        return
    if name == "vgg11_bn":
        model.classifier = nn.Linear(512 * 49, 10)
    _with_statistics(model, nn.functional.interpolate(images[:8], size=64))
    wanted = list(lr.layers(model).query("factorizable").name)
    assert implies_inputs(model) == (name != "vgg11_bn")
    if name == "vgg11_bn":
        with pytest.raises(ValueError, match="must have 8,192 inputs at most, got `classifier` with 25,088"):
            lr.implied_inputs(model)
        wanted.remove("classifier")
    wanted = [layer for layer in wanted if model.get_submodule(layer).weight[0].numel() <= 2400]
    implied = lr.implied_inputs(model, layers=wanted, num_samples=64, num_held_out=32)
    assert list(implied) == wanted
    assert not [layer for layer in implied if implied[layer].source == WHITE]
    for layer in implied:
        assert all(torch.isfinite(entry.second_moment).all() for entry in implied.entries(layer)), layer


def test_the_model_is_neither_run_nor_changed(small):
    before = {name: value.clone() for name, value in small.state_dict().items()}
    hook = small.stem.register_forward_hook(lambda *call: pytest.fail("the model was run"))
    lr.implied_inputs(small, num_samples=8, num_held_out=8)
    hook.remove()
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())


def test_it_is_saved_and_loaded_with_its_source(both, tmp_path):
    implied, _ = both
    implied.save(tmp_path / "implied.safetensors")
    loaded = lr.Calibration.load(tmp_path / "implied.safetensors")
    assert loaded.is_implied and torch.equal(loaded["wide.conv"].mean, implied["wide.conv"].mean)


def test_a_trained_network_without_inputs_is_cut_by_what_it_implies(small):
    assert implies_inputs(small)
    plan = lr.allocate(small, parameter_ratio=0.8)
    assert (plan.initializer, plan.inputs) == ("implied", "inputs implied by batch norm")
    cut = lr.factorize(small, plan=plan)
    assert any("implied by batch norm" in record.reason for record in cut.factorization)
    fresh = Small().eval()
    assert not implies_inputs(fresh)
    assert lr.allocate(fresh, parameter_ratio=0.8).initializer == "function"
    with pytest.raises(ValueError, match="must have batch norms with statistics"):
        lr.factorize(fresh, rank_scale=0.5, initializer="implied")


def test_implied_inputs_lose_less_of_unseen_images_than_none(small, images):
    """On the layer with most to know, the projection back: its inputs differ most in spread."""
    other = images.flip(-1).roll(5, 2)
    seen = lr.calibrate(small, [other], positions=None)
    implied = lr.implied_inputs(small)
    better = 0
    for name in ("wide.conv", "back.conv", "side.conv"):
        weight = small.get_submodule(name).weight
        errors = [
            lr.input_error(weight, lr.initialize(weight, 3, initializer=said, calibration=given), seen[name])
            for said, given in (("implied", implied[name]), ("spectral", None))
        ]
        better += errors[0] < errors[1]
    assert better >= 2
