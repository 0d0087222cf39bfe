import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrexplore.calibration import Calibration, calibrate
from lrexplore.network.grouping import HELD_OUT_EVERY
from lrexplore.nn import Conv2dSame
from lrexplore.ranks import factorize


def _images(count=12, channels=3, size=(9, 11), seed=0):
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed)) + 0.3


def _fit_and_held(images):
    held = torch.arange(len(images)) % HELD_OUT_EVERY == 1
    return images[~held], images[held]


CONVS = {
    "plain": nn.Conv2d(3, 8, 3),
    "strided": nn.Conv2d(3, 8, 3, stride=(2, 1), padding=(1, 0)),
    "dilated": nn.Conv2d(3, 8, 3, dilation=(1, 2), padding=2),
    "oblong": nn.Conv2d(3, 8, (1, 5), padding=(0, 2)),
    "1x1": nn.Conv2d(3, 8, 1, stride=2),
    "same": nn.Conv2d(3, 8, 3, padding="same"),
    "valid": nn.Conv2d(3, 8, 3, padding="valid"),
    "reflect": nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
    "tensorflow same": Conv2dSame(3, 8, 3, stride=2),
    "grouped": nn.Conv2d(6, 8, 3, padding=1, groups=2),
}


@pytest.mark.parametrize("case", CONVS)
def test_outputs_are_the_kernel_times_the_recorded_patches(case):
    conv = CONVS[case]
    images = _images(channels=conv.in_channels)
    entries = calibrate(nn.Sequential(conv), [images], positions=None, num_samples=10**6).entries("0")
    fit, _ = _fit_and_held(images)
    expected = conv(fit).detach().double().transpose(0, 1).flatten(1)
    outputs = []
    for entry, kernel in zip(entries, conv.weight.detach().chunk(conv.groups), strict=True):
        assert entry.num_vectors == expected.shape[1]
        weight = kernel.flatten(1).double()
        outputs.append(weight @ entry.second_moment @ weight.mT)
        z = entry.samples.double() @ weight.mT
        assert torch.allclose(z.mean(0), weight @ entry.mean, atol=1e-5)
    bias = conv.bias.detach().double()[:, None]
    direct = [part @ part.mT / part.shape[1] for part in (expected - bias).chunk(conv.groups)]
    for found, wanted in zip(outputs, direct, strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


def test_moments_of_a_linear_layer_are_those_of_its_inputs_whatever_their_shape():
    model = nn.Sequential(nn.Linear(7, 20))
    tokens = torch.randn(8, 5, 7, generator=torch.Generator().manual_seed(0))
    entry = calibrate(model, [tokens], positions=None)["0"]
    fit, held = (part.reshape(-1, 7).double() for part in _fit_and_held(tokens))
    assert torch.allclose(entry.second_moment, fit.mT @ fit / len(fit), atol=1e-6)
    assert torch.allclose(entry.mean, fit.mean(0), atol=1e-6)
    assert {tuple(row) for row in entry.held_out.tolist()} == {tuple(row) for row in held.float().tolist()}


def test_no_held_out_input_is_among_the_samples_however_it_is_batched():
    model = nn.Sequential(nn.Linear(3, 30))
    data = torch.arange(20.0)[:, None].expand(20, 3)
    for size in (1, 3, 20):
        entry = calibrate(model, data.split(size))["0"]
        assert sorted(entry.held_out[:, 0].tolist()) == [1, 5, 9, 13, 17]
        assert not set(entry.samples[:, 0].tolist()) & set(entry.held_out[:, 0].tolist())


def test_batches_give_the_moments_of_all_inputs_together():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1))
    images = _images(16)
    whole, parts = (calibrate(model, images.split(size), positions=None)["0"] for size in (16, 4))
    assert torch.allclose(whole.second_moment, parts.second_moment, atol=1e-6)
    assert whole.sampling_variance == pytest.approx(parts.sampling_variance, rel=1e-4)


