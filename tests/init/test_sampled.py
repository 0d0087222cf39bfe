import pytest
import torch

from lrexplore.dual import ACTIVATIONS, BatchNorm, function_error
from lrexplore.init import initialize
from lrexplore.linalg import SCHEMES
from lrexplore.theory.sampled_curve import sampled_curve

FEW = {"num_inputs": 400, "batch_size": 128, "steps_per_epoch": 40, "num_epochs": 3}


def _draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_published_recipe_can_end_above_spectral_where_the_closed_form_does_not():
    matrix = torch.randn(128, 256, generator=torch.Generator().manual_seed(0))
    half = {
        name: function_error(matrix, initialize(matrix, 13, initializer=name)) / 2
        for name in ("spectral", "rescaled", "function", "sampled")
    }
    # another draw of the theory's example: its spread is some .003
    assert half["spectral"] == pytest.approx(0.3227, abs=0.004)
    assert half["rescaled"] == pytest.approx(0.3161, abs=0.004)
    assert half["sampled"] == pytest.approx(0.3361, abs=0.008)
    assert half["function"] <= half["rescaled"] < half["spectral"] < half["sampled"]


def test_fresh_inputs_and_a_decaying_rate_come_near_the_closed_form():
    matrix = _draw(24, 16)
    cured = {"fresh_inputs": True, "decay_lr": True, "num_epochs": 12, "lr": 2e-2}
    sampled = initialize(matrix, 4, initializer="sampled", **{**FEW, **cured})
    best = function_error(matrix, initialize(matrix, 4))
    spectral = function_error(matrix, initialize(matrix, 4, initializer="spectral"))
    error = function_error(matrix, sampled)
    assert best <= error < (best + spectral) / 2


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("with_batch_norm", [False, True])
def test_training_goes_down_from_an_independent_start(scheme, activation, with_batch_norm):
    kernel = 0.3 * _draw(6, 4, 3, 3)
    batch_norm = BatchNorm(torch.ones(6), torch.zeros(6)) if with_batch_norm else None
    what = {"activation": activation, "batch_norm": batch_norm}
    start, end = (
        function_error(
            kernel,
            initialize(kernel, 3, initializer="sampled", scheme=scheme, warm_start=False, **FEW, **epochs, **what),
            **what,
        )
        for epochs in ({"lr": 0.0}, {"lr": 2e-2})
    )
    assert end < 0.8 * start


@pytest.mark.parametrize("warm_start", [True, False])
def test_without_a_step_the_fit_is_its_start(warm_start):
    matrix = _draw(9, 7)
    start = "spectral" if warm_start else "independent"
    factors = initialize(matrix, 3, initializer="sampled", warm_start=warm_start, num_epochs=0)
    torch.testing.assert_close(factors.product(), initialize(matrix, 3, initializer=start).product())


def test_for_a_linear_layer_a_warm_start_stays_at_the_svd_and_a_cold_one_comes_to_it():
    matrix = _draw(12, 8)
    options = {"activation": "identity", "fresh_inputs": True, "decay_lr": True, **FEW, "num_epochs": 10, "lr": 3e-2}
    least = function_error(
        matrix, initialize(matrix, 3, initializer="spectral", activation="identity"), activation="identity"
    )
    for warm_start in (True, False):
        factors = initialize(matrix, 3, initializer="sampled", warm_start=warm_start, **options)
        assert least * (1 - 1e-9) <= function_error(matrix, factors, activation="identity") < 1.03 * least


def test_every_epoch_is_reported_and_keeps_its_own_factors():
    seen = []
    matrix = _draw(9, 7)
    result = initialize(
        matrix, 3, initializer="sampled", on_epoch=lambda epoch, factors: seen.append((epoch, factors)), **FEW
    )
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    products = [factors.product() for _, factors in seen]
    assert not torch.equal(products[0], products[1])
    torch.testing.assert_close(products[-1], result.product())


def test_an_exception_from_the_callback_ends_the_fit():
    class Stop(Exception):
        pass

    epochs = []

    def stop(epoch, factors):
        epochs.append(epoch)
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        initialize(_draw(9, 7), 3, initializer="sampled", on_epoch=stop, **FEW)
    assert epochs == [1, 2]


def test_every_activation_can_be_sampled():
    for activation in ACTIVATIONS:
        factors = initialize(_draw(5, 4), 2, initializer="sampled", activation=activation, **{**FEW, "num_epochs": 1})
        assert torch.isfinite(factors.product()).all()


@pytest.mark.parametrize("warm_start", (True, False))
def test_a_curve_starts_at_its_start_and_ends_at_the_factors(warm_start):
    matrix, options = _draw(12, 8), {**FEW, "warm_start": warm_start}
    curve = sampled_curve(matrix, 3, **options)
    factors = initialize(matrix, 3, initializer="sampled", **options)
    start = initialize(matrix, 3, initializer="spectral" if warm_start else "independent")
    assert len(curve) == 1 + FEW["num_epochs"]
    assert curve[0] == pytest.approx(function_error(matrix, start))
    assert curve[-1] == pytest.approx(function_error(matrix, factors))
