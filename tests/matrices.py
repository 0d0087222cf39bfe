"""Matrices that break low-rank code, by name."""

import torch


def awkward(dtype=torch.float64) -> dict[str, torch.Tensor]:
    """Small matrices, one for each regime; entries drawn from seed 0."""
    generator = torch.Generator().manual_seed(0)

    def draw(m, n):
        return torch.randn(m, n, generator=generator, dtype=torch.float64)

    tall, _ = torch.linalg.qr(draw(24, 16))
    square, _ = torch.linalg.qr(draw(16, 16))
    decay = torch.arange(1, 17, dtype=torch.float64)
    with_zero_rows, wide_with_zero_rows = draw(20, 12), draw(12, 20)
    with_zero_rows[[0, 7, 19]] = 0
    wide_with_zero_rows[[0, 7, 11]] = 0
    found = {
        "wide": draw(12, 20),
        "tall": draw(20, 12),
        "square": draw(12, 12),
        "one row": draw(1, 9),
        "one column": draw(9, 1),
        "rank one": draw(12, 1) @ draw(1, 20),
        "exactly low rank, wide": draw(12, 3) @ draw(3, 20),
        "exactly low rank, tall": draw(20, 3) @ draw(3, 12),
        "zero rows, tall": with_zero_rows,
        "zero rows, wide": wide_with_zero_rows,
        "all zero": torch.zeros(6, 9, dtype=torch.float64),
        "identity": torch.eye(12, dtype=torch.float64),
        "orthonormal rows": square[:12],
        "orthonormal columns": tall,
        "decaying spectrum": tall * decay**-2 @ square,
        "fast decay": tall * 2.0**-decay @ square,
    }
    if dtype is not torch.float16:
        found |= {"tiny entries": draw(12, 20) * 1e-24, "huge entries": draw(12, 20) * 1e24}
    return {name: matrix.to(dtype) for name, matrix in found.items()}


def imbalance(factors) -> float:
    """|left^T left - right right^T|_F over |right right^T|_F."""
    left, right = factors.left.double(), factors.right.double()
    ours, theirs = left.mT @ left, right @ right.mT
    return float((ours - theirs).norm() / theirs.norm().clamp_min(1e-300))


def balance_tolerance(dtype) -> float:
    """Rounding of the factors, or of a Gram matrix at the worst condition at which it is still used."""
    eps = torch.finfo(dtype).eps
    return max(20 * eps, eps**0.5 / 30)


def some_ranks(matrix) -> list[int]:
    """One, a few in the middle, and full rank."""
    return sorted({1, min(3, *matrix.shape), max(1, min(matrix.shape) // 2), min(matrix.shape)})
