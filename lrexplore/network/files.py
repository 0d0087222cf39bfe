"""A factorized network in one file, and back in one line."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lrexplore.disk.paths import output_path
from lrexplore.disk.tensor_file import fitting, read_tensors, write_tensors
from lrexplore.linalg import SCHEMES
from lrexplore.network.attention.smaller_heads import collapse_heads
from lrexplore.network.private import copy_with, to_fill
from lrexplore.nn.attention import heads_of
from lrexplore.nn.attention.standing import factorized_heads, standing_modules, tell_width
from lrexplore.nn.kinds import check_module
from lrexplore.nn.rebuilt import NAMES, all_changed, own_names, rebuilt

FORMAT = "lrexplore network 1"


def save(model: nn.Module, path: str | Path, *, architecture: str | None = None) -> None:
    """Writes a network, factorized or not, with its ranks and its plan (if it has one) to a safetensors file.

    `architecture` is its name in `lr.load_model`; without it the name is recognized by the tensors. A network of no
    known architecture is saved too; `load` then needs the unfactorized module.
    Raises ValueError for an architecture whose tensors are others, FileNotFoundError where the folder is missing,
    OSError where the disk is full.

    >>> import lrexplore as lr, tempfile, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> path = f"{tempfile.mkdtemp()}/small.safetensors"
    >>> lr.save(lr.factorize(model, rank_scale=0.25), path)
    >>> lr.load(path, model)[0].rank
    2
    """
    check_module(model)
    output_path(path)
    for tensor_name, tensor in model.state_dict(keep_vars=True).items():
        if is_lazy(tensor) or getattr(tensor, "is_meta", False):
            raise ValueError(
                f"`model` must hold values, got `{tensor_name}` without any. Load the weights, or run the model once."
            )
    state, extra = _state_of(model)
    heads = factorized_heads(model)
    whole = _without_small_heads(model) if heads else model
    shapes = _unfactorized_state(whole, all_changed(whole))
    match = _match(shapes, architecture)
    plan = getattr(model, "rank_plan", None)
    about = {
        "format": FORMAT,
        "architecture": match.name if match else None,
        "num_classes": match.num_classes if match else None,
        "class": type(model).__name__,
        "layers": described_layers(model),
        "heads": heads,
        "plan": None if plan is None else plan.to_json(),
        "extra": extra,
        "versions": {name: data["version"] for name, data in _metadata(model).items() if "version" in data},
    }
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    write_tensors(path, tensors, about)


def described_layers(model: nn.Module) -> dict[str, dict]:
    """What is factorized in a network, in plain values: what `with_layers` makes of the unfactorized one."""
    return {
        name: {
            **module.built(),
            "bias": module.bias is not None,
            "bias_added": getattr(module, "bias_added", False),
        }
        for name, module in all_changed(model).items()
    }


def with_layers(model: nn.Module, layers: Mapping[str, dict]) -> nn.Module:
    """A copy of an unfactorized network with these layers factorized, their factors zeros that are to be filled."""
    twin = to_fill(model)  # factorized layers without values are made of ordinary ones without
    replaced = {
        id(model.get_submodule(name)): _replacement(twin, name, options)[1].to_empty(device="cpu")
        for name, options in layers.items()
    }
    for module in replaced.values():
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    return copy_with(model, replaced)


def _metadata(model: nn.Module) -> dict:
    """What a state dict says of each module beside its tensors: the version that its class had."""
    return getattr(model.state_dict(), "_metadata", {})


def _state_of(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The tensors of a model's state dict, and its plain values, which a module's `get_extra_state` gave.

    Raises ValueError for what a file of tensors does not hold.
    """
    tensors, extra = {}, {}
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            tensors[name] = value
            if value.is_quantized or value.layout != torch.strided or value.is_meta:
                kind = "without values, on the meta device" if value.is_meta else f"{value.dtype}, {value.layout}"
                raise ValueError(
                    f"`{name}` of `model` must be a plain tensor to be saved, got one {kind}. Load it, make it dense "
                    "or dequantize it first."
                )
        elif _is_plain(value):
            extra[name] = value
        else:
            raise ValueError(
                f"`{name}` of `model` must be a tensor or plain values to be saved, got a {type(value).__name__}. "
                "Return tensors, numbers, texts, lists or dicts of them from `get_extra_state`; of quantized layers "
                "save the network from before."
            )
    return tensors, extra


