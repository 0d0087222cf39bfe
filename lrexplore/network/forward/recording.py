"""A forward pass as a graph: recorded while it runs, or traced with symbols where there is nothing to run it on.

Both change the copy they run, for as long as it runs, and this thread's modes. `torch.fx.Tracer.trace` instead patches
`nn.Module` for the whole process: traces in two threads leave every module broken.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary


@dataclass(eq=False)
class Recording:
    """What one forward pass did.

    `graph`: its operations, modules of `is_leaf` being one each. `calls`: of each layer, the shapes of its input and
    output at every call. `other_multiplications`: multiply-adds of all that is no call of one of these layers, products
    of activations and matrices that are read among it. `read`: the layers whose weight other code computes with.
    """

    graph: fx.Graph = field(default_factory=fx.Graph)
    calls: dict[str, list[tuple[torch.Size, torch.Size]]] = field(default_factory=lambda: defaultdict(list))
    other_multiplications: int = 0
    read: set[str] = field(default_factory=set)
    attended: dict[str, list[tuple[torch.Size, torch.Size]]] = field(default_factory=lambda: defaultdict(list))


def record(
    model: nn.Module, args, layers: dict[nn.Module, str], is_leaf: Callable[[nn.Module, str], bool]
) -> Recording:
    """The recording of a forward pass of a copy on `args`, a tuple or a dict; `layers`: module -> name.

    Raises whatever the forward raises.
    """
    recorder = _Recorder(layers)
    for leaf in tree_leaves(args):
        if isinstance(leaf, Tensor):
            recorder.take(leaf, recorder.recording.graph.placeholder("input"))
    hooks = []
    for name, module in model.named_modules():
        if module in layers or is_leaf(module, name):
            hooks.append(module.register_forward_pre_hook(recorder.enter))
            seen = partial(recorder.leave, name)
            hooks.append(module.register_forward_hook(seen, with_kwargs=True, always_call=True))
    try:
        with recorder, _Multiplications(recorder):
            output = model(**args) if isinstance(args, Mapping) else model(*args)
    finally:
        for hook in hooks:
            hook.remove()
    recorder.recording.graph.output(recorder.argument(tree_leaves(output)))
    return recorder.recording


class _Recorder(TorchFunctionMode):
    def __init__(self, layers: dict[nn.Module, str]):
        super().__init__()
        self.recording = Recording()
        self.stack: list[nn.Module] = []  # the modules that run as one operation
        self.layers = layers
        self._weights = {id(module.weight): name for module, name in layers.items()}
        self._made = WeakIdKeyDictionary()  # tensor -> the node that made it, and its version then

    def __torch_function__(self, func, types, args=(), kwargs=None):
        keywords = kwargs or {}
        output = _normalized(*args) if func is F.batch_norm else None
        if output is None:
            output = func(*args, **keywords)
        if not self.stack:
            made = args[0] if getattr(func, "__name__", "") == "__setitem__" else output
            self._note("call_function", _target(func), args, keywords, made)
        return output

    def enter(self, module: nn.Module, args) -> None:
        self.stack.append(module)

    def leave(self, name: str, module: nn.Module, args, keywords: dict, output) -> None:
        if output is not None:  # None: it raised
            if module in self.layers:
                given = args[0] if args else next(iter(keywords.values()))
                self.recording.calls[self.layers[module]].append((given.shape, output.shape))
            if isinstance(module, nn.MultiheadAttention):
                of = dict(zip(("query", "key"), args, strict=False)) | keywords
                self.recording.attended[name].append((of["query"].shape, of["key"].shape))
            if len(self.stack) == 1:
                self._note("call_module", name, args, keywords, output)
        self.stack.pop()

    def take(self, tensor: Tensor, node: fx.Node) -> None:
        self._made[tensor] = node, _version(tensor)

    def argument(self, value):
        """The value as a node's argument: nodes for tensors, and None for what a graph does not hold."""
        if isinstance(value, Tensor):
            return self._made.get(value, (None,))[0]
        if isinstance(value, (tuple, list)):
            return [self.argument(part) for part in value]
        if isinstance(value, dict):
            return {str(key): self.argument(part) for key, part in value.items()}
        return value if isinstance(value, (bool, int, float, str)) else None

    def _note(self, kind: str, target, args, keywords: dict, output) -> None:
        made = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        if not made:
            return
        given = [leaf for leaf in tree_leaves((args, keywords)) if isinstance(leaf, Tensor)]
        self.recording.read |= {self._weights[id(leaf)] for leaf in given if id(leaf) in self._weights}
        # An operation that gives back what it got, such as dropout in evaluation mode, is none.
        made = [leaf for leaf in made if self._made.get(leaf, (None, None))[1] != _version(leaf)]
        if made and (kind == "call_module" or any(leaf in self._made for leaf in given)):
            arguments = tuple(self.argument(value) for value in args)
            named = {name: self.argument(value) for name, value in keywords.items()}
            node = self.recording.graph.create_node(kind, target, arguments, named)
            for leaf in made:
                self.take(leaf, node)


