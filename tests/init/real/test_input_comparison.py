"""What neurons lose on real inputs: all ranks at once against each rank by itself, and against input_error."""

import pytest
import torch
from init.real.test_whitened import _draw, _inputs, _skewed

from lrexplore.init import REAL_INPUTS, Problem, initialize
from lrexplore.init.real import RealProblem, input_error
from lrexplore.init.real.input_comparison import closed_form_comparisons, input_comparison
from lrexplore.init.real.whitened import Whitening
from lrexplore.linalg import frobenius_error

CLOSED = {"spectral": None} | {
    name: record.whitening for name, record in REAL_INPUTS.items() if record.whitening is not None
}


def layer(m=20, n=12):
    weight = _draw(m, n)
    entry = _inputs(_skewed(400, n, seed=4), m, shift=0.3 * _draw(m, seed=9), num_held=80)
    return weight, entry, RealProblem(Problem.of(weight, "channel", "relu", None), entry)


@pytest.mark.parametrize("shape", [(20, 12), (12, 20)])
@pytest.mark.parametrize("initializer", CLOSED)
def test_all_ranks_at_once_are_each_rank_by_itself(initializer, shape):
    weight, entry, real = layer(*shape)
    whitening = None if CLOSED[initializer] is None else Whitening(real, **CLOSED[initializer])
    points = list(closed_form_comparisons(real, range(1, 13), whitening))
    assert [int(point.ranks) for point in points] == list(range(1, 13))
    for rank in (1, 5, 11, 12):
        options = {"calibration": entry} if whitening else {}
        factors = initialize(weight, rank, initializer=initializer, **options)
        alone, point = input_comparison(real, factors, rank), points[rank - 1]
        expected = input_error(weight, factors, entry)
        assert float(alone.function_error) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert float(point.function_error) == pytest.approx(expected, rel=1e-5, abs=1e-8)
        assert float(point.frobenius_error) == pytest.approx(frobenius_error(weight, factors), rel=1e-5, abs=1e-8)
        torch.testing.assert_close(point.rho, alone.rho, atol=1e-5, rtol=0)
        torch.testing.assert_close(point.loss, alone.loss, atol=1e-7, rtol=1e-4)


def test_the_losses_of_the_neurons_add_up_to_the_function_error():
    weight, entry, real = layer()
    point = input_comparison(real, initialize(weight, 3, initializer="spectral"), 3)
    assert float(point.loss.sum()) == pytest.approx(float(point.function_error))
