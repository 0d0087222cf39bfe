from math import pi

import pytest
import torch

from lrexplore.dual import angle_table
from lrexplore.dual.activations import relu_correlation
from lrexplore.dual.angle_table import AngleTable, node_rho, wide


@pytest.mark.parametrize("largest_angle", [pi, pi / 2])
def test_a_table_reproduces_a_smooth_function_of_the_angle_to_rounding(largest_angle):
    like = torch.ones(2, dtype=torch.float64)
    rho = node_rho(like, largest_angle)
    scales = torch.tensor([1.0, 3.0], dtype=torch.float64)
    table = AngleTable(scales[:, None] * relu_correlation(rho), largest_angle)
    low = -1 if largest_angle == pi else 0
    at = torch.linspace(low, 1, 301, dtype=torch.float64).expand(2, -1)
    torch.testing.assert_close(table(at), wide(scales, at) * relu_correlation(at), atol=1e-13, rtol=0)


@pytest.mark.parametrize("rows", [1, 3])
def test_few_and_many_points_are_evaluated_alike(rows, monkeypatch):
    like = torch.ones(rows, dtype=torch.float64)
    table = AngleTable(torch.arange(1.0, rows + 1)[:, None].double() * relu_correlation(node_rho(like)))
    for shape in ((3,), (3, 50)):
        at = 2 * torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
        few = table(at)
        with monkeypatch.context() as patched:
            patched.setattr(angle_table, "_FEW", 0)
            torch.testing.assert_close(few, table(at), atol=1e-13, rtol=0)


def test_one_row_serves_all_neurons():
    table = AngleTable(node_rho(torch.ones(1, dtype=torch.float64))[None])
    at = torch.tensor([[0.2, -0.5], [1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(table(at), at, atol=1e-13, rtol=0)