def _is_plain(value: object) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


def read(path: str | Path, model: nn.Module | None = None) -> tuple[nn.Module, str | None]:
    """The network in a file that `save` wrote, on the CPU and in evaluation mode; and its plan as text, if it has one.

    See `lr.load`, which also makes the plan of the text.
    """
    tensors, about = read_tensors(path, FORMAT, "lr.save", "Use `lr.load_model` for others.")
    with fitting(path, "lr.save"):
        _check_description(about, tensors)
    if model is None:
        model = _build(about, path)
    network = to_fill(model)
    replaced = dict(_replacement(network, name, options) for name, options in about["layers"].items())
    heads = about.get("heads", {})
    for name, options in heads.items():
        replaced.update(_attention_replacement(network, name, options))
    network = copy_with(network, replaced)  # by the modules themselves: one may be at several places
    for name in heads:
        tell_width(network.get_submodule(name))
    tied = _tied(network)
    state = OrderedDict({**tensors, **about.get("extra", {})})
    # Without the versions, modules take the tensors for those of their oldest class.
    state._metadata = _metadata(network)  # type: ignore[attr-defined]
    for name, version in about.get("versions", {}).items():
        state._metadata.setdefault(name, {})["version"] = version  # type: ignore[attr-defined]
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        line = str(error).strip().splitlines()[-1].strip()
        raise ValueError(
            f"`model` must be the unfactorized {about['class']} that was saved, got another: {line} "
            "Build it with the same options."
        ) from None
    for first, *others in tied:
        for name in others:
            if torch.equal(tensors[first], tensors[name]):
                parent, _, last = name.rpartition(".")
                setattr(network.get_submodule(parent), last, network.get_parameter(first))
    return network.eval(), about["plan"]


def _match(shapes: Mapping[str, Tensor], architecture: str | None):
    """How the tensors compare with the named architecture, or with the one that they are recognized as, or None.

    torchvision is imported only where there is a reason to.
    """
    from lrexplore.models.fingerprints import candidates

    if architecture is None and not candidates(shapes):
        return None
    from lrexplore.models.architectures import known_names
    from lrexplore.models.checkpoint import compare, recognize_exactly

    if architecture is None:
        return recognize_exactly(shapes)
    if not isinstance(architecture, str) or architecture not in known_names():
        raise ValueError(
            f"`architecture` must be a name that `lr.load_model` knows, got {architecture!r}. Leave it out: it is "
            "recognized by the tensors."
        )
    match = compare(shapes, architecture)
    if match.differences:
        raise ValueError(
            f"`architecture` must be that of the model, got {architecture!r}: {'; '.join(match.differences[:3])}. "
            "Leave it out for a network of your own."
        )
    return match


