"""Copies of a model to run, to trace and to change: a person's own model is theirs, and is left alone.

deepcopy takes functions as they are, with all that they close over: the hooks and replaced methods of a copy would act
on the original. Here they are made anew, over the copy.
"""

import dis
from collections.abc import Callable
from copy import copy, deepcopy
from functools import partial
from itertools import chain, pairwise
from types import CellType, FunctionType, MethodType

import torch
from torch import Tensor, nn

from lrexplore.nn.kinds import check_module

WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
"""Modules whose output is that of the one module in them -> the name of that module."""

MAX_SHARED = 1000


def private_copy(model: nn.Module) -> nn.Module:
    """The model to run: in evaluation mode, with buffers and hooks of its own, and the model's own parameters.

    What cannot be copied (locks, files, modules, generators as attributes) is shared. Compiled and data-parallel parts
    run as the modules in them. Hooks that only look are left off where they belong to someone else.
    Raises ValueError for a model that refuses to be copied.
    """
    check_module(model)
    twin, memo = _copied(model, {id(parameter): parameter for parameter in model.parameters()}, alone=True)
    _drop_hooks(model, twin, looks_only)
    return _unwrapped(twin, memo).eval()


def skeleton(model: nn.Module) -> nn.Module:
    """The model in evaluation mode with meta parameters and buffers, to trace and to run for sizes; without its hooks.

    Module names and order are the model's. Hooks that read the model's own attributes stay, others are someone else's.
    Compiled and data-parallel parts run as the modules in them. Raises ValueError as `private_copy`.
    """
    twin, memo = _copied(model, _meta_memo(chain(model.parameters(), model.buffers())))
    _drop_hooks(model, twin, lambda hook: True)
    return _unwrapped(twin, memo).eval()


def to_fill(model: nn.Module) -> nn.Module:
    """The model in evaluation mode with all that is in its state dict on the meta device, to be filled by another one.

    Raises ValueError as `private_copy`.
    """
    kept = (value for value in model.state_dict(keep_vars=True).values() if isinstance(value, Tensor))
    return _copied(model, _meta_memo(kept))[0].eval()


def copy_with(model: nn.Module, memo: dict[int, object]) -> nn.Module:
    """A copy of the model in which what stands in `memo` by its id is replaced; `memo` then holds all that was copied.

    Raises ValueError as `private_copy`, and RuntimeError for tensors that a graph made, as weight norm leaves them.
    """
    for parameter in model.parameters():
        if parameter.layout != torch.strided:  # torch's own deepcopy of these fails
            memo.setdefault(id(parameter), nn.Parameter(parameter.detach().clone(), parameter.requires_grad))
    twin, filled = _copied(model, memo, detach=False)
    memo.update(filled)
    return twin


def _own_functions(twin: nn.Module, memo: dict[int, object], *, alone: bool = False) -> nn.Module:
    """A copy whose hooks and replaced methods act on itself, by the memo that deepcopy filled for it.

    `alone`: with lists, dicts and sets of its own too, so that what they keep there is not seen outside.
    """
    for module in twin.modules():
        _rebind(vars(module), memo, alone=alone)
        for _, hooks in _hooks_of(module):
            _rebind(hooks, memo, alone=alone)
    return twin


def copy_hooks(module: nn.Module, twin: nn.Module, memo: dict[int, object]) -> None:
    """Gives `twin`, which stands for `module` in a copy, its hooks; `memo` is what deepcopy filled for that copy."""
    for name, hooks in _hooks_of(module):
        if name.startswith(("_forward", "_backward")):
            vars(twin)[name] = deepcopy(hooks, memo)
            _rebind(vars(twin)[name], memo)


def looks_only(hook: Callable) -> bool:
    """Whether a hook returns nothing and so leaves alone what it sees; False where its code does not tell."""
    while isinstance(hook, partial):
        hook = hook.func
    function = getattr(hook, "__func__", hook)
    if not isinstance(function, FunctionType):
        function = getattr(type(hook), "__call__", None)  # noqa: B004 its code is wanted
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    for before, last in pairwise(dis.get_instructions(code)):
        value = last if last.opname == "RETURN_CONST" else before
        if last.opname.startswith("RETURN_") and last.opname != "RETURN_GENERATOR":
            if last.is_jump_target or not value.opname.endswith("CONST") or value.argval is not None:
                return False
    return not any(name.endswith("_") and not name.endswith("__") for name in code.co_names)  # x.mul_(2)


def why(error: Exception) -> str:
    """The error in one line of at most 160 characters."""
    lines = str(error).strip().splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}"
    return text if len(text) <= 160 else text[:157] + "..."


def _meta_memo(tensors) -> dict[int, Tensor]:
    memo = {}
    for tensor in tensors:
        try:
            data = tensor.detach().to("meta")
        except (RuntimeError, NotImplementedError):  # quantized ones have no meta device
            data = torch.empty(tensor.shape, dtype=torch.get_default_dtype(), device="meta")
        memo[id(tensor)] = nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
    return memo


