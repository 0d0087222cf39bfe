"""The initializers there are, by name: ours, those registered here, and those of installed packages."""

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from inspect import Parameter, signature
from itertools import count
from typing import Any, NoReturn

from lrexplore.init.function_space import function
from lrexplore.init.independent import independent
from lrexplore.init.rank_errors import independent_errors, rescaled_errors, spectral_errors
from lrexplore.init.real.refined import refined
from lrexplore.init.real.sequential import sequential
from lrexplore.init.real.whitened import implied, whitened, whitened_centred, whitened_plain
from lrexplore.init.real.whitened_function import whitened_function
from lrexplore.init.record import INPUTS, Initializer, Registry
from lrexplore.init.rescaled import rescaled
from lrexplore.init.sampled import sampled
from lrexplore.init.spectral import spectral

GROUP = "lrexplore.initializers"
# For those of other people: told apart from ours and from each other, without color too.
_COLORS = ("#B2182B", "#2166AC", "#1B7837", "#762A83", "#B35806", "#01665E", "#C51B7D", "#4D4D4D")
_MARKERS = ("triangle-left", "triangle-right", "hexagram", "octagon", "diamond-tall", "bowtie", "y-up", "y-down")


def _ours(name: str, make: Callable, color: str, marker: str, **traits: Any) -> Initializer:
    return Initializer(name=name, make=make, color=color, marker=marker, is_ours=True, **traits)


def _closed(name: str, make: Callable, color: str, marker: str, **whitening: bool) -> Initializer:
    return _ours(name, make, color, marker, inputs="real", whitening=whitening)


_loaded: list[str] = []


def _load_entry_points() -> None:
    """Registers, once, what installed packages offer in the group; a broken one is left out with a warning."""
    if _loaded:
        return
    _loaded.append(GROUP)
    for entry in entry_points(group=GROUP):
        try:
            made = entry.load()  # its decorator may have registered it
            makers = {record.make for record in (*INITIALIZERS.values(), *REAL_INPUTS.values())}
            if made not in makers:
                _register(_undecorated(made, entry.name))
        except Exception as error:  # another package's code: whatever it raises must not take ours along
            warnings.warn(f"The initializer {entry.name!r} of another package was left out: {error}", stacklevel=2)


INITIALIZERS = Registry(
    [
        _ours("independent", independent, "#7f7f7f", "x", nested=True, all_ranks=independent_errors),
        _ours("spectral", spectral, "#0072B2", "square", nested=True, all_ranks=spectral_errors),
        _ours("rescaled", rescaled, "#E69F00", "triangle-up", nested=True, all_ranks=rescaled_errors),
        _ours("function", function, "#D55E00", "circle"),
        _ours(
            *("sampled", sampled, "#CC79A7", "diamond"),
            slow=True, on_step="on_epoch", steps_often={"steps_per_epoch": 8, "num_epochs": 96},
        ),
    ],
    _load_entry_points,
)  # fmt: skip
"""Name -> initializer, for inputs x ~ N(0, I).

>>> list(lr.INITIALIZERS)
['independent', 'spectral', 'rescaled', 'function', 'sampled'...]
"""

REAL_INPUTS = Registry(
    [
        _closed("whitened", whitened, "#009E73", "star"),
        _ours("implied", implied, "#661100", "star-square", inputs="implied", whitening={}),
        _ours("sequential", sequential, "#DDCC77", "star-diamond", inputs="real", in_sequence=True, whitening={}),
        _closed("whitened_plain", whitened_plain, "#999933", "hexagon", centred=False, weighted=False),
        _closed("whitened_centred", whitened_centred, "#44AA99", "pentagon", weighted=False),
        _ours("whitened_function", whitened_function, "#7F6BD6", "triangle-down", inputs="real"),
        _ours("refined", refined, "#56B4E9", "cross", inputs="real", slow=True, on_step="on_round"),
    ],
    _load_entry_points,
)
"""Name -> initializer, for real inputs: these need the layer's `calibration`.

>>> list(lr.REAL_INPUTS)
['whitened', 'implied', 'sequential', 'whitened_plain', 'whitened_centred', 'whitened_function', 'refined'...]
"""

NESTED = tuple(record.name for record in INITIALIZERS._records.values() if record.nested)
"""Those of ours whose errors at all ranks come at once."""


