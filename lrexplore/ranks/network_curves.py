"""Error against rank of every layer of a model, kept on disk."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lrexplore.calibration import Calibration
from lrexplore.dual import BatchNorm, find_activation
from lrexplore.init import Initializer, Problem, each_rank, find_initializer, nested_errors, rank_grid
from lrexplore.init.real.input_curves import input_errors
from lrexplore.linalg.digest import digest
from lrexplore.linalg.inputs import LayerInputs
from lrexplore.network import Layer, batch_norms_of, weights_of
from lrexplore.network.attention.head_layers import HeadLayer, scheme_of
from lrexplore.ranks.cache import keep, recall
from lrexplore.ranks.heads.head_curves import head_curves

GAUSSIAN, YOURS, FROM_NORMS = "Gaussian inputs", "your inputs", "inputs implied by batch norm"
_FORMAT = 2
# Points of a curve, by what one costs.
_NUM_POINTS = {"nested": 40, "rerun": 8}
# Between points whose errors differ by more than this factor a straight line, which a convex curve never passes,
# stands for the error, else one in the logarithm: that falls to the 0 of the full rank within two ranks.
_STEEP = 10


@dataclass(frozen=True, eq=False)
class LayerCurve:
    """Relative function error of a layer under a scheme at every rank 1..min(m, n), and on which inputs.

    `errors[r - 1]` belongs to rank r and never rises; `measured` are the ranks that were computed.
    """

    layer: str
    scheme: str
    inputs: str
    measured: np.ndarray
    errors: np.ndarray

    def error(self, rank: int) -> float:
        """The error at a rank."""
        return float(self.errors[rank - 1])


def layer_curves(
    model: nn.Module,
    layers: Iterable[Layer],
    *,
    initializer: str,
    schemes: Iterable[str] = ("channel",),
    calibration: Calibration | None = None,
    use_cache: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
    on_curve: Callable[[LayerCurve], None] | None = None,
) -> dict[tuple[str, str], LayerCurve]:
    """(layer name, scheme) -> curve of every layer that can be factorized.

    With a `calibration` errors are those on its held-out inputs, without one those on Gaussian inputs. For a grouped
    convolution the mean over its groups. Curves are kept on disk under a hash of weight, inputs and options
    (`cache_folder`), but for those of attention heads, which are quickly found. `progress(done, total, what)` is called
    with the layer before each curve and with "" at the end, `on_curve(curve)` with each as it is found.
    """
    record = find_initializer(initializer)
    use_cache &= record.is_ours  # another person's may change under its name
    layers = [layer for layer in layers if layer.skip_reason is None]
    wanted = [(layer, scheme) for layer in layers if not isinstance(layer, HeadLayer) for scheme in schemes]
    curves = {}
    for done, (layer, scheme) in enumerate(wanted):
        if progress:
            progress(done, len(wanted), layer.name)
        # With a kernel of one row both schemes are one matrix.
        if layer.kernel_size[0] == 1 and scheme == "spatial" and ("channel" in schemes):
            continue
        curve = _curve(model, layer, scheme, record, calibration, use_cache)
        curves[layer.name, scheme] = curve
        if on_curve:
            on_curve(curve)
    heads = [layer for layer in layers if isinstance(layer, HeadLayer)]
    for curve in _of_heads(model, heads, calibration):
        curves[curve.layer, curve.scheme] = curve
        if on_curve:
            on_curve(curve)
    if progress:
        progress(len(wanted), len(wanted), "")
    return curves


def _of_heads(model: nn.Module, heads: list[HeadLayer], calibration: Calibration | None) -> list[LayerCurve]:
    errors = head_curves(model, [layer.head for layer in heads], calibration)
    recorded = set() if calibration is None else set(calibration.heads)
    return [
        LayerCurve(
            layer.name, scheme_of(layer), YOURS if layer.head.attention in recorded else GAUSSIAN,
            np.arange(1, len(errors[layer.name]) + 1), errors[layer.name],
        )
        for layer in heads
    ]  # fmt: skip


def _curve(
    model: nn.Module,
    layer: Layer,
    scheme: str,
    record: Initializer,
    calibration: Calibration | None,
    use_cache: bool,
) -> LayerCurve:
    entries = calibration.entries(layer.name) if calibration is not None else [None] * layer.groups
    weights, norms = weights_of(model, layer), batch_norms_of(model, layer)
    key = None
    if use_cache:
        seen = fingerprints(norms, entries)
        activation = find_activation(layer.follows.activation)
        seen.append(activation.values)  # a name of a person's own may stand for something else tomorrow
        options = (_FORMAT, record.name, scheme, activation.name, sorted(_NUM_POINTS.items()))
        key = digest(*options, *weights, *seen)
    kept = recall(key) if key else None
    if kept is None:
        points = []
        for weight, norm, entry in zip(weights, norms, entries, strict=True):
            problem = Problem.of(weight, scheme, layer.follows.activation, norm)
            ranks, errors = _points(problem, record, entry)
            points.append(errors)
        kept = {"ranks": np.array(ranks), "errors": np.sum(points, axis=0) / layer.groups}
        if key:
            keep(key, kept)
    return LayerCurve(
        layer.name, scheme, inputs_of(calibration), kept["ranks"], _every_rank(kept["ranks"], kept["errors"])
    )


def inputs_of(calibration: Calibration | None) -> str:
    """Which inputs errors with this calibration are on, in words."""
    if calibration is None:
        return GAUSSIAN
    return FROM_NORMS if calibration.is_implied else YOURS


def fingerprints(norms: Iterable[BatchNorm | None], entries: Iterable[LayerInputs | None]) -> list:
    """What tells the batch norms and the inputs of a layer's groups from others."""
    told: list = [x for norm in norms if norm for x in norm]
    return told + [x for entry in entries if entry for x in _fingerprint(entry)]


def _fingerprint(entry: LayerInputs) -> list:
    """What tells one calibration of a layer from another, without reading all of its second moment."""
    return [
        entry.mean, entry.second_moment.diagonal(), entry.scale, entry.shift, entry.held_out[:64],
        entry.num_vectors, entry.sampling_variance,
    ]  # fmt: skip


def _points(problem: Problem, record: Initializer, entry: LayerInputs | None) -> tuple[list[int], np.ndarray]:
    if entry is None:
        if record.nested:
            ranks = list(range(1, problem.max_rank + 1))
            return ranks, nested_errors(problem, record, ranks).function_error.cpu().numpy()
        ranks = rank_grid(problem.max_rank, _NUM_POINTS["rerun"])
        errors = [point.function_error for point in each_rank(problem, record, ranks)]
        return ranks, torch.cat(errors).cpu().numpy()
    cheap = record.name == "spectral" or (record.whitening is not None and problem.rows == 1)
    ranks = rank_grid(problem.max_rank, _NUM_POINTS["nested" if cheap else "rerun"])
    return ranks, input_errors(problem, record, ranks, entry).cpu().numpy()


def _every_rank(ranks: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Errors at ranks 1..ranks[-1], never rising; between the points as `_STEEP` says."""
    errors = np.minimum.accumulate(np.maximum(errors, 1e-12))
    wanted = np.arange(1, ranks[-1] + 1)
    gentle = np.exp(np.interp(wanted, ranks, np.log(errors)))
    after = np.searchsorted(ranks, wanted)
    steep = errors[np.maximum(after - 1, 0)] > _STEEP * errors[after]
    between = np.where(steep, np.interp(wanted, ranks, errors), gentle)
    between[ranks - 1] = errors
    return np.where(between <= 1e-12, 0.0, between)
