"""What layers lose as products of tensors: a menu of ranks for each, from the lower hull of cost and error.

A form of several ranks has too many choices to try. The squares of the singular values that each unfolding loses add up
to a bound on the error of all of them at once (De Lathauwer et al. 2000, Oseledets 2011): the choices on the lower hull
of that bound and the cost are made, and measured.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrexplore.calibration import Calibration
from lrexplore.dual import find_activation
from lrexplore.init import Problem, find_initializer, initialize, rank_grid, single_errors
from lrexplore.init.real import RealProblem
from lrexplore.linalg import Factors
from lrexplore.linalg.digest import digest
from lrexplore.linalg.inputs import LayerInputs
from lrexplore.linalg.tensors import TENSOR_FORMS, tensor_form
from lrexplore.linalg.tensors.form_ranks import no_tensor
from lrexplore.network import Layer, batch_norms_of, weights_of
from lrexplore.network.forms.each_form import tensor_start
from lrexplore.network.layers import tensor_flops, tensor_parameters
from lrexplore.ranks.cache import keep, recall
from lrexplore.ranks.knapsack import hull
from lrexplore.ranks.network_curves import fingerprints

_FORMAT = "form menu 1"
NUM_CHOICES = {"tucker": 14, "tt": 14, "cp": 7}
_GRID = {1: 64, 2: 24, 3: 12}  # values of each rank, by how many ranks a form has


@dataclass(frozen=True, eq=False)
class FormMenu:
    """A layer's ranks in a form, by rising number of parameters, and the relative function error at each."""

    layer: str
    form: str
    ranks: tuple[tuple[int, ...], ...]
    errors: np.ndarray


