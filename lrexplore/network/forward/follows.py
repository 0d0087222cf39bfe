"""What follows each layer of a model: batch norm, activation, nothing; read from the recorded or traced graph."""

from collections import Counter
from dataclasses import dataclass, replace

from torch import fx, nn

from lrexplore.network.forward.operations import (
    LIKE,
    SHAPE_QUERIES,
    STOPS,
    TRANSPARENT,
    activation_of,
    composed_of,
    is_activation,
    operation,
)
from lrexplore.network.forward.recording import SymbolicTracer
from lrexplore.network.private import why
from lrexplore.nn.conv import FactorizedConv2d
from lrexplore.nn.linear import FactorizedLinear, is_conv1d, matrix_of

MIXING = (nn.Linear, nn.modules.conv._ConvNd, FactorizedLinear, FactorizedConv2d)
"""Layers after which nothing follows the layer before them."""


@dataclass(frozen=True)
class Follows:
    """What follows a layer: its `batch_norm` (a module name, or None), then its `activation`.

    `activation` is a name of `lrexplore.dual`; "identity" where an addition, a pooling, the next layer or the
    output comes first. `text` says it in words: "BN, ReLU", "BN, then add", "nothing". Where the graph did
    not tell, `assumed` is True and `assumption` says what was taken and why. `shared_norm`: outputs of other layers, or
    of other calls, pass through `batch_norm` too, so its statistics are not the layer's own.
    """

    activation: str = "identity"
    batch_norm: str | None = None
    text: str = "nothing"
    assumed: bool = False
    assumption: str = ""
    shared_norm: bool = False


class GraphTracer(SymbolicTracer):
    """fx's tracer, for which layers, batch norms and the activations inside them are single nodes."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        whole = isinstance(module, MIXING) or is_batch_norm(module) or is_activation(module)
        return whole or super().is_leaf_module(module, name)


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a module normalizes by stored statistics, then applies a scale and a shift a channel."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm) or type(module).__name__ == "FrozenBatchNorm2d"


class RecordedOperations(GraphTracer):
    """The same of a recording, which also enters the layers of torch's transformers."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return not isinstance(module, _TRANSFORMERS) and super().is_leaf_module(module, name)


_TRANSFORMERS = (
    nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)  # fmt: skip


def find_follows(model: nn.Module, names, graph: fx.Graph | None = None) -> dict[str, Follows]:
    """What follows each named layer of `model`, by the graph of its recorded forward pass.

    Without one it is traced, which patches the model's modules meanwhile: give a copy. Where the model cannot be traced
    (its forward depends on values), its children are traced one by one. A layer whose follower lies outside of what
    could be traced is taken to be followed by ReLU; `assumption` says so.
    """
    layers = {model.get_submodule(name): name for name in names}
    if model in layers:
        return {"": Follows()}
    followers = {}
    if graph is not None:
        _read_graph(followers, graph, model, "", layers, outer_reason="")
    else:
        _trace_into(followers, model, "", layers, outer_reason="")
    for layer, name in layers.items():
        if name not in followers:
            parent = model.get_submodule(name.rpartition(".")[0])
            followers[name] = _in_transformer(parent, layer) or _assume("the traced graph does not call this layer")
    return {name: followers[name] for name in names}


def _trace_into(followers: dict, root: nn.Module, prefix: str, layers: dict, outer_reason: str) -> None:
    inside = {module: layers[module] for module in root.modules() if module in layers}
    if not inside:
        return
    try:
        graph = GraphTracer(param_shapes_constant=True).graph_of(root)
    except Exception as error:  # the forward is the user's: it may raise anything
        reason = f"the forward pass of `{prefix or type(root).__name__}` could not be traced ({why(error)})"
        for child_name, child in root.named_children():
            if child in layers:
                followers.setdefault(layers[child], _in_transformer(root, child) or _assume(reason))
            else:
                _trace_into(followers, child, f"{prefix}.{child_name}".lstrip("."), layers, reason)
        return
    _read_graph(followers, graph, root, prefix, inside, outer_reason)


def _read_graph(
    followers: dict, graph: fx.Graph, root: nn.Module, prefix: str, layers: dict, outer_reason: str
) -> None:
    modules = dict(root.named_modules())
    seen, times = {}, Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if node.op == "call_module" and modules[node.target] in layers:
            layer = modules[node.target]
            follows = _read(node, layer, modules, prefix, outer_reason)
            if follows.batch_norm and times[follows.batch_norm.removeprefix(f"{prefix}.")] > 1:
                follows = replace(follows, shared_norm=True)
            seen.setdefault(layers[layer], []).append(follows)
    for name, calls in seen.items():
        followers.setdefault(name, _merge(calls))


