"""A way in for activations that the package does not know."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from lrexplore.dual.activations import ACTIVATIONS, FARTHEST, Activation
from lrexplore.dual.panels import MOST_BREAKS, find_panels, gauss


def activation(
    name: str, function: Callable[[Tensor], Tensor], *, modules: tuple[type[nn.Module], ...] = ()
) -> Activation:
    """The record of an activation, from now on known by `name` wherever an activation is named or detected.

    `function` gives of a tensor the activation of each number in it; `modules` are the classes that compute it in
    models. Functions that are called in a model's forward by their own name are detected too.

    Where it bends or jumps is searched. If it consists of straight lines and parabolas, its dual is as exact as that
    of ReLU; otherwise function errors are right to 1e-6 of the layer's output energy at any spread of the
    pre-activations, kinks and jumps included. One that bends ever on, as a sine, is known up to the record's `reach`,
    and pre-activations beyond are refused.

    A name stands for one function as long as Python runs: under a known name only the same values are accepted, and
    `modules` are added. Raises ValueError for a function that is not one of a single number, finite and always the
    same.

    >>> import torch, lrexplore as lr
    >>> record = lr.activation("bent_identity", lambda u: u + ((u * u + 1).sqrt() - 1) / 2)
    >>> weight = torch.eye(3)
    >>> factors = lr.initialize(weight, rank=2, activation="bent_identity")
    >>> 0 < lr.function_error(weight, factors, activation="bent_identity") < 1
    True
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
            f"`name` must be a word of letters, digits and underscores, got {name!r}. Use one like 'my_mish'."
        )
    modules = _check_modules(name, modules)
    _check_function(function)
    if name in ACTIVATIONS:
        record = ACTIVATIONS[name]
        points = _samples()
        if not torch.allclose(record.function(points), function(points), rtol=1e-6, atol=1e-9):
            raise ValueError(
                f"`name` must be new, or that of an activation with the same values, got {name!r}, which computes "
                "something else. Choose another name."
            )
    else:
        record = _describe(name, function)
    callables = () if isinstance(function, nn.Module) else (function,)
    return ACTIVATIONS.add(
        replace(
            record,
            modules=tuple(dict.fromkeys((*record.modules, *modules))),
            functions=tuple(dict.fromkeys((*record.functions, *callables))),
        )
    )


def _check_modules(name: str, modules: object) -> tuple[type[nn.Module], ...]:
    given = tuple(modules) if isinstance(modules, tuple | list | set | frozenset) else (modules,)
    for one in given:
        if not (isinstance(one, type) and issubclass(one, nn.Module)):
            raise TypeError(f"`modules` must be classes of nn.Module, got {one!r}. Pass its class, as in `(nn.Mish,)`.")
        for other, record in ACTIVATIONS.items():
            if one in record.modules and other != name:
                raise ValueError(
                    f"`modules` must not be known yet, got {one.__name__}, which is {other!r}. Leave it out, or derive "
                    "a class of your own from it."
                )
    return given


def _samples() -> Tensor:
    """Numbers to look at a function at: even ones near 0, and out to where it is looked at at all."""
    far = torch.logspace(-6, 5, 111, dtype=torch.float64)
    return torch.cat([torch.arange(-400, 400, dtype=torch.float64) / 20, far, -far])


def _check_function(function: Callable[[Tensor], Tensor]) -> None:
    """Raises for anything but a function of one number that is finite and always the same."""
    if isinstance(function, type) or not callable(function):
        raise TypeError(
            f"`function` must take a tensor and give one, got {function!r}. Pass a function, or a module itself."
        )
    points = _samples()
    points = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))]
    for dtype in (torch.float32, torch.float64):
        given = points.to(dtype)
        value = _call(function, given.clone())
        if not isinstance(value, Tensor) or value.shape != given.shape or value.dtype != dtype:
            got = f"a {type(value).__name__}"
            if isinstance(value, Tensor):
                got = f"{tuple(value.shape)} of {value.dtype}"
            raise ValueError(
                f"`function` must give a tensor of the shape and dtype it is given, got {got} for "
                f"{tuple(given.shape)} of {dtype}. Pass a function of one number, which acts on each entry alone."
            )
    bad = ~torch.isfinite(value)
    if bad.any():
        at = points[bad][points[bad].abs().argmin()]
        raise ValueError(
            f"`function` must be finite for every number up to +-{FARTHEST:g}, got {float(function(at[None])):g} at "
            f"{float(at):g}. Clamp it where it grows too fast or is not defined."
        )
    kept = points.clone()
    again = _call(function, kept)
    if not torch.equal(kept, points):
        raise ValueError(
            "`function` must leave its argument as it is, got one that writes into it. Pass it with `inplace=False`."
        )
    _call(function, points[:5])
    slack = 1e-9 * (value.abs() + float(value.abs().median()))
    if any(bool(((value - other).abs() > slack).any()) for other in (again, _call(function, points))):
        raise ValueError(
            "`function` must give the same values each time, got others for the same numbers. Pass one without random "
            "or remembered parts, or call `.eval()` on the module first."
        )
    half = len(points) // 2
    parts = torch.cat([_call(function, points[:half].view(half, 1))[:, 0], _call(function, points[half:])])
    if bool(((value - parts).abs() > slack).any()):
        raise ValueError(
            "`function` must act on each entry alone, got values that change with the other entries. A softmax or a "
            "normalization is no activation of one number: leave it out."
        )


def _call(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            return function(points)
    except Exception as error:  # the function is the user's: it may raise anything
        raise ValueError(
            f"`function` must take a tensor of any shape, got {type(error).__name__}: {error}. "
            "Pass a function of one number."
        ) from error


def _describe(name: str, function: Callable[[Tensor], Tensor]) -> Activation:
    """The record of a function: where it bends, and whether it is a polynomial in between."""

    with torch.no_grad():
        panels = find_panels(function)
        if len(panels.breaks) > MOST_BREAKS or panels.reach < 1:
            bends = f"{len(panels.breaks)} up to +-{panels.reach:g}" if panels.reach >= 1 else "more, or a pole, near 0"
            raise ValueError(
                f"`function` must be smooth but for {MOST_BREAKS} kinks or jumps at most, got {bends}. "
                "Pass one that is, or clamp it where it is not."
            )
        reach = panels.reach if panels.reach < FARTHEST else float("inf")
        record = Activation(name, function, name, panels.breaks, reach=reach)
        points, _ = gauss(torch.tensor(panels.edges, dtype=torch.float64), 4)
        value = function(points)
        for degree in (1, 2):
            lines = replace(record, degree=degree)
            pieces = torch.tensor(lines.pieces, dtype=torch.float64)
            c, b, a = pieces[torch.bucketize(points, torch.tensor(panels.breaks, dtype=torch.float64))].unbind(1)
            slack = 1e-10 * (c.abs() + (b * points).abs() + (a * points**2).abs() + value.abs()) + 1e-12
            if reach == float("inf") and not bool((((a * points + b) * points + c - value).abs() > slack).any()):
                return lines
    return record