def form_menus(
    model: nn.Module,
    layers: Iterable[Layer],
    *,
    forms: Sequence[str],
    initializer: str,
    calibration: Calibration | None = None,
    use_cache: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[tuple[str, str], FormMenu]:
    """(layer name, form) -> menu of every layer that has the form, of the factors that `lr.factorize` would make.

    Errors are on the held-out inputs of the calibration, or on Gaussian ones without. Menus are kept on disk, as curves
    are. `progress` as for `layer_curves`.
    """
    record = find_initializer(initializer)
    wanted = [
        (layer, form) for layer in layers if layer.skip_reason is None
        for form in forms if form in TENSOR_FORMS and no_tensor(form, layer.group_shape) is None
    ]  # fmt: skip
    menus = {}
    for done, (layer, form) in enumerate(wanted):
        if progress:
            progress(done, len(wanted), f"{layer.name} ({form})")
        start = tensor_start(record.name, form, has_inputs=calibration is not None and not calibration.is_implied)
        menus[layer.name, form] = _menu(model, layer, form, start, calibration, use_cache and record.is_ours)
    if progress and wanted:
        progress(len(wanted), len(wanted), "")
    return menus


def _menu(
    model: nn.Module, layer: Layer, form: str, start: str, calibration: Calibration | None, use_cache: bool
) -> FormMenu:
    entries = calibration.entries(layer.name) if calibration is not None else [None] * layer.groups
    weights, norms = weights_of(model, layer), batch_norms_of(model, layer)
    key = None
    if use_cache:
        activation = find_activation(layer.follows.activation)
        options = form, start, NUM_CHOICES[form], layer.stride, layer.calls
        key = digest(_FORMAT, options, activation.name, activation.values, *weights, *fingerprints(norms, entries))
    kept = recall(key) if key else None
    if kept is None:
        chosen = hopeful_ranks(layer, form, weights)
        losses = [
            [
                tensor_loss(weight, ranks, form, start, layer.follows.activation, norm, entry)
                for weight, norm, entry in zip(weights, norms, entries, strict=True)
            ]
            for ranks in chosen
        ]
        shape = (len(chosen), TENSOR_FORMS[form].num_ranks)
        kept = {
            "ranks": np.array(chosen, dtype=np.int64).reshape(shape),
            "errors": np.array([np.mean(errors) for errors in losses], dtype=float),
        }
        if key:
            keep(key, kept)
    ranks = tuple(tuple(map(int, row)) for row in kept["ranks"])
    return FormMenu(layer.name, form, ranks, kept["errors"])


def tensor_loss(
    weight: Tensor, ranks: tuple[int, ...], form: str, start: str, activation: str, batch_norm: Any,
    inputs: LayerInputs | None,
) -> float:  # fmt: skip
    """Relative function error of one kernel's factors, on held-out inputs where there are some, else Gaussian ones."""
    factors = initialize(
        weight, ranks, form=form, initializer=start, activation=activation, batch_norm=batch_norm, calibration=inputs
    )
    matrix = factors.product().flatten(1)
    problem = Problem.of(weight, "channel", activation, batch_norm)
    if inputs is None:
        eye = torch.eye(len(matrix), dtype=problem.matrix.dtype, device=matrix.device)
        return float(single_errors(problem, Factors(eye, matrix.to(problem.matrix.dtype)), len(matrix)).function_error)
    real = RealProblem(problem, inputs)
    z = real.held_out @ matrix.to(real.held_out.dtype).mT
    return real.relative_loss(z if factors.bias is None else z + factors.bias.to(z.dtype))


def hopeful_ranks(layer: Layer, form: str, weights: list[Tensor]) -> list[tuple[int, ...]]:
    """The ranks to try: on the lower hull of the bound on the error and of parameters, or of multiply-adds."""
    kind, shape = tensor_form(form, layer.group_shape), layer.group_shape
    full = kind.full_ranks(shape)
    grids = [rank_grid(most, _GRID[len(full)]) for most in full]
    choices = sorted({kind.useful(shape, ranks) for ranks in product(*grids)})
    original = layer.num_parameters
    choices = [ranks for ranks in choices if tensor_parameters(layer, form, ranks) < original]
    if not choices:
        return []
    chosen: set[int] = set()
    costs = [np.array([tensor_parameters(layer, form, ranks) for ranks in choices], dtype=float)]
    if layer.calls is not None:
        costs.append(np.array([tensor_flops(layer, form, ranks) for ranks in choices], dtype=float))
    if len(full) == 1:
        bound = np.arange(len(choices), 0, -1.0)
        costs = costs[:1]
    else:
        of_groups = [[_tail(values) for values in _unfoldings(form, weight)] for weight in weights]
        tails: list[Any] = [sum(parts) for parts in zip(*of_groups, strict=True)]
        bound = np.array([sum(tail[rank] for tail, rank in zip(tails, ranks, strict=True)) for ranks in choices])
    for cost in costs:
        corners = hull(cost, bound)
        count = min(NUM_CHOICES[form], len(corners))
        chosen |= {corners[round(at)] for at in np.linspace(0, len(corners) - 1, count)}
    return [choices[number] for number in sorted(chosen, key=lambda number: costs[0][number])]


def _unfoldings(form: str, weight: Tensor) -> list[Tensor]:
    """The squares of the singular values of the unfoldings that a form's ranks cut, descending."""
    kernel = weight.detach().double()
    c_out, c_in, k_h, _ = kernel.shape
    if form == "tucker":
        matrices = [kernel.transpose(0, 1).flatten(1), kernel.flatten(1)]
    else:
        chain = kernel.permute(1, 2, 3, 0)
        matrices = [chain.reshape(c_in, -1), chain.reshape(c_in * k_h, -1), chain.reshape(-1, c_out)]
    grams = [matrix @ matrix.mT if len(matrix) <= matrix.shape[1] else matrix.mT @ matrix for matrix in matrices]
    return [torch.linalg.eigvalsh(gram).flip(0).clamp_min(0) for gram in grams]


def _tail(values: Tensor) -> np.ndarray:
    """What is lost at ranks 0, 1, ..., full."""
    return np.append(values.cpu().numpy()[::-1].cumsum()[::-1], 0.0)
