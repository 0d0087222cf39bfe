"""How much the network's output moves when one layer is factorized: what its error counts."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from lrexplore.calibration import Calibration, run_model
from lrexplore.init import find_initializer
from lrexplore.linalg import rank_from_scale
from lrexplore.linalg.digest import digest
from lrexplore.network import Layer, replace_layers
from lrexplore.network.answers import Choice, answer_of, movements, relative_changes
from lrexplore.network.attention.head_layers import HeadLayer
from lrexplore.network.batches import evaluation, tensors_of
from lrexplore.network.private import private_copy
from lrexplore.ranks.cache import keep, recall
from lrexplore.ranks.heads.head_sensitivity import head_probes
from lrexplore.ranks.network_curves import LayerCurve, fingerprints

PROBE_SCALE = 0.25
_FORMAT = "sensitivity 3"
SMALLEST_DIVERGENCE = 1e-9  # nats; in float64 the logits' rounding is far below


def sensitivities(
    model: nn.Module,
    layers: Iterable[Layer],
    curves: dict[tuple[str, str], LayerCurve],
    batches: list,
    *,
    initializer: str,
    calibration: Calibration | None = None,
    use_cache: bool = True,
    logits: Choice = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, float]:
    """Layer name -> movement of the network's output per unit of the layer's error, that layer alone factorized.

    Each layer is replaced at rank scale 0.25, under the scheme of its first curve, while the network runs on
    `batches`: one pass a layer. The movement is the mean KL divergence for logits (inputs, classes), nats, else the
    relative squared change of the output; that too where no layer moves the probabilities by more than rounding, as in
    a random draw with tiny logits. Attention heads are cut at that scale too, all of one product of an attention at
    once, and share what that moves (`lrexplore.ranks.heads`). `model` is left alone. Movements of layers are kept on
    disk one by one, under a hash of all that they depend on: what was interrupted goes on where it stopped.
    `progress(done, total, what)` is called with the layer before each batch, and once at the end with "". `logits` as
    for `lr.compare`.

    Raises ValueError for a model whose answer holds no tensor.
    """
    layers = list(layers)
    first: dict[str, LayerCurve] = {}
    for (name, _), curve in curves.items():
        first.setdefault(name, curve)
    record = find_initializer(initializer)
    use_cache &= record.is_ours  # another person's may change under its name
    probes = head_probes([layer for layer in layers if layer.name in first], PROBE_SCALE)
    layers = [layer for layer in layers if layer.name in first and not isinstance(layer, HeadLayer)]
    moved: dict[str, list[float]] = {}
    errors: dict[str, float] = {}
    total = len(layers) + len(probes)
    model = private_copy(model)
    with evaluation(model):
        said = [answer_of(run_model(model, batch), logits).double() for batch in batches]
        seen = digest(*said, *tensors_of(batches))
        seen = digest(seen, *model.state_dict().values()) if use_cache else ""
        for done, layer in enumerate(layers):
            curve = first[layer.name]
            rank = rank_from_scale(layer.matrix_shape(curve.scheme), PROBE_SCALE)
            key = digest(_FORMAT, seen, layer.name, rank, curve.scheme, record.name, *_entries(calibration, layer))
            kept = recall(key) if use_cache else None
            if kept is None:
                probe = replace_layers(
                    model, ranks={layer.name: rank}, scheme={layer.name: curve.scheme}, initializer=initializer,
                    calibration=calibration,
                )  # fmt: skip
                parts = []
                for batch, before in zip(batches, said, strict=True):
                    if progress:
                        progress(done, total, layer.name)
                    parts.append(_moved(before, answer_of(run_model(probe, batch), logits).double()))
                kept = {"movement": torch.cat(parts, 1).mean(1).cpu().numpy()}
                if use_cache:
                    keep(key, kept)
            moved[layer.name], errors[layer.name] = kept["movement"].tolist(), max(curve.error(rank), 1e-6)
        for done, heads in enumerate(probes, len(layers)):
            if progress:
                progress(done, total, heads.name)
            smaller = heads.model(model, calibration)
            parts = [
                _moved(before, answer_of(run_model(smaller, batch), logits).double())
                for batch, before in zip(batches, said, strict=True)
            ]
            moved[heads.name] = torch.cat(parts, 1).mean(1).tolist()
    if progress:
        progress(total, total, "")
    kind = 0 if max((divergence for divergence, _ in moved.values()), default=0.0) > SMALLEST_DIVERGENCE else 1
    weights = {name: moved[name][kind] / errors[name] for name in errors}
    by_head = {name: curve.errors for name, curve in first.items()}
    for heads in probes:
        weights |= heads.shared(moved[heads.name][kind], model, by_head, calibration)
    return weights


def _moved(before: Tensor, after: Tensor) -> Tensor:
    """(2, inputs): how far every answer moved, in the unit of its kind, and its relative squared change."""
    return torch.stack([movements(before, after), relative_changes(before, after)])


def _entries(calibration: Calibration | None, layer: Layer) -> list:
    entries = calibration.entries(layer.name) if calibration is not None else ()
    return fingerprints((), entries)
