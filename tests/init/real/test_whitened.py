import pytest
import torch
from torch.nn import functional as F

from lrexplore.dual import ACTIVATIONS
from lrexplore.init import REAL_INPUTS, Problem, initialize
from lrexplore.init.real import CorrectedFactors, RealProblem, input_error
from lrexplore.init.real.input_curves import input_errors
from lrexplore.init.real.whitened import Whitening
from lrexplore.linalg import Factors, dematricize, frobenius_error, matricize
from lrexplore.linalg.inputs import LayerInputs

CLOSED_FORMS = ["whitened", "whitened_plain", "whitened_centred"]


def _draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _inputs(vectors, num_neurons, *, scale=None, shift=None, kernel_size=(1, 1), sampling_variance=0.0, num_held=None):
    """An entry as `calibrate` would make it of these vectors; by default they are also the held-out ones."""
    held = vectors[:0] if num_held is None else vectors[-num_held:]
    fit = vectors if num_held is None else vectors[:-num_held]
    zeros, ones = torch.zeros(num_neurons).double(), torch.ones(num_neurons).double()
    return LayerInputs(
        mean=fit.mean(0), second_moment=fit.mT @ fit / len(fit), sampling_variance=sampling_variance,
        num_vectors=len(fit), samples=fit, held_out=held, scale=ones if scale is None else scale,
        shift=zeros if shift is None else shift, output_mean=zeros, output_variance=ones, active=ones,
        kernel_size=kernel_size,
    )  # fmt: skip


def _skewed(count, n, seed=0):
    """Vectors with a decaying spectrum and a mean, as activations have."""
    mixing = _draw(n, n, seed=seed + 1) * torch.logspace(0, -1.5, n, dtype=torch.float64)[:, None]
    return _draw(count, n, seed=seed) @ mixing + _draw(n, seed=seed + 2)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (16, 16)])
def test_plain_whitening_loses_what_the_svd_of_the_outputs_loses(shape):
    weight, vectors = _draw(*shape), _skewed(400, shape[1], seed=4)
    entry = _inputs(vectors, shape[0])
    factors = initialize(weight, 5, initializer="whitened_plain", activation="identity", calibration=entry)
    tail = torch.linalg.svdvals(vectors @ weight.mT)[5:].square().sum()
    expected = float(tail / (vectors @ weight.mT).square().sum())
    assert input_error(weight, factors, entry, activation="identity") == pytest.approx(expected, rel=1e-3)


def test_centring_and_the_bias_lose_only_what_the_centred_outputs_lose():
    weight, vectors = _draw(20, 12), _skewed(400, 12, seed=7)
    entry = _inputs(vectors, 20)
    factors = initialize(weight, 4, initializer="whitened_centred", activation="identity", calibration=entry)
    outputs = vectors @ weight.mT
    tail = torch.linalg.svdvals(outputs - outputs.mean(0))[4:].square().sum()
    found = input_error(weight, factors, entry, activation="identity")
    assert found == pytest.approx(float(tail / outputs.square().sum()), rel=1e-3)
    kept = vectors @ factors.product().mT + factors.bias
    assert torch.allclose(kept.mean(0), outputs.mean(0), atol=1e-9)


def test_white_inputs_give_the_error_of_spectral():
    weight = _draw(20, 10)
    white = torch.cat([torch.eye(10), -torch.eye(10)]).double() * 10**0.5
    entry = _inputs(white, 20)
    factors = initialize(weight, 3, initializer="whitened_plain", activation="identity", calibration=entry)
    spectral = initialize(weight, 3, initializer="spectral")
    assert frobenius_error(weight, factors) == pytest.approx(frobenius_error(weight, spectral), rel=1e-5)


def test_a_neuron_that_is_never_seen_gives_way_to_the_others():
    weight, vectors = _draw(20, 8), _draw(600, 8, seed=3)
    dead = torch.zeros(20, dtype=torch.float64)
    dead[:10] = -1e3
    entry = _inputs(vectors, 20, shift=dead)
    sees = {
        name: input_error(weight, initialize(weight, 3, initializer=name, activation="relu", calibration=entry), entry)
        for name in ("whitened", "whitened_centred")
    }
    assert sees["whitened"] < sees["whitened_centred"]


