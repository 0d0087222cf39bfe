"""What attention heads are given: moments of queries, keys and attended values, and a few sequences of them.

All is said in the d dimensions of a head. W_q M_q W_q^T is the second moment of the queries themselves, for M_q that of
their inputs (with a 1 for the bias), so the metric of inputs need not be formed; likewise W_k C_k W_k^T of keys about
the mean of their sequence (a constant over the keys does not reach the softmax), and W_v Cov(z_h) W_v^T of what a head
attends to.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lrexplore.network.attention.smaller_heads import HeadMoments
from lrexplore.network.grouping import is_held_out
from lrexplore.nn.attention import AttentionHeads, attentions_of
from lrexplore.nn.attention.standing import kept_dimensions

MAX_SEQUENCES, MAX_TOKENS = 16, 256
_PREFIX = "heads of|"


@dataclass(frozen=True, eq=False)
class HeadInputs:
    """One attention's heads on real inputs: moments to fit, `held_` ones to judge by, and held-out sequences.

    `queries` (groups, d, d): second moment, summed over the query heads of a key head. `keys` (groups, d, d):
    covariance about the mean of the sequence. `mean`, `attended` (heads, d) and (heads, d, d): mean and covariance of
    what each head attends to (before the output projection). `q`, `k`, `v` (sequences, heads or groups, tokens, d).
    """

    queries: Tensor
    keys: Tensor
    mean: Tensor
    attended: Tensor
    held_queries: Tensor
    held_keys: Tensor
    held_mean: Tensor
    held_attended: Tensor
    q: Tensor
    k: Tensor
    v: Tensor

    def moments(self, attention: AttentionHeads, kind: str, place: int) -> HeadMoments:
        """The metric of one key head's product, for fitting."""
        if kind == "QK":
            return HeadMoments(self.queries[place], self.keys[place])
        outputs = attention.grouped(attention.o.read().double().cpu())[place]
        share = attention.num_heads // attention.num_groups
        heads = slice(place * share, (place + 1) * share)
        left = (outputs @ outputs.mT).sum(0)
        return HeadMoments(left, self.attended[heads].mean(0), self.mean[heads])


@contextmanager
def recording_heads(model: nn.Module, *, wanted: bool = True) -> Iterator[dict[str, "HeadRecorder"]]:
    """Name -> recorder of every known attention of a private copy, its projections watched while this lasts.

    None of them where they are not `wanted`.
    """
    recorders = {
        name: HeadRecorder(attention)
        for name, attention in (attentions_of(model) if wanted else {}).items()
        if attention.head_dim and _is_whole(attention)
    }
    hooks = []
    watched: dict[int, Any] = {}
    try:
        with ExitStack() as stack:
            for recorder in recorders.values():
                module, record = recorder.attention.module, recorder.attention.architecture
                for path in record.projections:
                    layer: Any = module.get_submodule(path)
                    if record.reads:
                        watched[id(layer.weight)] = (recorder, path)
                    else:
                        hooks.append(layer.register_forward_hook(recorder.hook(path)))
            if watched:
                stack.enter_context(_WeightsRead(watched))
            yield recorders
    finally:
        for hook in hooks:
            hook.remove()


def _is_whole(attention: AttentionHeads) -> bool:
    """Whether its heads have all their dimensions, be they in ordinary projections or not."""
    if not attention.is_narrow:
        return True
    return all(len(places) == attention.head_dim for kept in kept_dimensions(attention) for places in kept)


class _WeightsRead(TorchFunctionMode):
    """Tells recorders of linear maps by weights that an attention reads without calling their layers."""

    def __init__(self, watched: dict[int, tuple["HeadRecorder", str]]):
        super().__init__()
        self.watched = watched

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is F.linear and id(args[1]) in self.watched:
            recorder, path = self.watched[id(args[1])]
            recorder.see(path, args[0], result)
        return result


