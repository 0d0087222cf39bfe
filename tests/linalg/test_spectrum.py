import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from lrexplore.linalg import (
    check_finite,
    effective_rank,
    energy,
    marchenko_pastur,
    marchenko_pastur_density,
    singular_values,
    spectrum,
    stable_rank,
)

SHAPES = [(30, 200), (200, 30), (64, 64), (1, 50)]


def _draw(m, n, seed=0):
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(m=st.integers(1, 12), n=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_singular_values_are_numpys_and_energy_is_the_share_up_to_a_rank(m, n):
    matrix = _draw(m, n)
    expected = np.linalg.svd(matrix.numpy(), compute_uv=False)
    values = singular_values(matrix.half())
    assert values.dtype == torch.float64
    np.testing.assert_allclose(singular_values(matrix).numpy(), expected, atol=1e-12)
    kept = [(expected[:rank] ** 2).sum() / (expected**2).sum() for rank in range(1, len(expected) + 1)]
    np.testing.assert_allclose(energy(singular_values(matrix)).numpy(), kept, atol=1e-12)


@given(k=st.integers(1, 20), n=st.integers(0, 20))
def test_equal_singular_values_count_as_so_many_ranks(k, n):
    values = torch.tensor([0.3] * k + [0.0] * n)
    assert stable_rank(values) == pytest.approx(k)
    assert effective_rank(values) == pytest.approx(k)


def test_stable_and_effective_rank_follow_their_definitions():
    matrix = _draw(9, 14)
    values = singular_values(matrix)
    norm, top = torch.linalg.matrix_norm(matrix), torch.linalg.matrix_norm(matrix, ord=2)
    assert stable_rank(values) == pytest.approx(float(norm**2 / top**2))
    share = (values / values.sum()).tolist()
    assert effective_rank(values) == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)))
    assert 1 <= stable_rank(values) <= effective_rank(values) <= 9


def test_the_zero_matrix_has_rank_zero_and_loses_nothing():
    values = singular_values(torch.zeros(3, 5))
    assert (stable_rank(values), effective_rank(values)) == (0, 0)
    assert energy(values).tolist() == [1, 1, 1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("std", [1.0, 0.02])
def test_the_marchenko_pastur_density_has_mass_one_and_the_mean_square_of_the_entries(shape, std):
    low = std * abs(math.sqrt(shape[0]) - math.sqrt(shape[1]))
    high = std * (math.sqrt(shape[0]) + math.sqrt(shape[1]))

    def moment(power):
        def integrand(x):
            return float(marchenko_pastur_density(torch.tensor([x], dtype=torch.float64), shape, std)) * x**power

        return quad(integrand, low, high, epsabs=1e-10, limit=400)[0]

    assert moment(0) == pytest.approx(1, abs=1e-6)
    assert moment(2) == pytest.approx(std**2 * max(shape), rel=1e-6)
    outside = marchenko_pastur_density(torch.tensor([high * 1.01, low * 0.99]), shape, std)
    assert float(outside[0]) == 0 and (float(outside[1]) == 0 or low == 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_marchenko_pastur_quantiles_hold_equal_masses_of_the_density(shape):
    values = marchenko_pastur(shape, 1.0)
    assert len(values) == min(shape)
    assert (values.diff() <= 0).all()
    for k in {0, len(values) // 2, len(values) - 1}:
        top = math.sqrt(shape[0]) + math.sqrt(shape[1])
        above = quad(
            lambda x: float(marchenko_pastur_density(torch.tensor([x], dtype=torch.float64), shape, 1.0)),
            float(values[k]), top, epsabs=1e-10, limit=400,
        )[0]  # fmt: skip
        assert above == pytest.approx((k + 0.5) / len(values), abs=1e-5)


@pytest.mark.parametrize("shape", [(300, 500), (500, 300), (400, 400)])
def test_a_random_draw_follows_the_marchenko_pastur_law(shape):
    values = singular_values(0.1 * _draw(*shape))
    expected = marchenko_pastur(shape, 0.1)
    assert float((values - expected).abs().max() / expected[0]) < 0.02


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_the_spectrum_table_holds_one_row_a_singular_value(scheme):
    table = spectrum(torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0)), scheme=scheme)
    assert list(table.columns) == ["rank", "singular_value", "energy", "marchenko_pastur"]
    assert list(table["rank"]) == list(range(1, {"channel": 6, "spatial": 15}[scheme] + 1))
    assert table["energy"].iloc[-1] == pytest.approx(1)
    assert table.attrs["stable_rank"] == pytest.approx(stable_rank(torch.tensor(table["singular_value"])))
    assert table.attrs["effective_rank"] == pytest.approx(effective_rank(torch.tensor(table["singular_value"])))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.int64), r"`weight` must be floating point, got torch.int64. Convert"),
        (torch.zeros(0, 4), r"`weight` must have entries, got shape \(0, 4\). Pass"),
        (torch.tensor([[math.nan, 1.0]]), "`weight` must be finite, got 1 NaN or infinite of 2 entries. Repair"),
    ],
)
def test_a_weight_that_is_no_finite_floating_point_matrix_is_refused(weight, message):
    for call in (check_finite, spectrum):
        with pytest.raises(ValueError, match=message):
            call(weight)