@pytest.mark.parametrize("initializer", REAL_INPUTS)
@pytest.mark.parametrize("activation", ["identity", "relu6", "silu"])
@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_real_initializers_are_never_worse_than_spectral_on_held_out_inputs(initializer, activation, scheme):
    kernel = _draw(14, 3, 3, 3)
    vectors = _skewed(300, 27, seed=11)
    entry = _inputs(
        vectors, 14, scale=_draw(14, seed=5).abs(), shift=_draw(14, seed=6), kernel_size=(3, 3), num_held=100
    )
    options = {"scheme": scheme, "activation": activation, "calibration": entry}
    factors = initialize(kernel, 3, initializer=initializer, **options)
    spectral = initialize(kernel, 3, initializer="spectral", scheme=scheme)
    own, other = (input_error(kernel, x, entry, activation=activation) for x in (factors, spectral))
    assert own <= other * (1 + 1e-6)
    assert isinstance(factors, CorrectedFactors)


def test_it_falls_back_on_spectral_and_says_so_where_held_out_inputs_are_of_another_kind():
    weight = _draw(16, 8)
    fit, held = _draw(200, 8) * torch.logspace(0, -3, 8), _draw(100, 8, seed=1) * torch.logspace(-3, 0, 8)
    entry = _inputs(torch.cat([fit, held]), 16, num_held=100)
    factors = initialize(weight, 2, initializer="whitened", activation="identity", calibration=entry)
    assert factors.note.startswith("spectral taken")
    assert factors.bias is None
    spectral = initialize(weight, 2, initializer="spectral")
    assert torch.allclose(factors.product(), spectral.product(), atol=1e-6)


def test_the_spatial_scheme_is_exact_where_the_rows_of_a_patch_are_alike_and_independent():
    kernel = _draw(10, 2, 3, 3)
    row_root = _draw(6, 6, seed=8)
    patches = _draw(20_000, 3, 6, seed=9) @ row_root
    vectors = patches.view(-1, 3, 2, 3).transpose(1, 2).flatten(1)
    entry = _inputs(vectors, 10, kernel_size=(3, 3))
    options = {"scheme": "spatial", "activation": "identity", "calibration": entry}
    factors = initialize(kernel, 2, initializer="whitened_plain", **options)
    whitened = matricize(kernel, "spatial") @ row_root.mT
    tail = torch.linalg.svdvals(whitened)[2:].square().sum() / whitened.square().sum()
    assert input_error(kernel, factors, entry, activation="identity") == pytest.approx(float(tail), rel=0.05)


def test_the_spatial_left_factor_is_the_best_for_its_right_factor():
    kernel = _draw(10, 2, 3, 3)
    entry = _inputs(_skewed(500, 18, seed=2), 10, kernel_size=(3, 3))
    real = RealProblem(Problem.of(kernel, "spatial", "identity", None), entry)
    whitening = Whitening(real, centred=False, weighted=False)
    right = whitening.right[:2]
    left = whitening.left(right)
    best = real.error(Factors(left, right))
    for seed in range(5):
        moved = left + 1e-2 * left.abs().mean() * _draw(*left.shape, seed=20 + seed)
        assert real.error(Factors(moved, right)) > best


def test_the_real_input_error_is_that_of_the_convolution_itself():
    kernel, image = _draw(8, 3, 3, 3), _draw(4, 3, 9, 9, seed=1)
    vectors = F.unfold(image, 3, padding=1, stride=2).mT.reshape(-1, 27)
    entry = _inputs(vectors, 8, scale=_draw(8, seed=2), shift=_draw(8, seed=3), kernel_size=(3, 3))
    for scheme in ("channel", "spatial"):
        factors = initialize(kernel, 3, initializer="spectral", scheme=scheme)
        outputs = []
        for weight in (kernel, dematricize(factors.product(), kernel.shape, scheme)):
            z = F.conv2d(image, weight, padding=1, stride=2)
            outputs.append(F.silu(z * entry.scale[:, None, None] + entry.shift[:, None, None]))
        expected = (outputs[0] - outputs[1]).square().sum() / outputs[0].square().sum()
        assert input_error(kernel, factors, entry, activation="silu") == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_refinement_does_not_end_above_whitened(activation):
    weight = _draw(24, 10)
    entry = _inputs(_skewed(600, 10, seed=1), 24, shift=_draw(24, seed=4), num_held=150)
    error = {
        name: input_error(
            weight, initialize(weight, 3, initializer=name, activation=activation, calibration=entry), entry,
            activation=activation,
        )
        for name in ("whitened", "refined")
    }  # fmt: skip
    assert error["refined"] <= error["whitened"] * (1 + 1e-6)