def initializer(name: str, *, inputs: str = "gaussian", nested: bool = False, slow: bool = False) -> Callable:
    """A decorator that adds a person's own initializer under a name, wherever there is a choice of initializers.

    It goes over `make(problem, rank, *, generator, calibration=None, **options) -> Factors`, which stays as it is.
    `problem.matrix` (m, n) is the weight, `problem.norms` the norms of its neurons, `problem.activation` and
    `problem.batch_norm` what follows; `generator` is all there is of chance. `inputs`: "gaussian", "real" for one
    that needs `calibration`, the layer's entry of `lr.calibrate`, "implied" for one that takes that of
    `lr.implied_inputs`. `nested`: the factors of rank r are the first r
    columns and rows of those of full rank, so that one call gives the whole curve. `slow`: one rank takes seconds; it
    is then not drawn beside others unasked. A name that is there is replaced, unless it is one of ours.
    Raises ValueError for such a name, one that cannot be typed in a command, or other `inputs`.

    >>> import torch, lrexplore as lr
    >>> @lr.initializer("halved")
    ... def halved(problem, rank, *, generator, **options):
    ...     factors = lr.INITIALIZERS["spectral"](problem, rank)
    ...     return lr.Factors(factors.left / 2, factors.right)
    >>> factors = lr.initialize(torch.eye(4), 2, initializer="halved", activation="identity")
    >>> round(float(lr.frobenius_error(torch.eye(4), factors)), 3)
    0.625
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][\w.-]*", name):
        raise ValueError(f"`name` must be letters, digits, `_`, `-` and `.`, got {name!r}. Choose such a name.")
    for registry in (INITIALIZERS, REAL_INPUTS):
        if name in registry._records and registry._records[name].is_ours:
            raise ValueError(f"`name` must be another than those of lrexplore, got {name!r}. Choose your own.")
    if inputs not in INPUTS:
        raise ValueError(f"`inputs` must be one of {', '.join(INPUTS)}, got {inputs!r}. Choose one of them.")

    def register(make: Callable) -> Callable:
        _register(Initializer(name=name, make=make, inputs=inputs, nested=nested, slow=slow))
        return make

    return register


_numbers = count()


def _register(record: Initializer) -> None:
    earlier = INITIALIZERS._records.get(record.name) or REAL_INPUTS._records.get(record.name)
    if earlier is not None:
        color, marker = earlier.color, earlier.marker
    else:
        number = next(_numbers)
        color, marker = _COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)]
    for registry in (INITIALIZERS, REAL_INPUTS):
        registry.discard(record.name)
    (REAL_INPUTS if record.is_real else INITIALIZERS).add(replace(record, color=color, marker=marker))


def find_initializer(wanted: str | Callable | Initializer) -> Initializer:
    """The record of a name, of `package.module:function`, or of a function, `initializer` put over it or not.

    Raises ValueError with the names there are, TypeError for anything else.
    """
    if isinstance(wanted, Initializer):
        return wanted
    records = INITIALIZERS | REAL_INPUTS
    if isinstance(wanted, str):
        if wanted in records:
            return records[wanted]
        return find_initializer(_imported(wanted)) if ":" in wanted else _refuse(wanted, records)
    if not callable(wanted):
        return _refuse(wanted, records)
    for record in records.values():
        if record.make is wanted:
            return record
    return _undecorated(wanted, _address(wanted))


def named_initializer(wanted: str | Callable | Initializer) -> str:
    """The name by which an initializer is chosen in menus; one that has none yet is registered by its function's."""
    record = find_initializer(wanted)
    if record.name not in INITIALIZERS | REAL_INPUTS:
        record = replace(record, name=re.sub(r"\W", "_", record.name.rpartition(":")[2]))
        _register(record)
    return record.name


def _undecorated(make: Callable, name: str) -> Initializer:
    """The record of a function over which nothing was put: for real inputs where it must be given a `calibration`."""
    if isinstance(make, Initializer):
        return make
    try:
        parameters = signature(make).parameters
        asked = parameters.get("calibration")
        given = {"generator": None} | ({"calibration": None} if "calibration" in parameters else {})
        signature(make).bind(None, 1, **given)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`initializer` must take (problem, rank, *, generator), got {name}: {error}. Give it these arguments."
        ) from None
    return Initializer(
        name=name, make=make, inputs="real" if asked and asked.default is Parameter.empty else "gaussian"
    )


def _address(make: Callable) -> str:
    """`package.module:function`, by which another process finds it too; its bare name where it cannot."""
    module, name = getattr(make, "__module__", None), getattr(make, "__qualname__", type(make).__name__)
    return name if module in (None, "__main__") or "<" in name else f"{module}:{name}"


def _refuse(wanted: object, records: Iterable[str]) -> NoReturn:
    near = get_close_matches(str(wanted), list(records), n=3, cutoff=0.6)
    way_out = f"Nearest: {', '.join(near)}." if near else "Choose one of them, or pass a function of your own."
    raise ValueError(f"`initializer` must be one of {', '.join(records)}, got {wanted!r}. {way_out}")


def _imported(path: str) -> Callable:
    """The function that `package.module:function` names. Raises ValueError where there is none."""
    module, _, name = path.partition(":")
    try:
        part_of = import_module(module)
        for part in name.split("."):
            part_of = getattr(part_of, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"`initializer` must be a name or a function that can be imported, got {path!r} ({error}). Check the path; "
            "the folder that holds the module must be on PYTHONPATH."
        ) from error
    if not callable(part_of):
        raise ValueError(f"`initializer` must be a function, got {path!r}, a {type(part_of).__name__}. Name one.")
    return part_of