def _normalized(x: Tensor, mean=None, *rest) -> Tensor | None:
    """What batch norm makes of a meta tensor, where the sizes fit: torch takes a millisecond to say so."""
    fits = isinstance(mean, Tensor) and x.is_meta and x.ndim > 1 and x.shape[1:2] == mean.shape
    return torch.empty_like(x) if fits else None


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _target(func: Any) -> Callable | str:
    """The operation; of a property that computes, such as `x.T`, its name."""
    return func.__self__.__name__ if getattr(func, "__name__", "") == "__get__" else func


class _Multiplications(TorchDispatchMode):
    def __init__(self, recorder: _Recorder):
        super().__init__()
        from torch.utils.flop_counter import flop_registry  # slow to import

        self._recorder, self._formulas = recorder, flop_registry

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        keywords = kwargs or {}
        output = func(*args, **keywords)
        if not any(module in self._recorder.layers for module in self._recorder.stack):
            self._recorder.recording.other_multiplications += self._count(func, args, keywords, output)
        return output

    def _count(self, func, args, keywords, output) -> int:
        if func._overloadpacket in _MORE:
            return _MORE[func._overloadpacket](*args)
        if "grouped_mm" in func._overloadpacket.__name__:  # of the experts of a mixture, torch's or transformers' own
            return args[0].numel() * args[1].shape[-1]
        formula = self._formulas.get(func._overloadpacket)
        return formula(*args, **keywords, out_val=output) // 2 if formula else 0  # they count additions too


def _attention(query: Tensor, key: Tensor, value: Tensor, *rest) -> int:
    return query.numel() * key.shape[-2] + query.shape[:-1].numel() * key.shape[-2] * value.shape[-1]


_MORE = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten.mv: lambda matrix, vector: matrix.numel(),
    torch.ops.aten.dot: lambda vector, other: vector.numel(),
}
"""Operations that torch's own counter leaves out."""


class SymbolicTracer(fx.Tracer):
    """fx's tracer, but for its patches: it hears of calls by the copy's own modules, whose `forward` it replaces.

    Functions that were registered with `fx.wrap` are entered like all others. Only for copies; never share one.
    """

    def graph_of(self, root: nn.Module) -> fx.Graph:
        """The graph of the module's forward. Raises where that depends on values."""
        self.root, self.graph = root, fx.Graph(tracer_cls=type(self))
        self.root_module_name, self.module_stack, self.tensor_attrs = root._get_name(), OrderedDict(), {}
        self.submodule_paths = {module: name for name, module in root.named_modules()}
        function = vars(root).get("forward", type(root).forward)
        function = function.__func__ if isinstance(function, MethodType) else function
        if not isinstance(function, FunctionType):
            raise fx.proxy.TraceError(f"its forward is a {type(function).__name__}")
        own = isinstance(vars(root).get("forward"), FunctionType)
        run, args = self.create_args_for_root(function, not own)
        replaced = {module: vars(module).get("forward") for module in root.modules() if module is not root}
        for module in replaced:
            vars(module)["forward"] = partial(self._enter, module, module.forward)
        try:
            self.create_node("output", "output", (self.create_arg(run(*args)),), {})
        finally:
            for module, forward in replaced.items():
                vars(module).pop("forward")
                if forward is not None:
                    vars(module)["forward"] = forward
        return self.graph

    def _enter(self, module: nn.Module, forward: Callable, *args, **keywords):
        return self.call_module(module, forward, args, keywords)
