"""Replace every layer by the form that is chosen for it: factor pairs beside products of more tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from lrexplore.linalg.tensors import MATRIX
from lrexplore.network.forms.tensor_layers import replace_by_tensors
from lrexplore.network.replace import replace_layers


def tensor_start(initializer: str, form: str, *, has_inputs: bool) -> str:
    """The initializer of tensors that stands for one of factor pairs: its own name where it has one."""
    if has_inputs and form == "tucker" and initializer == "whitened":
        return "whitened"
    return initializer if initializer in ("spectral", "independent") else "rescaled"


def replace_each(
    model: nn.Module,
    *,
    ranks: Mapping[str, Any],
    forms: Mapping[str, str],
    scheme: str | dict[str, str],
    initializer: Any,
    calibration=None,
    has_inputs: bool = False,
    generator: torch.Generator | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> nn.Module:
    """A copy of `model` with the layers of `ranks` in the form that `forms` names for each, "matrix" for the others.

    Tensors start by what `tensor_start` says for `initializer`; `has_inputs`: whether the calibration is of inputs that
    were given. The other arguments and the record are those of `lrexplore.network.replace`.
    """
    made, told = model, []
    for form in dict.fromkeys(forms.get(name, MATRIX) for name in ranks):
        if form == MATRIX:
            continue
        name = initializer if isinstance(initializer, str) else ""
        start = tensor_start(name, form, has_inputs=has_inputs)
        made = replace_by_tensors(
            made, form=form, ranks={name: rank for name, rank in ranks.items() if forms.get(name) == form},
            initializer=start, calibration=calibration, generator=generator, progress=progress,
        )  # fmt: skip
        told.append(made.factorization)
    pairs = {name: rank for name, rank in ranks.items() if forms.get(name, MATRIX) == MATRIX}
    if pairs or not told:
        schemes = scheme if isinstance(scheme, str) else {name: scheme[name] for name in pairs if name in scheme}
        made = replace_layers(
            made, ranks=pairs, initializer=initializer, scheme=schemes, calibration=calibration, generator=generator,
            progress=progress,
        )  # fmt: skip
        told.append(made.factorization)
    records: dict[str, Any] = {}
    for record in (record for one in told for record in one):
        if record.name not in records or record.rank is not None:
            records[record.name] = record
    made.factorization = tuple(records.values())
    return made