def _unfactorized_state(model: nn.Module, factorized: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Names and shapes of the tensors as they were before factorizing, on the meta device."""
    state = {name: x.detach().to("meta") for name, x in model.state_dict().items() if isinstance(x, Tensor)}
    for name, module in factorized.items():
        prefix = f"{name}." if name else ""
        for part in own_names(module):
            state.pop(prefix + part)
        state[prefix + "weight"] = torch.empty(module.weight_shape, device="meta")
    added = {f"{name}.bias" for name, module in factorized.items() if getattr(module, "bias_added", False)}
    return {name: value for name, value in state.items() if name not in added}


def _check_description(about: dict, tensors: Mapping[str, Tensor]) -> None:
    """Raises an error of some kind where a description does not fit its tensors."""
    for name, options in about["layers"].items():
        prefix = f"{name}." if name else ""
        if "form" in options:
            if options["form"] not in NAMES or not all(map(_is_whole, options["ranks"])):
                raise ValueError(f"form {options['form']!r} of ranks {options['ranks']!r} of `{name}`")
        else:
            left, right, rank = tensors[f"{prefix}left"], tensors[f"{prefix}right"], options["rank"]
            if not _is_whole(rank) or min(left.ndim, right.ndim) < 2:
                raise ValueError(f"rank {rank!r} of `{name}`")
            if options["scheme"] not in SCHEMES:
                raise ValueError(f"scheme {options['scheme']!r} of `{name}`")
        if not isinstance(options["bias_added"], bool):
            raise ValueError(f"bias of `{name}`")
        if options["bias"] is not (f"{prefix}bias" in tensors):
            raise ValueError(f"bias of `{name}`")
    for name, options in about.get("heads", {}).items():
        kept = [options["qk"], options["ov"]]
        if not isinstance(options["output_bias"], bool) or not all(_are_places(places) for places in kept):
            raise ValueError(f"heads of `{name}`")
    if not isinstance(about["class"], str) or not isinstance(about["architecture"], str | None):
        raise ValueError(f"{about['architecture']!r} of class {about['class']!r}")
    if not isinstance(about["plan"], str | None):
        raise ValueError("its plan is no text")
    if not isinstance(about.get("extra", {}), dict):
        raise ValueError("its extra state is no dict")
    versions = about.get("versions", {})
    if any(isinstance(version, bool) or not isinstance(version, int) for version in versions.values()):
        raise ValueError(f"versions {versions!r}")
    classes = about["num_classes"]
    # A number that no tensor has would have a head built of any size.
    if classes is not None and (isinstance(classes, bool) or not any(classes in x.shape for x in tensors.values())):
        raise ValueError(f"{classes!r} classes")


def _is_whole(rank: object) -> bool:
    return isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1


def _build(about: dict, path) -> nn.Module:
    from lrexplore.models.architectures import build, known_names

    if about["architecture"] is None:
        raise ValueError(
            f"`model` must be given for {path}, got None: it holds a {about['class']} of no known architecture. "
            "Pass that module, unfactorized: `lr.load(path, model)`."
        )
    if about["architecture"] not in known_names():
        raise ValueError(
            f"`path` must hold a network that this version knows, got a {about['architecture']!r} in {path}. Update "
            "lrexplore, or pass that module, unfactorized: `lr.load(path, model)`."
        )
    return build(about["architecture"], num_classes=about["num_classes"] or 1000)


def _tied(network: nn.Module) -> list[list[str]]:
    """The names of every parameter that has more than one; loading with `assign` gives each a tensor of its own."""
    names = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [group for group in names.values() if len(group) > 1]


def _replacement(network: nn.Module, name: str, options: dict) -> tuple[int, nn.Module]:
    """The id of the named layer and the factorized layer, on the meta device, to be put in its place."""
    try:
        layer = network.get_submodule(name)
        module = rebuilt(layer, options)
    except AttributeError:
        raise ValueError(
            f"`model` must have a layer `{name}` as the saved network, got a {type(network).__name__} without it. "
            "Pass the unfactorized module that was saved."
        ) from None
    if options["bias"] and module.bias is None:
        module.bias = nn.Parameter(torch.empty(len(layer.weight), device="meta", dtype=layer.weight.dtype))
        module.bias_added = options["bias_added"]
    return id(layer), module


def _are_places(places: object) -> bool:
    """Whether a description names dimensions, at least one a head, in order and each once."""
    return isinstance(places, list) and all(
        isinstance(kept, list)
        and bool(kept)
        and all(isinstance(place, int) and not isinstance(place, bool) and 0 <= place for place in kept)
        and kept == sorted(set(kept))
        for kept in places
    )


def _without_small_heads(model: nn.Module) -> nn.Module:
    """The model without values, with ordinary projections in its attentions."""
    empty = to_fill(model)
    return copy_with(empty, dict(collapse_heads(empty)))


def _attention_replacement(network: nn.Module, name: str, options: dict) -> dict[int, nn.Module]:
    """Ids of modules of the named attention and what stands for them, on the meta device."""
    try:
        attention = heads_of(network.get_submodule(name))
    except AttributeError:
        attention = None
    if (
        attention is None
        or attention.is_narrow
        or {len(options["qk"]), len(options["ov"])} != {attention.num_groups}
        or max(kept[-1] for kept in (*options["qk"], *options["ov"])) >= attention.head_dim
    ):
        raise ValueError(
            f"`model` must have an attention `{name}` as the saved network, got a {type(network).__name__} without it, "
            "or with other heads. Pass the unfactorized module that was saved; register its attention's class first."
        )
    return standing_modules(attention, options["qk"], options["ov"], output_bias=options["output_bias"], device="meta")
