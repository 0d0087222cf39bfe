"""What checks the shapes that the package's annotations name, while tests run (see conftest.py)."""

import inspect
from collections.abc import Callable
from typing import get_args

import beartype
from jaxtyping import AbstractArray

ROOMS = ("lrexplore.linalg", "lrexplore.dual", "lrexplore.init", "lrexplore.proof")
_checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))  # an int is a float


def check(function: Callable) -> Callable:
    """The function, checked at every call if its annotations name a shape; else as it is.

    Where none does, wrong arguments are the business of the function's own errors.
    """
    return _checked(function) if any(map(_names_shape, inspect.get_annotations(function).values())) else function


def _names_shape(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    return any(map(_names_shape, get_args(annotation)))
