"""Parameters and multiply-adds of a layer once it is factorized."""

from lrexplore.linalg.rank import check_rank, num_factor_parameters
from lrexplore.network.layers import Layer


def factorized_parameters(layer: Layer, rank: int, scheme: str = "channel") -> int:
    """Numbers in the factors of all groups and the bias, at `rank` a group."""
    shape = layer.matrix_shape(scheme)
    factors = layer.groups * num_factor_parameters(shape, check_rank(rank, shape))
    return factors + (layer.weight_shape[0] if layer.bias else 0)


def factorized_flops(layer: Layer, rank: int, scheme: str = "channel") -> int | None:
    """Multiply-adds of one sample in both halves of the factorized layer; None where `layer.flops` is.

    Under `spatial` the first half (1 x k_w) runs on every input row, the second on the output's rows.
    """
    m, n = layer.matrix_shape(scheme)
    check_rank(rank, (m, n))
    if layer.calls is None:
        return None
    # With k_h = 1 the spatial halves are the channel halves.
    spatial = scheme == "spatial" and layer.kernel_size[0] > 1
    flops = 0
    for call in layer.calls:
        rows, columns = call.output_size
        first_rows = call.input_size[0] if spatial else rows
        flops += first_rows * columns * layer.groups * rank * n + rows * columns * layer.groups * m * rank
    return flops