class HeadRecorder:
    """What is collected of one attention."""

    def __init__(self, attention: AttentionHeads):
        self.attention = attention
        record, heads, groups = attention.architecture, attention.num_heads, attention.num_groups
        self._parts: dict[str, list[tuple[str, int, int]]] = {}
        first = dict.fromkeys(record.projections, 0)
        for part, count in (("q", heads), ("k", groups), ("v", groups)):
            path = getattr(record, part)
            self._parts.setdefault(path, []).append((part, first[path], count))
            first[path] += count
        self._sums: dict[tuple[str, bool], list] = {}
        self._kept: dict[str, list[Tensor]] = {"q": [], "k": [], "v": []}
        self._numbers = torch.zeros(1, dtype=torch.long)

    def start(self, numbers: Tensor) -> None:
        """Announces a batch whose inputs belong to the groups of these numbers."""
        self._numbers = numbers

    def hook(self, path: str):
        """A forward hook of the projection at a path."""
        return lambda module, args, output: self.see(path, args[0], output)

    def see(self, path: str, x: Tensor, output: Tensor) -> None:
        """Takes up one call of a projection."""
        size = self.attention.head_dim
        for part, first, count in self._parts.get(path, ()):
            self._record(part, output.detach()[..., first * size : (first + count) * size], count)
        if path == self.attention.architecture.o:
            self._record("a", x.detach(), self.attention.num_heads)

    def _record(self, part: str, x: Tensor, heads: int) -> None:
        """`x` (sequences, tokens ..., heads d), or without the first axis."""
        x = x.unflatten(-1, (heads, -1)).double()
        x = x[None] if x.ndim == 3 else x.flatten(1, -3)
        batch = len(self._numbers)
        rows = len(x) // batch if len(x) % batch == 0 else 0
        held = torch.tensor([is_held_out(number) for number in self._numbers.tolist()])
        held = held.repeat_interleave(rows) if rows else torch.zeros(len(x), dtype=torch.bool)
        if part in self._kept:
            self._keep(part, x[held.to(x.device)])
        if part == "v":
            return
        centred = x - x.mean(1, keepdim=True) if part == "k" else x
        for is_held in (False, True):
            chosen = centred[(held == is_held).to(x.device)]
            if not len(chosen):
                continue
            flat = chosen.flatten(0, 1).transpose(0, 1)  # (heads, tokens, d)
            sums = self._sums.setdefault((part, is_held), [0, 0.0, 0.0])
            sums[0] += flat.shape[1]
            sums[1] = sums[1] + flat.sum(1).cpu()
            sums[2] = sums[2] + (flat.mT @ flat).cpu()

    def _keep(self, part: str, x: Tensor) -> None:
        kept = self._kept[part]
        x = x[: max(0, MAX_SEQUENCES - sum(map(len, kept))), :MAX_TOKENS].transpose(1, 2).float().cpu()
        if len(x) and (not kept or kept[0].shape[1:] == x.shape[1:]):
            kept.append(x)

    def inputs(self) -> HeadInputs | None:
        """What was recorded; None where the attention was never called."""
        if not all((part, False) in self._sums for part in "qka"):
            return None
        moments = []
        for held in (False, True):
            sums = [self._sums.get((part, held)) or self._sums[part, False] for part in "qka"]
            q, k, (count, total, squares) = ((n, total / n, squares / n) for n, total, squares in sums)
            covariance = squares - total[:, :, None] * total[:, None, :]
            moments += [self.attention.grouped(q[2]).sum(1), k[2], total, covariance]
        size = self.attention.head_dim
        samples = [
            torch.cat(self._kept[part]) if self._kept[part] else torch.zeros(0, 0, 0, size) for part in ("q", "k", "v")
        ]
        return HeadInputs(*moments, *samples)


def as_tensors(heads: dict[str, HeadInputs]) -> dict[str, Tensor]:
    """Tensors by `heads of|name of the attention|field`, to be written to a file."""
    return {
        f"{_PREFIX}{name}|{field.name}": getattr(inputs, field.name).contiguous()
        for name, inputs in heads.items()
        for field in fields(inputs)
    }


def is_of_heads(key: str) -> bool:
    """Whether a tensor of a file is one of `as_tensors`."""
    return key.startswith(_PREFIX)


def from_tensors(tensors: dict[str, Tensor]) -> dict[str, HeadInputs]:
    """What `as_tensors` gave."""
    fields: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, field = key.removeprefix(_PREFIX).rpartition("|")
        fields.setdefault(name, {})[field] = tensor
    return {name: HeadInputs(**values) for name, values in fields.items()}
