"""Ranks for the layers of one network, with what they cost and what they are predicted to lose."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from math import isfinite, isnan, prod
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from lrexplore import linalg
from lrexplore.disk.paths import input_path
from lrexplore.disk.whole_file import write_whole
from lrexplore.linalg.tensors import MATRIX, tensor_form
from lrexplore.network.attention import find_heads
from lrexplore.nn.linear import matrix_of

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = "lrexplore rank plan 1"
HEAD_SCHEMES = ("qk", "ov")


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """What is to become of one layer. `rank` (of each group) is None where it stays as it is; `reason` says why. A
    `form` of several ranks has them all, the inputs' side first.

    A product of an attention head has a scheme of its own, "qk" or "ov"; its `weight_shape` is the dimension of the
    head and of what its right factor reads. `error` is the layer's predicted relative function error (of a head that of
    `lr.head_error`), `weight` what it counts in the total.
    """

    name: str
    weight_shape: tuple[int, ...]
    rank: int | tuple[int, ...] | None
    scheme: str = "channel"
    error: float = 0.0
    weight: float = 1.0
    parameters_before: int
    parameters_after: int
    flops_before: int | None = None
    flops_after: int | None = None
    pinned: bool = False
    reason: str = ""
    form: str = MATRIX


@dataclass(frozen=True, kw_only=True)
class RankPlan:
    """The plan of `allocate`: pass it to `lr.factorize(model, plan=plan)`.

    `error` is the weighted sum of the layers' predicted errors on `inputs` ("Gaussian inputs" or "your inputs"); no
    plan within the budget has less than `(1 - gap)` of it, by these curves. `weights` says what layers count in it:
    "plain" (1 each), "sensitivity" (how far each moves the network's output) or "given". `parameters`, `flops`
    (multiply-adds of one input) and `latency_ms` are (before, after) of the whole network; None where unknown or not
    measured.

    >>> model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    >>> plan = lr.allocate(model, parameter_ratio=0.7)
    >>> plan.save("plan.json")
    >>> lr.RankPlan.load("plan.json") == plan
    True
    >>> list(plan.table()["name"])
    ['0', '2']
    """

    layers: tuple[LayerPlan, ...]
    initializer: str
    inputs: str
    method: str
    budget: str
    error: float
    gap: float | None
    parameters: tuple[int, int]
    flops: tuple[int, int] | None = None
    latency_ms: tuple[float, float] | None = None
    weights: str = "plain"

    @property
    def ranks(self) -> dict[str, Any]:
        """Layer name -> rank of the layers to factorize, heads apart."""
        return {x.name: x.rank for x in self.layers if x.rank is not None and x.scheme not in HEAD_SCHEMES}

    @property
    def heads(self) -> dict[str, Any]:
        """Name of an attention head, as in `lr.heads`, -> rank of the heads to make smaller."""
        return {x.name: x.rank for x in self.layers if x.rank is not None and x.scheme in HEAD_SCHEMES}

    @property
    def schemes(self) -> dict[str, str]:
        """Layer name -> scheme of the layers to factorize."""
        return {x.name: x.scheme for x in self.layers if x.rank is not None and x.scheme not in HEAD_SCHEMES}

    @property
    def forms(self) -> dict[str, str]:
        """Layer name -> form of the layers to factorize."""
        return {layer.name: layer.form for layer in self.layers if layer.rank is not None}

    @property
    def parameter_ratio(self) -> float:
        """Parameters of the whole network after / before."""
        return self.parameters[1] / self.parameters[0]

    @property
    def flop_ratio(self) -> float | None:
        """Multiply-adds of the whole network after / before; None when unknown."""
        return None if self.flops is None else self.flops[1] / self.flops[0]

    def check(self, model: nn.Module) -> None:
        """Raises ValueError, with the first difference, unless this is a plan for `model`."""
        modules = dict(model.named_modules())
        if repeated := [name for name, count in Counter(layer.name for layer in self.layers).items() if count > 1]:
            raise ValueError(
                f"`plan` must have every layer once, got `{repeated[0]}` several times. Take the others out."
            )
        heads = {}
        if any(layer.scheme in HEAD_SCHEMES for layer in self.layers):
            heads = {head.name: (head.dimension, head.model_dimension) for head in find_heads(model)}
        for layer in self.layers:
            if layer.scheme in HEAD_SCHEMES:
                if heads.get(layer.name) != layer.weight_shape:
                    raise ValueError(
                        f"`plan` must be one for this model, got one with an attention head `{layer.name}` of "
                        f"{layer.weight_shape[0]} dimensions of {layer.weight_shape[1]}, which the model has not. "
                        "Allocate a plan for this model."
                    )
                continue
            module = modules.get(layer.name)
            shape = None if getattr(module, "weight", None) is None else tuple(matrix_of(module).shape)
            if shape != layer.weight_shape:
                has = "no such layer" if shape is None else f"the shape {shape}"
                raise ValueError(
                    f"`plan` must be one for this model, got one with a layer `{layer.name}` of shape "
                    f"{layer.weight_shape}, where the model has {has}. Allocate a plan for this model."
                )

    def table(self) -> "pd.DataFrame":
        """The plan as a DataFrame, one row a layer."""
        import pandas as pd  # slow to import, and only tables need it

        columns = [field.name for field in fields(LayerPlan)]
        table = pd.DataFrame([[getattr(layer, name) for name in columns] for layer in self.layers], columns=columns)
        return table if set(self.forms.values()) - {MATRIX} else table.astype({"rank": "Int64"})

    def diff(self, other: "RankPlan") -> "pd.DataFrame":
        """DataFrame of the layers whose rank or scheme differs: theirs here and in `other`, and the change in error."""
        import pandas as pd

        theirs = {layer.name: layer for layer in other.layers}
        rows: list[tuple] = []
        for layer in self.layers:
            twin = theirs.pop(layer.name, None)
            if twin is None or (twin.rank, twin.scheme, twin.form) != (layer.rank, layer.scheme, layer.form):
                rows.append((layer.name, layer.rank, twin and twin.rank, layer.scheme, twin and twin.scheme,
                             twin and twin.error - layer.error))  # fmt: skip
        rows += [(name, None, twin.rank, None, twin.scheme, None) for name, twin in theirs.items()]
        columns = ["layer", "rank", "other_rank", "scheme", "other_scheme", "error_change"]
        table = pd.DataFrame(rows, columns=columns)
        others = {*self.forms.values(), *other.forms.values()} - {MATRIX}
        return table if others else table.astype({"rank": "Int64", "other_rank": "Int64"})

    def to_json(self) -> str:
        """The plan as json, one line a layer, so that two plans can be compared line by line."""
        head = {"format": _FORMAT, **asdict(self)}
        layers = head.pop("layers")
        lines = ",\n".join("    " + json.dumps(layer) for layer in layers)
        return json.dumps(head, indent=2)[:-2] + f',\n  "layers": [\n{lines}\n  ]\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> "RankPlan":
        """The plan that `to_json` wrote. Raises ValueError for anything else."""
        try:
            values = json.loads(text)
            if values.pop("format") != _FORMAT:
                raise KeyError("format")
            layers = [_layer_plan(layer) for layer in values.pop("layers")]
            pairs = {name: values[name] and tuple(values[name]) for name in ("parameters", "flops", "latency_ms")}
            if "weights" not in values:  # written before plans recorded it
                values["weights"] = "plain" if all(layer.weight == 1 for layer in layers) else "given"
            plan = cls(layers=tuple(layers), **{**values, **pairs})
            _check(plan)
            return plan
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"`plan` must be json written by `RankPlan.save`, got something else ({error}). Save the plan again."
            ) from None

    def save(self, path: str | Path) -> None:
        """Writes the plan as json. Raises FileNotFoundError where the file's folder is missing."""
        write_whole(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "RankPlan":
        """The plan in a file that `save` wrote. Raises FileNotFoundError without it, ValueError for anything else."""
        return cls.from_json(input_path(path, "plan").read_text(encoding="utf-8", errors="replace"))

    def __str__(self) -> str:
        kept = sum(layer.rank is None for layer in self.layers)
        heads = f" and {len(self.heads)} products of heads" if self.heads else ""
        return (
            f"RankPlan: {len(self.ranks)} layers{heads} factorized, {kept} kept; "
            f"{self.parameter_ratio:.3f} of the parameters"
            + (f", {self.flop_ratio:.3f} of the multiply-adds" if self.flops else "")
            + f"; predicted error {self.error:.4g} ({self.inputs}, {self.method}, {self.weights} weights)"
        )


def _layer_plan(read: dict[str, Any]) -> LayerPlan:
    """The plan of a layer, lists as tuples."""
    lists = {name: tuple(read[name]) for name in ("weight_shape", "rank") if isinstance(read[name], list)}
    return LayerPlan(**{**read, **lists})


def _check(plan: RankPlan) -> None:
    """Raises ValueError or TypeError, with the first thing that cannot be, for a plan that was read."""
    if not plan.layers or len({layer.name for layer in plan.layers}) < len(plan.layers):
        raise ValueError("no layer, or a layer several times")
    words = [plan.initializer, plan.inputs, plan.method, plan.budget, plan.weights]
    numbers = [plan.error, *([] if plan.gap is None else [plan.gap])]
    for layer in plan.layers:
        words += [layer.name, layer.reason]
        numbers += [layer.error, layer.weight]
        counts = [*layer.weight_shape, layer.parameters_before, layer.parameters_after]
        if layer.form != MATRIX:
            kind = tensor_form(layer.form, layer.weight_shape)
            full = kind.full_ranks(layer.weight_shape)
            if not isinstance(layer.rank, tuple) or len(layer.rank) != len(full):
                raise ValueError(f"ranks {layer.rank!r} of `{layer.name}` in the form {layer.form}")
            if not all(1 <= _number(rank, whole=True) <= most for rank, most in zip(layer.rank, full, strict=True)):
                raise ValueError(f"ranks {layer.rank!r} of `{layer.name}`")
        elif layer.rank is not None:
            rank = int(_number(layer.rank, whole=True))
            if layer.scheme not in HEAD_SCHEMES:
                linalg.check_rank(rank, linalg.matrix_shape(layer.weight_shape, layer.scheme))
            elif not 1 <= rank <= layer.weight_shape[0]:
                raise ValueError(f"rank {layer.rank} of `{layer.name}`, a head of {layer.weight_shape[0]} dimensions")
        elif layer.parameters_after != layer.parameters_before:
            raise ValueError(f"`{layer.name}` stays as it is and has other parameters")
        if layer.parameters_before < prod(_number(size, whole=True) for size in layer.weight_shape):
            raise ValueError(f"`{layer.name}` has fewer parameters than entries")
        if layer.scheme not in (*linalg.SCHEMES, *HEAD_SCHEMES) or not isinstance(layer.pinned, bool):
            raise ValueError(f"scheme {layer.scheme!r} or pin of `{layer.name}`")
        for count in (*counts, *(x for x in (layer.flops_before, layer.flops_after) if x is not None)):
            _number(count, whole=True)
    for number in numbers:
        if not (isinstance(number, float) and isnan(number)):  # not known: ranks that were set by hand
            _number(number)
    if not all(isinstance(word, str) for word in words):
        raise TypeError("a word that is none")
    saved = sum(layer.parameters_before - layer.parameters_after for layer in plan.layers)
    for pair, whole in ((plan.parameters, True), (plan.flops, True), (plan.latency_ms, False)):
        if pair is not None and (
            len(pair) != 2 or not _number(pair[0], whole=whole) or _number(pair[1], whole=whole) < 0
        ):
            raise ValueError(f"{pair} is no before and after")
    if plan.parameters is None or plan.parameters[0] - plan.parameters[1] != saved:
        raise ValueError(f"{plan.parameters} parameters, and layers that save {saved}")


def _number(value: Any, *, whole: bool = False) -> Any:
    """The value, when it is a finite number >= 0, or a whole one."""
    kind: Any = int if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not 0 <= value or not isfinite(value):
        raise ValueError(f"{value!r} is no {'whole ' if whole else ''}number >= 0")
    return value
