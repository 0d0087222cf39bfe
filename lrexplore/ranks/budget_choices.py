"""What the caller of `allocate` chose, checked before anything is computed."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from lrexplore.linalg import SCHEMES, check_rank
from lrexplore.linalg.tensors import FORMS, MATRIX
from lrexplore.network import Layer
from lrexplore.ranks.rules import RULES

METHODS = ("optimal", *RULES)
WEIGHTS = PLAIN, SENSITIVITY = ("plain", "sensitivity")


def check_budget(budget: str, ratio: float, method: str) -> None:
    """Raises ValueError or TypeError for a ratio that is no positive number and for a method that there is not."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}, got {method!r}. Choose one of them.")
    if not isinstance(ratio, Real) or isinstance(ratio, bool):
        raise TypeError(f"`{budget}` must be a number, got {ratio!r}. Use 0.5 for half.")
    if not ratio > 0:
        raise ValueError(f"`{budget}` must be positive, got {ratio}. Use 0.5 for half.")


def check_forms(forms: Any, method: str | None = None) -> tuple[str, ...]:
    """The forms as a tuple. Raises ValueError for what are none, and for a rule of matrices with other forms."""
    given = (forms,) if isinstance(forms, str) else forms
    if not isinstance(given, tuple | list) or not given or any(form not in FORMS for form in given):
        raise ValueError(f"`forms` must be one or more of {', '.join(FORMS)}, got {forms!r}. Use ('matrix', 'tucker').")
    if method is not None and method != METHODS[0] and set(given) != {MATRIX}:
        raise ValueError(
            f"`method` must be {METHODS[0]} for forms of tensors, got {method!r}, a rule of singular values. Use it."
        )
    return tuple(dict.fromkeys(given))


def check_pins(layers: Iterable[Layer], scheme: str, pinned: Mapping[str, int | None]) -> None:
    """Raises ValueError for names or ranks that cannot be pinned, TypeError for anything but a dict."""
    if not isinstance(pinned, Mapping):
        raise TypeError(
            f"`pinned` must be a dict of layer name -> rank, got a {type(pinned).__name__}. None as the rank keeps a "
            "layer as it is."
        )
    by_name = {layer.name: layer for layer in layers}
    for name, rank in pinned.items():
        if name not in by_name or (rank is not None and by_name[name].skip_reason):
            why = by_name[name].skip_reason if name in by_name else "the model has no such layer"
            raise ValueError(f"`pinned` must name layers that can be factorized, got {name!r}: {why}. Leave it out.")
        if rank is not None:
            schemes = SCHEMES if scheme == "best" else (scheme,)
            try:
                check_rank(rank, max((by_name[name].matrix_shape(s) for s in schemes), key=min))
            except ValueError as error:
                raise ValueError(f"`pinned` of layer {name!r}: {error}") from None
            if rank % by_name[name].rank_step:
                raise ValueError(
                    f"`pinned` of {name!r}: its rank must be even (rotary positions turn pairs of dimensions), got "
                    f"{rank}. Use {rank + 1}."
                )


def check_weights(layers: Iterable[Layer], weights: Mapping[str, float]) -> None:
    """Raises ValueError for names that are no layers and for weights that are not finite numbers >= 0."""
    names = {layer.name for layer in layers}
    for name, weight in weights.items():
        if name not in names:
            raise ValueError(f"`weights` must name layers of the model, got {name!r}. See `lr.layers(model)`.")
        if not isinstance(weight, Real) or not 0 <= weight < float("inf"):
            raise ValueError(f"`weights` must be numbers >= 0, got {weight!r} for layer {name!r}. 1 counts it plainly.")


def check_words(scheme: str, weights: object, *, has_loader: bool, heads: object = False) -> None:
    """Raises ValueError for a scheme or a way of weighting that there is not, or that needs a loader.

    TypeError for `heads` that are no switch.
    """
    if not isinstance(scheme, str) or scheme not in (*SCHEMES, "best"):
        raise ValueError(f"`scheme` must be one of {', '.join(SCHEMES)}, best, got {scheme!r}. Choose one.")
    if not isinstance(weights, Mapping | None) and (not isinstance(weights, str) or weights not in WEIGHTS):
        raise ValueError(f"`weights` must be one of {', '.join(WEIGHTS)} or a dict, got {weights!r}. Choose one.")
    if not isinstance(heads, bool):
        raise TypeError(f"`heads` must be True or False, got {heads!r}. Pin single heads with `pinned`.")
    if isinstance(weights, str) and weights == SENSITIVITY and not has_loader:
        raise ValueError("`loader` must be given for `weights='sensitivity'`, got None. Pass one, or 'plain'.")
