"""The forms there are, and ranks for them: from a scale, within a number of parameters."""

from collections.abc import Sequence
from math import floor

import torch
from torch import Tensor

from lrexplore.linalg.norms import relative
from lrexplore.linalg.rank import check_multiple, rank_from_scale
from lrexplore.linalg.tensors.canonical import CPFactors
from lrexplore.linalg.tensors.kernel_factors import KernelFactors, ManyFactors
from lrexplore.linalg.tensors.tensor_train import TrainFactors
from lrexplore.linalg.tensors.train_matrix import TrainMatrix
from lrexplore.linalg.tensors.tucker import TuckerFactors

MATRIX = "matrix"
TENSOR_FORMS: dict[str, type[KernelFactors]] = {
    "tucker": TuckerFactors,
    "tt": TrainFactors,
    "cp": CPFactors,
}
"""Name -> the factors of a kernel in that form, which know its shapes, ranks, costs, decay and best fit."""

FORMS = (MATRIX, *TENSOR_FORMS)


def check_form(form: str) -> str:
    """The form itself, when it is a name of one. Raises ValueError otherwise."""
    if not isinstance(form, str) or form not in FORMS:
        raise ValueError(f"`form` must be one of {', '.join(FORMS)}, got {form!r}. Choose one of them.")
    return form


def tensor_form(form: str, weight_shape: Sequence[int]) -> type[KernelFactors]:
    """The factors of a form for a kernel (c_out, c_in, k_h, k_w). Raises ValueError for what has no such form."""
    check_form(form)
    if reason := no_tensor(form, weight_shape):
        raise ValueError(
            f"`form` must be one that the weight has, got {form!r} for {tuple(weight_shape)}: {reason}. "
            f"Use form='{MATRIX}'."
        )
    return TENSOR_FORMS[form]


def no_tensor(form: str, weight_shape: Sequence[int]) -> str | None:
    """Why a weight has no such form, None where it has."""
    if len(weight_shape) == 2:
        way = ", unless `shapes` says how to number its rows and columns" if form == "tt" else ""
        return f"a matrix, of which the form {form} is a product of matrices that a pair does with less{way}"
    if len(weight_shape) != 4:
        return "no kernel of two dimensions"
    if tuple(weight_shape[2:]) == (1, 1):
        return f"its kernel is 1 x 1, a matrix, of which the form {form} is a product that a pair does with less"
    return None


def ranks_from_scale(form: str, weight_shape: Sequence[int], rank_scale: float) -> tuple[int, ...]:
    """The ranks max(1, round(rank_scale * full rank)) of a kernel's form, each cut to what the others carry."""
    kind = tensor_form(form, weight_shape)
    rank_from_scale((1, 1), rank_scale)
    return kind.useful(weight_shape, [max(1, floor(rank_scale * full + 0.5)) for full in kind.full_ranks(weight_shape)])


def ranks_within(form: str, weight_shape: Sequence[int], parameter_ratio: float, multiple: int = 1) -> tuple[int, ...]:
    """Ranks, about one scale's, whose factors hold at most this share of the kernel's numbers.

    With a `multiple` ranks past it are multiples of it: convolutions of 8 channels at a time are up to a third faster.
    Raises ValueError, with the smallest share that the form can reach, for less than that.
    """
    kind, total = tensor_form(form, weight_shape), torch.Size(weight_shape).numel()
    smallest = kind.count(weight_shape, [1] * kind.num_ranks) / total
    if not isinstance(parameter_ratio, int | float) or not parameter_ratio >= smallest:
        raise ValueError(
            f"`parameter_ratio` must be at least {smallest:.3g} for the {form} form of {tuple(weight_shape)}, got "
            f"{parameter_ratio!r}. Keep that much, or choose another form."
        )
    low, high = 0.0, 1.0
    best = kind.useful(weight_shape, [1] * kind.num_ranks)
    for _ in range(40):
        middle = (low + high) / 2
        ranks = ranks_from_scale(form, weight_shape, middle)
        if kind.count(weight_shape, ranks) <= parameter_ratio * total:
            low, best = middle, ranks
        else:
            high = middle
    best = kind.useful(weight_shape, [rank // check_multiple(multiple) * multiple or rank for rank in best])
    while True:  # what rounding left over, a rank at a time
        steps = [multiple if rank % multiple == 0 else 1 for rank in best]
        places = range(len(best))
        grown = [kind.useful(weight_shape, [*best[:k], best[k] + steps[k], *best[k + 1 :]]) for k in places]
        sizes = {ranks: kind.count(weight_shape, ranks) for ranks in grown if ranks != best}
        fitting = [ranks for ranks, size in sizes.items() if size <= parameter_ratio * total]
        if not fitting:
            return best
        best = min(fitting, key=lambda ranks: sizes[ranks])


def tensor_error(weight: Tensor, factors: ManyFactors | TrainMatrix) -> float:
    """Relative squared error |W - Y|_F^2 / |W|_F^2 of the factors' product Y."""
    product, weight = factors.product().double(), weight.detach().double()
    if product.shape != weight.shape:
        raise ValueError(
            f"`factors` must multiply to {tuple(weight.shape)}, got {tuple(product.shape)}. Pass the weight these "
            "factors were made from."
        )
    return relative((weight - product).square().sum(), weight.square().sum())
