"""Kernel <-> matrix, both ways of doing it, each with its inverse.

A kernel (c_out, c_in, k_h, k_w) becomes

- channel: (c_out, c_in k_h k_w). The factors are a k_h x k_w convolution to r channels, then a 1x1.
- spatial: rows (c_out, k_h), columns (c_in, k_w). The factors are a 1 x k_w, then a k_h x 1 convolution
  (Khodak et al. 2021, arXiv:2105.01029; Jaderberg et al. 2014, arXiv:1405.3866). This needs a permutation,
  not only a reshape.

A matrix passes through both unchanged.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from lrexplore.linalg.factors import Factors

SCHEMES = ("channel", "spatial")


def _check(weight_shape: Sequence[int], scheme: str) -> None:
    if not isinstance(scheme, str) or scheme not in SCHEMES:
        raise ValueError(f"`scheme` must be one of {', '.join(SCHEMES)}, got {scheme!r}. Choose one of them.")
    if len(weight_shape) not in (2, 4):
        raise ValueError(
            "`weight` must be a matrix (m, n) or a kernel (c_out, c_in, k_h, k_w), got shape "
            f"{tuple(weight_shape)}. Reshape it to one of these first."
        )


def matrix_shape(weight_shape: Sequence[int], scheme: str = "channel") -> tuple[int, int]:
    """The shape (m, n) of the matricized weight."""
    _check(weight_shape, scheme)
    if len(weight_shape) == 2:
        return weight_shape[0], weight_shape[1]
    c_out, c_in, k_h, k_w = weight_shape
    return (c_out, c_in * k_h * k_w) if scheme == "channel" else (c_out * k_h, c_in * k_w)


def rows_per_neuron(weight_shape: Sequence[int], scheme: str = "channel") -> int:
    """How many consecutive rows of the matrix belong to one output channel: k_h under `spatial`, else 1."""
    _check(weight_shape, scheme)
    return weight_shape[2] if len(weight_shape) == 4 and scheme == "spatial" else 1


def matricize_channel(kernel: Float[Tensor, "c_out c_in k_h k_w"]) -> Float[Tensor, "c_out c_in*k_h*k_w"]:
    """The matrix (c_out, c_in k_h k_w) of a kernel."""
    return kernel.flatten(1)


def dematricize_channel(
    matrix: Float[Tensor, "m n"], kernel_shape: Sequence[int]
) -> Float[Tensor, "c_out c_in k_h k_w"]:
    """The kernel (c_out, c_in, k_h, k_w) of a channel matrix."""
    return matrix.reshape(kernel_shape)


def matricize_spatial(kernel: Float[Tensor, "c_out c_in k_h k_w"]) -> Float[Tensor, "c_out*k_h c_in*k_w"]:
    """The matrix (c_out k_h, c_in k_w) of a kernel: row o k_h + i, column c k_w + j holds kernel[o, c, i, j]."""
    c_out, c_in, k_h, k_w = kernel.shape
    return kernel.permute(0, 2, 1, 3).reshape(c_out * k_h, c_in * k_w)


def dematricize_spatial(
    matrix: Float[Tensor, "m n"], kernel_shape: Sequence[int]
) -> Float[Tensor, "c_out c_in k_h k_w"]:
    """The kernel (c_out, c_in, k_h, k_w) of a spatial matrix."""
    c_out, c_in, k_h, k_w = kernel_shape
    return matrix.reshape(c_out, k_h, c_in, k_w).permute(0, 2, 1, 3).contiguous()


def matricize(weight: Tensor, scheme: str = "channel") -> Float[Tensor, "m n"]:
    """The matrix (m, n) of a weight under `scheme`; a matrix is returned as it is."""
    _check(weight.shape, scheme)
    if weight.ndim == 2:
        return weight
    return matricize_channel(weight) if scheme == "channel" else matricize_spatial(weight)


def dematricize(matrix: Tensor, weight_shape: Sequence[int], scheme: str = "channel") -> Tensor:
    """The weight of shape `weight_shape` whose matricization is `matrix`."""
    expected = matrix_shape(weight_shape, scheme)
    if tuple(matrix.shape) != expected:
        raise ValueError(
            f"`matrix` must be {expected} for a weight {tuple(weight_shape)} under `{scheme}`, got "
            f"{tuple(matrix.shape)}. Pass the shape of the weight it came from."
        )
    if len(weight_shape) == 2:
        return matrix
    return (
        dematricize_channel(matrix, weight_shape) if scheme == "channel" else dematricize_spatial(matrix, weight_shape)
    )


def scheme_of(weight_shape: Sequence[int], factors: Factors) -> str:
    """The scheme under which the factors' product has the shape of the matricized weight.

    Where both fit (a matrix, or k_h = 1) they are the same matrix, and the answer is `channel`.
    Raises ValueError when neither fits.
    """
    if not isinstance(factors, Factors):
        raise TypeError(f"`factors` must be Factors, got a {type(factors).__name__}. Pass `lr.Factors(left, right)`.")
    for scheme in SCHEMES:
        if factors.shape == matrix_shape(weight_shape, scheme):
            return scheme
    expected = " or ".join(dict.fromkeys(str(matrix_shape(weight_shape, scheme)) for scheme in SCHEMES))
    raise ValueError(
        f"`factors` must multiply to {expected} for a weight {tuple(weight_shape)}, got {factors.shape}. "
        "Pass the weight these factors were made from."
    )
