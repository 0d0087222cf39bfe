"""The tensors of a published comparison, counted: 1 x 1 kernels of WRN-28-10 as tensor trains and Tucker tensors.

The numbers of an m x n matrix are read in a row as a tensor of three sizes (Khodak et al. 2021, arXiv:2105.01029, after
Gray, Crowley & Storkey 2019, arXiv:1906.04309). For reproducing its table; our own forms are those of kernels.
"""


def three_sizes(count: int) -> tuple[int, int, int]:
    """Three sizes near the cube root whose product is `count`: twice the least divisor that is not below it."""
    root = round(count ** (1 / 3))
    first, rest = _divisor(count, root)
    second, rest = _divisor(rest, root)
    return first, second, rest


def train_ranks(sizes: tuple[int, int, int], scale: float) -> tuple[int, int]:
    """The ranks of a tensor train: the share of the smaller of two neighbouring sizes, 1 at least."""
    a, b, c = sizes
    return max(1, round(scale * min(a, b))), max(1, round(scale * min(b, c)))


def train_count(sizes: tuple[int, int, int], scale: float) -> int:
    """Numbers in the three cores of a tensor train."""
    (a, b, c), (r, s) = sizes, train_ranks(sizes, scale)
    return a * r + r * b * s + s * c


def tucker_ranks(sizes: tuple[int, int, int], scale: float) -> tuple[int, int, int]:
    """The ranks of a Tucker tensor: the share of each size, 1 at least."""
    a, b, c = (max(1, round(scale * size)) for size in sizes)
    return a, b, c


def tucker_count(sizes: tuple[int, int, int], scale: float, *, as_published: bool = False) -> int:
    """Numbers in a Tucker tensor: its core and three factors.

    `as_published`: with the core kept as a tensor train of ranks that it has no use for, as the published code does:
    1,369 numbers for 7 x 7 x 5, so that its budget buys less than it could.
    """
    ranks = a, b, c = tucker_ranks(sizes, scale)
    factors = sum(size * rank for size, rank in zip(sizes, ranks, strict=True))
    wide = min(sizes[0], b * c)
    return factors + (a * wide + wide * b * c + c * c if as_published else a * b * c)


def _divisor(count: int, least: int) -> tuple[int, int]:
    """The least divisor of `count` that is at least `least`, and what is left."""
    divisor = next(size for size in range(least, count + 1) if count % size == 0)
    return divisor, count // divisor