def test_the_sampling_variance_is_the_expected_distance_from_the_truth():
    model, truth, distances, estimates = nn.Sequential(nn.Linear(4, 50)), torch.eye(4).double(), [], []
    for seed in range(60):
        data = torch.randn(200, 4, generator=torch.Generator().manual_seed(seed))
        entry = calibrate(model, [data])["0"]
        distances.append(float((entry.second_moment - truth).square().sum()))
        estimates.append(entry.sampling_variance)
    assert sum(estimates) == pytest.approx(sum(distances), rel=0.2)


def test_some_positions_estimate_the_moments_of_all():
    model = nn.Sequential(nn.Conv2d(3, 8, 3))
    images = _images(64, size=(20, 20))
    few, every = (calibrate(model, [images], positions=count)["0"] for count in (60, None))
    assert few.num_vectors == 48 * 60
    # 2880 vectors of 27 nearly white inputs: about sqrt(27 27 / 2880) of the norm sqrt(27)
    assert float((few.second_moment - every.second_moment).norm() / every.second_moment.norm()) < 0.15


def test_pre_activation_statistics_are_those_behind_batch_norm_and_bias():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    for tensor in (model[1].weight, model[1].bias, model[1].running_mean):
        tensor.data.normal_(generator=torch.Generator().manual_seed(1))
    model[1].running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
    images = _images(8)
    entry = calibrate(model, [images], positions=None, lean=False)["0"]
    z = model[0](images).detach().double()
    u = model[1](model[0](images)).detach().double()
    assert torch.allclose(entry.output_mean, z.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(entry.output_variance, z.var((0, 2, 3), correction=0), atol=1e-5)
    assert torch.allclose(entry.active, (u > 0).double().mean((0, 2, 3)))
    patches = F.unfold(images, 3).mT.double() @ model[0].weight.detach().flatten(1).double().mT
    assert torch.allclose(patches * entry.scale + entry.shift, u.flatten(2).mT, atol=1e-4)


def test_a_model_comes_back_as_it_was():
    model = nn.Sequential(nn.Linear(4, 20), nn.BatchNorm1d(20), nn.Dropout(), nn.Linear(20, 20))
    model[2].eval()
    before = [(module.training, len(module._forward_hooks)) for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    calibrate(model, [torch.randn(6, 4)])
    with pytest.raises(ValueError):
        calibrate(model, [torch.randn(6, 5)])
    assert [(module.training, len(module._forward_hooks)) for module in model.modules()] == before
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())


def test_pairs_dicts_and_generators_are_loaders():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 20)

        def forward(self, x):
            return self.layer(x)

    data = torch.randn(6, 4)
    found = [
        calibrate(Named(), loader)["layer"].mean
        for loader in ([data], [(data, torch.zeros(6))], iter([data]), [{"x": data}])
    ]
    assert all(torch.equal(mean, found[0]) for mean in found)


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        ([], "`loader` must give at least one batch"),
        ([torch.randn(6, 5)], r"`loader` must give batches that the model takes, got \(6, 5\)"),
        ([torch.full((6, 4), float("nan"))], "NaN or inf at the inputs of layer `0`"),
    ],
)
def test_a_bad_loader_is_refused_with_the_reason(loader, words):
    with pytest.raises(ValueError, match=words):
        calibrate(nn.Sequential(nn.Linear(4, 20)), loader)


def test_what_is_no_loader_is_refused():
    for wrong in (torch.randn(6, 4), 3):
        with pytest.raises(TypeError, match="`loader` must be an iterable"):
            calibrate(nn.Sequential(nn.Linear(4, 20)), wrong)


def test_unknown_layers_are_refused():
    with pytest.raises(ValueError, match="`layers` must name layers that can be factorized, got 'other'"):
        calibrate(nn.Sequential(nn.Linear(4, 20)), [torch.randn(6, 4)], layers=["other"])


def test_saving_and_loading_gives_the_same_numbers(tmp_path):
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 7 * 9, 20))
    calibration = calibrate(model, [_images(channels=4)])
    calibration.save(tmp_path / "inputs.safetensors")
    loaded = Calibration.load(tmp_path / "inputs.safetensors")
    assert list(loaded) == list(calibration)
    assert loaded.num_inputs == calibration.num_inputs
    for name in calibration:
        for one, other in zip(calibration.entries(name), loaded.entries(name), strict=True):
            for key, value in vars(one).items():
                twin = getattr(other, key)
                assert torch.equal(value, twin) if torch.is_tensor(value) else value == twin, (name, key)


