import pytest
import torch

from lrexplore.dual import function_error
from lrexplore.init import initialize
from lrexplore.linalg import Factors
from lrexplore.theory.landscape import directions_of_plane, directions_of_space, rank_one_errors


@pytest.mark.parametrize("best_norms", (True, False), ids=("best norms", "projection"))
def test_the_landscape_is_the_function_error_of_factors_along_each_line(best_norms):
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lines = directions_of_space(4, 5).flatten(0, 1)
    found = rank_one_errors(weight, lines, best_norms=best_norms)
    for line, error in zip(lines, found, strict=True):
        plain = Factors(weight @ line[:, None], line[None])
        if not best_norms:
            assert function_error(weight, plain) == pytest.approx(float(error), abs=1e-9)
            continue
        shorter, longer = (Factors(plain.left * scale, plain.right) for scale in (0.99, 1.01))
        assert float(error) <= min(function_error(weight, x) for x in (plain, shorter, longer)) + 1e-9


def test_the_spectral_direction_has_the_errors_of_spectral_and_rescaled():
    weight = torch.randn(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    line = torch.linalg.svd(weight).Vh[:1]
    for name, best_norms in (("spectral", False), ("rescaled", True)):
        error = function_error(weight, initialize(weight, 1, initializer=name))
        assert float(rank_one_errors(weight, line, best_norms=best_norms)) == pytest.approx(error, abs=1e-9)


def test_two_nearly_equal_neurons_have_their_best_line_at_twenty_degrees():
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.99]], dtype=torch.float64)
    degrees = torch.linspace(0, 90, 9001, dtype=torch.float64)
    loss = rank_one_errors(weight, directions_of_plane(degrees)) * weight.square().sum() / 2
    # the numbers of the theory
    assert float(loss[0]) == pytest.approx(0.4404, abs=5e-5)
    assert float(loss.min()) == pytest.approx(0.4178, abs=5e-5)
    assert float(degrees[loss.argmin()]) == pytest.approx(19.7, abs=0.05)


def test_dead_neurons_are_left_out():
    weight = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert float(rank_one_errors(weight, weight[:1] / 5**0.5)) == pytest.approx(0, abs=1e-6)