def _copied(model: nn.Module, replaced: dict, *, alone: bool = False, detach: bool = True) -> tuple[nn.Module, dict]:
    """A copy and its memo. What deepcopy stumbles over is put into the memo as it is, and the copy begun again."""
    start = dict(replaced)
    for _ in range(MAX_SHARED):
        memo = dict(start)
        try:
            twin = deepcopy(model, memo)
            break
        except Exception as error:  # an object may refuse to be copied, for any reason of its own
            culprit, reason = _culprit(error), error
            if isinstance(culprit, Tensor) and not detach:
                raise
            if culprit is None or isinstance(culprit, nn.Module) or id(culprit) in start:
                raise _no_copy(model, error) from error
            start[id(culprit)] = culprit.detach().clone() if isinstance(culprit, Tensor) else culprit
    else:
        raise _no_copy(model, reason) from reason
    return _own_functions(twin, memo, alone=alone), memo


def _culprit(error: Exception):
    """The object that the innermost deepcopy was given."""
    culprit, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code is deepcopy.__code__:
            culprit = step.tb_frame.f_locals["x"]
        step = step.tb_next
    return culprit


def _no_copy(model: nn.Module, error: Exception) -> ValueError:
    return ValueError(
        f"`model` must be one that `copy.deepcopy` copies, for your own is never run or changed, got a "
        f"{type(model).__name__} that it does not ({why(error)}). Give the class that refuses a `__deepcopy__`."
    )


def _hooks_of(module: nn.Module) -> list[tuple[str, dict]]:
    return [(name, hooks) for name, hooks in vars(module).items() if "_hooks" in name and isinstance(hooks, dict)]


def _drop_hooks(model: nn.Module, twin: nn.Module, which: Callable) -> None:
    """Takes off the copy what hooks it shares with the model: they would tell their owner of its runs."""
    for module, other in zip(model.modules(), twin.modules(), strict=True):
        for name, hooks in _hooks_of(module):
            kept = vars(other).get(name, {})
            for key in [key for key, hook in hooks.items() if kept.get(key) is hook and which(hook)]:
                del kept[key]


def _rebind(holder: dict, memo: dict, *, alone: bool = False) -> None:
    """Puts functions over the copy in place of those over the model."""
    for name, value in list(holder.items()):
        if isinstance(value, FunctionType):
            holder[name] = _rebound(value, memo, alone)
        elif isinstance(value, MethodType) and isinstance(value.__func__, FunctionType):
            holder[name] = MethodType(_rebound(value.__func__, memo, alone), value.__self__)


def _rebound(function: FunctionType, memo: dict, alone: bool) -> FunctionType:
    """The function with what was copied in its closure and globals; itself where nothing was."""
    if id(function) in memo:
        return memo[id(function)]
    memo[id(function)] = function  # a function may close over itself

    def ours(value):
        if id(value) in memo:
            return memo[id(value)]
        if isinstance(value, MethodType):
            own, inner = ours(value.__self__), value.__func__
            inner = _rebound(inner, memo, alone) if isinstance(inner, FunctionType) else inner
            return value if own is value.__self__ and inner is value.__func__ else MethodType(inner, own)
        if isinstance(value, FunctionType):
            return _rebound(value, memo, alone)
        if alone and type(value) in (list, dict, set):
            memo[id(value)] = copy(value)
            return memo[id(value)]
        return value

    filled = [cell for cell in function.__closure__ or () if _is_filled(cell)]
    contents = {id(cell): ours(cell.cell_contents) for cell in filled}
    names = {name: function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__}
    changed = {name: ours(value) for name, value in names.items() if _is_near(value, function)}
    changed = {name: value for name, value in changed.items() if value is not names[name]}
    if not changed and all(contents[id(cell)] is cell.cell_contents for cell in filled):
        return function
    cells = tuple(CellType(contents[id(cell)]) if id(cell) in contents else cell for cell in function.__closure__ or ())
    scope = {**function.__globals__, **changed} if changed else function.__globals__
    new = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)
    new.__kwdefaults__ = function.__kwdefaults__
    memo[id(function)] = new
    return new


def _is_near(value, function: FunctionType) -> bool:
    """Whether a global of a function may lead to the model: functions of other files do not."""
    if isinstance(value, FunctionType):
        return value.__globals__ is function.__globals__
    return isinstance(value, (nn.Module, MethodType, list, dict, set))


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 raises where it is empty
    except ValueError:
        return False
    return True


class _Bare(nn.Module):
    """What a wrapper computes, by the module in it and under the same name."""

    def __init__(self, name: str, module: nn.Module):
        super().__init__()
        self._inner = name
        self.add_module(name, module)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__(vars(self)["_inner"]), name)

    def forward(self, *args, **keywords):
        return self._modules[self._inner](*args, **keywords)


def without_wrapper(twin: nn.Module) -> nn.Module:
    """A private copy of a wrapped model as the module that was in the wrapper, with its own forward."""
    while isinstance(twin, _Bare):
        twin = getattr(twin, vars(twin)["_inner"])
    return twin


def _unwrapped(module: nn.Module, memo: dict) -> nn.Module:
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if child is not None and type(child).__name__ in WRAPPERS:
                parent._modules[name] = _bare(child, memo)
    return _bare(module, memo) if type(module).__name__ in WRAPPERS else module


def _bare(wrapper: nn.Module, memo: dict) -> nn.Module:
    inner = WRAPPERS[type(wrapper).__name__]
    return memo.setdefault(id(wrapper), _Bare(inner, getattr(wrapper, inner)))