def test_loading_another_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    for name in ("other", "text"):
        with pytest.raises(ValueError, match="`path` must be"):
            Calibration.load(tmp_path / f"{name}.safetensors")


def test_the_calibration_of_another_network_is_refused():
    calibration = calibrate(nn.Sequential(nn.Linear(4, 20)), [torch.randn(6, 4)])
    with pytest.raises(ValueError, match="`calibration` must be of"):
        calibration.check(nn.Sequential(nn.Linear(5, 20)))
    with pytest.raises(ValueError, match="a layer `0`, which the model does not have"):
        calibration.check(nn.Linear(4, 20))
    with pytest.raises(KeyError, match="must hold layer 'x'"):
        calibration["x"]


@pytest.mark.gpu
def test_a_gpu_gives_the_moments_of_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1))
    images = _images(16)
    cpu = calibrate(model, [images], positions=None)["0"]
    gpu = calibrate(model.cuda(), [images], positions=None)["0"]
    assert gpu.mean.is_cuda
    assert torch.allclose(cpu.second_moment, gpu.second_moment.cpu(), atol=1e-5)


class _Reader(nn.Module):
    """Calls one layer and reads the weight of the other; its forward fits no guessed input."""

    def __init__(self):
        super().__init__()
        self.read, self.called = nn.Linear(6, 30), nn.Linear(30, 20)

    def forward(self, tokens):
        return self.called(F.linear(F.one_hot(tokens, 6).float(), self.read.weight))


def test_a_layer_that_is_never_called_is_left_out():
    calibration = calibrate(_Reader(), [torch.randint(0, 6, (5, 3)) for _ in range(3)])
    assert list(calibration) == ["called"]


def test_inputs_that_are_not_finite_are_not_called_refused_by_the_model():
    with pytest.raises(ValueError, match="^`loader` must lead to finite activations"):
        calibrate(nn.Sequential(nn.Linear(6, 30)), [torch.full((4, 6), torch.nan)])


@pytest.mark.parametrize("size", [1e16, 1e30, 3e38])
def test_inputs_whose_squares_overflow_are_named_with_their_layer(size):
    with pytest.raises(ValueError, match=r"activations of at most 1e\+15, .* at the inputs of layer `0`. Scale"):
        calibrate(nn.Sequential(nn.Linear(6, 30)), [torch.full((4, 6), size)])


def test_moments_of_the_largest_inputs_are_finite():
    inputs = calibrate(nn.Sequential(nn.Linear(6, 30)), [1e15 * torch.rand(9000, 6)])["0"]
    assert torch.isfinite(inputs.second_moment).all() and torch.isfinite(inputs.output_variance).all()
    assert 0 < inputs.enough_groups < float("inf")


@pytest.mark.parametrize("layer, shape", [(nn.Linear(6, 30), (6,)), (nn.Conv2d(6, 8, 3, bias=False), (6, 20, 20))])
def test_inputs_without_a_batch_axis_are_refused(layer, shape):
    data = torch.randn(8, *shape, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="`loader` must give batches, got one input .* without a batch axis"):
        calibrate(nn.Sequential(layer), list(data))


def test_a_frozen_batch_norm_as_detectors_have_it_acts_as_the_ordinary_one():
    from torchvision.ops.misc import FrozenBatchNorm2d

    torch.manual_seed(0)
    norm, frozen = nn.BatchNorm2d(8), FrozenBatchNorm2d(8)
    nn.init.uniform_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    frozen.load_state_dict({name: value for name, value in norm.state_dict().items() if "num_batches" not in name})
    first, second = nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 8, 3)
    loader = [torch.randn(4, 3, 9, 9)]
    nets = [nn.Sequential(first, one, nn.ReLU(), second).eval() for one in (norm, frozen)]
    own, other = (calibrate(net, loader) for net in nets)
    assert torch.allclose(own["0"].scale, other["0"].scale) and torch.allclose(own["0"].shift, other["0"].shift)
    pair = [factorize(net, ranks={"0": 4}, loader=loader) for net in nets]
    assert torch.allclose(pair[0](loader[0]), pair[1](loader[0]), atol=1e-5)