def _read(node: fx.Node, layer: nn.Module, modules: dict, prefix: str, outer_reason: str) -> Follows:
    """Walks from one call of a layer to the first thing that acts on its values."""
    batch_norm = None

    def answer(activation="identity", text="", assumption=""):
        words = ["BN"] if batch_norm else []
        if activation == "identity" and text and batch_norm:
            text = f"then {text}"
        words += [text] if text else []
        return Follows(activation, batch_norm, ", ".join(words) or "nothing", bool(assumption), assumption)

    while True:
        users = [user for user in node.users if not _is_shape_query(user, node)]
        composed = composed_of(node, modules, own=len(users) == 1)
        if composed:
            return answer(*composed)
        if len(users) != 1:
            return answer(text=_uses([_operation(user, modules) for user in users]))
        before, node = node, users[0]
        if node.op == "output":
            if outer_reason:
                return _assume(outer_reason, batch_norm)
            return answer()
        target = modules[node.target] if node.op == "call_module" else node.target
        if isinstance(target, MIXING):
            return answer()
        if isinstance(target, nn.Module) and is_batch_norm(target):
            if batch_norm or norm_width(target) != layer_width(layer):
                return answer(text="batch norm")
            batch_norm = f"{prefix}.{node.target}".lstrip(".")
            fused = getattr(target, "act", None)
            if fused is None or operation(fused) in TRANSPARENT:
                continue
            target = fused
        activation = activation_of(target, node.args[1:], node.kwargs)
        if activation:
            return answer(*activation)
        name = operation(target)
        if name not in TRANSPARENT:
            composed = composed_of(before, modules, own=False)
            return answer(*composed) if composed else answer(text=STOPS.get(name, name))


def norm_width(module: nn.Module) -> int:
    """The number of channels of a batch norm, which may have neither a scale nor statistics."""
    return module.num_features if hasattr(module, "num_features") else len(module.weight)


def layer_width(layer: nn.Module) -> int:
    """The number of output channels or features of a layer."""
    return len(matrix_of(layer)) if is_conv1d(layer) or isinstance(layer, nn.Linear) else layer.out_channels


def _uses(names: list[str]) -> str:
    """The several uses of one output in words; an addition (a residual sum) is named before the others."""
    words = {STOPS.get(name, "") for name in names}
    if "add" in words:
        return "add"
    return words.pop() if len(words) == 1 and "" not in words else f"{len(names)} uses" if names else ""


def _operation(node: fx.Node, modules: dict) -> str:
    return operation(modules[node.target] if node.op == "call_module" else node.target)


def _is_shape_query(node: fx.Node, of: fx.Node) -> bool:
    if operation(node.target) in LIKE and node.args[0] is not of:  # y.reshape_as(x) asks x for its shape
        return True
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in SHAPE_QUERIES
    return node.op == "call_method" and node.target in SHAPE_QUERIES


def _merge(calls: list[Follows]) -> Follows:
    """One answer for a layer that is called several times: what its calls agree on."""
    first = calls[0]
    if all(call == first for call in calls):
        return first
    same_activation = all(call.activation == first.activation for call in calls)
    same_norm = all(call.batch_norm == first.batch_norm for call in calls)
    texts = " / ".join(dict.fromkeys(call.text for call in calls))
    return Follows(
        first.activation if same_activation else "identity",
        first.batch_norm if same_norm else None,
        f"{texts} (differs between its calls)",
        any(call.assumed for call in calls),
        "; ".join(dict.fromkeys(call.assumption for call in calls if call.assumption)),
        any(call.shared_norm for call in calls),
    )


def _assume(reason: str, batch_norm: str | None = None) -> Follows:
    text = "BN, ReLU (assumed)" if batch_norm else "ReLU (assumed)"
    return Follows("relu", batch_norm, text, True, f"ReLU is assumed: {reason}")


def _in_transformer(parent: nn.Module, layer: nn.Module) -> Follows | None:
    """The answer for the two linear layers of PyTorch's transformer layers, which a trace does not enter."""
    if not isinstance(parent, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        return None
    if layer is parent.linear2:
        return Follows(text="add")
    activation = activation_of(parent.activation) if layer is parent.linear1 else None
    return activation and Follows(activation[0], None, activation[1], bool(activation[2]), activation[2])
