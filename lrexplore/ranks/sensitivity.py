"""How much the network's output moves when one layer is factorized: what its error counts."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrexplore.calibration import run_model
from lrexplore.calibration.loader import evaluation
from lrexplore.linalg import rank_from_scale
from lrexplore.nn import Layer
from lrexplore.nn import factorize as factorize_layers
from lrexplore.ranks.curves import LayerCurve

PROBE_SCALE = 0.25


def sensitivities(
    model: nn.Module,
    layers: Iterable[Layer],
    curves: dict[tuple[str, str], LayerCurve],
    batches: list,
    *,
    initializer: str,
    calibration=None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, float]:
    """Layer name -> movement of the network's output per unit of the layer's error, that layer alone factorized.

    Each layer is replaced at rank scale 0.25 while the network runs on `batches`. The movement is the mean KL
    divergence for logits (inputs, classes), else the relative squared change of the output. `model` is left alone.
    """
    layers = [layer for layer in layers if (layer.name, "channel") in curves]
    ranks = {layer.name: rank_from_scale(layer.matrix_shape(), PROBE_SCALE) for layer in layers}
    probe = factorize_layers(model, ranks=ranks, initializer=initializer, calibration=calibration)
    found = {}
    with evaluation(model), evaluation(probe):
        said = [_answer(run_model(model, batch)) for batch in batches]
        for done, layer in enumerate(layers):
            if progress:
                progress(done, len(layers), layer.name)
            norm = layer.follows.batch_norm
            moved = _moved(model, probe, layer.name, norm, batches, said)
            error = curves[layer.name, "channel"].error(ranks[layer.name])
            found[layer.name] = moved / max(error, 1e-6)
    if progress:
        progress(len(layers), len(layers), "")
    return found


def _moved(model, probe, name: str, norm: str | None, batches, said) -> float:
    """Mean movement of the output with one layer's outputs taken from `probe`, its batch norm corrected as there."""
    shift = None
    if norm is not None:
        old, new = (getattr(net.get_submodule(norm), "running_mean", None) for net in (model, probe))
        shift = None if old is None else old - new

    def replaced(module, args, output):
        output = probe.get_submodule(name)(args[0])
        if shift is None:
            return output
        return output + (shift if output.ndim == 2 else shift.view(-1, *[1] * (output.ndim - 2)))

    hook = model.get_submodule(name).register_forward_hook(replaced)
    try:
        parts = [_movement(old, _answer(run_model(model, batch))) for batch, old in zip(batches, said, strict=True)]
    finally:
        hook.remove()
    return float(torch.cat(parts).mean())


def _answer(output) -> Tensor:
    if not isinstance(output, Tensor):
        raise ValueError(
            f"`model` must answer with one tensor to measure sensitivities, got {type(output).__name__}. "
            "Pass `weights='plain'`, or wrap the model."
        )
    return output.double()


def _movement(old: Tensor, new: Tensor) -> Tensor:
    if old.ndim == 2 and old.shape[1] > 1:
        terms = F.kl_div(new.log_softmax(1), old.log_softmax(1), log_target=True, reduction="none")
        return terms.sum(1)
    change = (new - old).flatten(1).square().sum(1)
    return change / old.flatten(1).square().sum(1).clamp_min(1e-30)
