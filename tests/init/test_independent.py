import pytest
import torch

from lrexplore.init import initialize


@pytest.mark.parametrize(("m", "n"), [(12, 30), (30, 12)])
@pytest.mark.parametrize("rank", [1, 4, 12])
def test_the_product_has_the_squared_norm_of_the_weight_on_average(m, n, rank):
    matrix = 0.3 * torch.randn(m, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    squares = torch.stack(
        [
            initialize(matrix, rank, initializer="independent", generator=generator).product().square().sum()
            for _ in range(400)
        ]
    )
    standard_error = float(squares.std()) / 20
    assert abs(float(squares.mean()) - float(matrix.square().sum())) < 4 * standard_error
    assert standard_error < 0.04 * float(squares.mean())


def test_draws_of_one_seed_are_nested():
    matrix = torch.randn(10, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = (initialize(matrix, rank, initializer="independent") for rank in (3, 6))
    # a rank-3 draw differs from the rank-6 draw by three terms, up to its scale
    difference = high.product() * 6**0.5 - low.product() * 3**0.5
    assert torch.linalg.matrix_rank(difference) == 3
