"""A person's own functions by name, "package.module:function", so that a new process finds them."""

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_REFERENCE = re.compile(r"(?!pipe:)[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_reference(text: str) -> bool:
    """Whether a choice names a function, as in "package.module:function"."""
    return _REFERENCE.fullmatch(text) is not None


def reference_of(function: Callable, field: str) -> str:
    """ "package.module:function" for a function that a new process can import.

    Raises ValueError, with the reason, for a lambda, a function inside another or one of `__main__`.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name:
        reason = f"an object of the class {type(function).__name__}, which has no name to import it by"
    elif "<lambda>" in name:
        reason = "a lambda, which has no name to import it by"
    elif "<locals>" in name:
        reason = f"{name.rpartition('.')[2]}, a function inside another"
    elif module == "__main__":
        reason = f"{name} of this notebook or script, which a new process does not run"
    elif _reached(sys.modules.get(module), name) != function:
        reason = f"one that {module}:{name} does not name"
    else:
        return f"{module}:{name}"
    raise ValueError(
        f"`{field}` must be a function that a new process can import, got {reason}. Write it as a function of a file"
        " beside this one, such as networks.py, and import it from there."
    )


def resolve(reference: str, field: str) -> Callable[..., Any]:
    """The function of that name; its module is imported, also from the folder that this process runs in.

    Raises ImportError, with the folders that were searched, where there is none, or where its module fails.
    """
    module, _, name = reference.partition(":")
    here = os.getcwd()
    if not {"", here} & set(sys.path):
        sys.path.append(here)  # a command such as `lrexplore` has its own folder there instead
    rule = f"`{field}` must be a function that can be imported, got {reference!r}"
    if module.partition(".")[0] in {*sys.stdlib_module_names, "__main__"}:
        raise ImportError(f"{rule}, which is none of yours. Name a function in a file of your own: 'networks:build'.")
    importlib.invalidate_caches()  # the file may be newer than what Python knows of its folder
    try:
        imported = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise ImportError(
                f"{rule}: there is no {error.name} in {_searched()}. Start in the folder of that file, or put the"
                " folder into PYTHONPATH."
            ) from None
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ImportError(
            f"{rule}, whose import fails with {type(error).__name__}: {error} ({place.filename}, line {place.lineno})."
            f" Mend it: python -c 'import {module}' must pass."
        ) from error
    function = _reached(imported, name)
    if not callable(function):
        got = "nothing" if function is None else f"a {type(function).__name__}"
        raise ImportError(f"{rule}: {name} is {got} in {imported.__file__}. Check the name.")
    return function


def folder_of(reference: str) -> str:
    """The folder from which the module of a reference is imported; nothing where it is not, or not from a file."""
    module = reference.partition(":")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ""
    path = Path(file).resolve()
    return str(path.parents[module.count(".") + (path.stem == "__init__")])


def _reached(module: ModuleType | None, name: str) -> Any:
    """What a dotted name stands for in a module; None for nothing."""
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def _searched() -> str:
    """The folders of modules but for those of Python and of installed packages."""
    inside = (sys.prefix, sys.base_prefix)
    folders = [os.path.abspath(folder) for folder in sys.path if os.path.isdir(folder or ".")]
    own = [folder for folder in folders if not any(Path(folder).is_relative_to(place) for place in inside)]
    return ", ".join([*dict.fromkeys(own), "the installed packages"])