def test_refinement_ends_when_the_callback_says_so():
    weight = _draw(24, 10)
    entry = _inputs(_skewed(600, 10, seed=1), 24, num_held=150)

    def stop(number, error):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        initialize(weight, 3, initializer="refined", calibration=entry, on_round=stop)


@pytest.mark.parametrize("initializer", REAL_INPUTS)
@pytest.mark.parametrize("case", ["constant", "dead channel", "fewer samples than inputs", "all zero"])
def test_ill_conditioned_inputs_give_finite_factors_and_a_note(initializer, case):
    vectors = {
        "constant": torch.ones(50, 12).double(),
        "dead channel": torch.cat([_draw(200, 11), torch.zeros(200, 1).double()], 1),
        "fewer samples than inputs": _draw(5, 12),
        "all zero": torch.zeros(30, 12).double(),
    }[case]
    weight = _draw(20, 12)
    entry = _inputs(vectors, 20)
    factors = initialize(weight, 4, initializer=initializer, activation="relu", calibration=entry)
    assert torch.isfinite(factors.product()).all()
    assert factors.note


@pytest.mark.parametrize("initializer", REAL_INPUTS)
def test_the_full_rank_loses_nothing(initializer):
    weight, entry = _draw(9, 14), _inputs(_skewed(300, 14), 9, num_held=100)
    factors = initialize(weight, 9, initializer=initializer, activation="relu", calibration=entry)
    assert input_error(weight, factors, entry) < 1e-8


@pytest.mark.parametrize("initializer", ["spectral", "function", *CLOSED_FORMS])
@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_the_curve_is_that_of_each_rank_alone(initializer, scheme):
    kernel = _draw(10, 2, 3, 3)
    entry = _inputs(_skewed(300, 18, seed=3), 10, shift=_draw(10, seed=1), kernel_size=(3, 3), num_held=100)
    problem = Problem.of(kernel, scheme, "relu", None)
    curve = input_errors(problem, initializer, [1, 3, 6], entry)
    for rank, found in zip([1, 3, 6], curve.tolist(), strict=True):
        factors = initialize(kernel, rank, initializer=initializer, scheme=scheme, activation="relu", calibration=entry)
        assert input_error(kernel, factors, entry) == pytest.approx(found, rel=1e-5, abs=1e-9)


def test_shrinkage_grows_with_the_uncertainty_of_the_moments():
    vectors = _skewed(300, 12)
    notes = []
    for variance in (0.0, 1e3, 1e9):
        entry = _inputs(vectors, 12, sampling_variance=variance)
        moment = RealProblem(Problem.of(_draw(12, 12), "channel", "relu", None), entry).moment(centred=True)
        notes.append(moment.matrix)
    diagonal = torch.diag(notes[-1].diagonal())
    assert torch.allclose(notes[-1], diagonal)
    distance = [float((m - diagonal.trace() / 12 * torch.eye(12)).norm()) for m in notes]
    assert distance == sorted(distance, reverse=True)


def test_without_a_calibration_the_error_names_the_way_out():
    with pytest.raises(ValueError, match="`calibration` must be given.*lr.calibrate"):
        initialize(_draw(8, 8), 2, initializer="whitened")


def test_the_calibration_of_another_layer_is_refused():
    with pytest.raises(ValueError, match="`calibration` must be of a layer with weight"):
        initialize(_draw(8, 8), 2, initializer="whitened", calibration=_inputs(_draw(20, 9), 8))
