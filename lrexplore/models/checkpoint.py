"""Weights of a file matched to an architecture and loaded into it."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from lrexplore.models.architectures import build, by_popularity, signature
from lrexplore.models.fingerprints import candidates, is_listed, renamed
from lrexplore.models.sketches import likeness
from lrexplore.models.state_dicts import Reading, check_values, readings, tell

_NUM_COMPARED = 6


@dataclass(frozen=True)
class Match:
    """How a state dict compares with an architecture: `differences` is empty where they agree.

    `head`: the module that names the classes, where that is all the state dict lacks; "" elsewhere.
    """

    name: str
    differences: tuple[str, ...]
    num_matching: int
    num_classes: int | None
    head: str = ""

    @property
    def fits(self) -> bool:
        """Whether the tensors are those of the architecture, with its head or without."""
        return not self.differences or bool(self.head)


def _named_for(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: state[old] for key, old in renamed(name, state).items()}


def compare(state: Mapping[str, Tensor], name: str) -> Match:
    """The comparison of a state dict with the architecture `name`, whatever the number of classes."""
    expected = signature(name)
    shapes = {
        key: _shape(tensor)
        for key, tensor in _named_for(name, state).items()
        if not key.endswith("num_batches_tracked")
    }
    classes = {
        size
        for key, shape in expected.items()
        for axis, size in zip(shape, shapes.get(key, ()), strict=False)
        if axis is None
    }
    num_classes = classes.pop() if len(classes) == 1 else None
    differences = {}
    for key, shape in expected.items():
        wanted = tuple(num_classes if axis is None else axis for axis in shape)
        if key not in shapes:
            differences[key] = f"`{key}` is missing"
        elif shapes[key] != wanted:
            axes = tuple("classes" if axis is None else axis for axis in shape)
            differences[key] = f"`{key}` is {shapes[key]}, not {axes}"
    num_matching = len(expected) - len(differences)
    differences |= {key: f"`{key}` is not part of it" for key in shapes if key not in expected}
    head = _head_without(expected, shapes, list(differences)) if num_matching else ""
    return Match(name, tuple(differences.values()), num_matching, num_classes, head)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return () if tensor.is_nested else tuple(tensor.shape)


def _head_without(expected: Mapping[str, tuple], shapes: Mapping[str, tuple], different: Sequence[str]) -> str:
    """The module with the class axis, or the part of the network that it is in, if all that differs lies under it.

    A head of someone's own in its place, such as the projection of a contrastive loss, counts as none.
    """
    layer = next((key.rpartition(".")[0] for key, shape in expected.items() if None in shape), "")
    for head in (layer, layer.split(".")[0]):
        under = f"{head}."
        if different and head and all(key.startswith(under) for key in different):
            if not any(key.startswith(under) and key in shapes for key in expected):
                return head
    return ""


def recognize_exactly(state: Mapping[str, Tensor]) -> Match | None:
    """The architecture with the names and shapes of `state`; None where there is none, which is known at once."""
    maybe = candidates(state)
    for name in by_popularity():
        if name in maybe or not is_listed(name):
            match = compare(state, name)
            if not match.differences:
                return match
    return None


def recognize(state: Mapping[str, Tensor]) -> Match:
    """The architecture with the names and shapes of `state`, else the nearest one with its differences."""
    return _recognized([Reading(dict(state))])[1]


def _recognized(ways: Sequence[Reading]) -> tuple[Reading, Match]:
    """The way to read a file that gives a known architecture, and which; else the way that comes nearest to one.

    Only the few architectures that a sketch of all finds alike are built.
    """
    for way in ways:
        if match := recognize_exactly(way.tensors):
            return way, match
    scores = []
    for number, way in enumerate(ways):
        shares = likeness({key: _shape(tensor) for key, tensor in way.tensors.items()})
        scores += [(score, -number, name) for name, score in shares.items()]
    nearest = sorted(scores, reverse=True)[:_NUM_COMPARED]
    tried = [(ways[-number], compare(ways[-number].tensors, name)) for _, number, name in nearest]
    tried = tried or [(ways[0], compare(ways[0].tensors, "resnet18"))]
    return max(tried, key=lambda pair: (pair[1].fits, pair[1].num_matching, -len(pair[1].differences)))


def _compared(ways: Sequence[Reading], name: str) -> tuple[Reading, Match]:
    """The way to read a file that fits the named architecture best."""
    tried = [(way, compare(way.tensors, name)) for way in ways]
    exact = [pair for pair in tried if not pair[1].differences]
    return next(iter(exact or [pair for pair in tried if pair[1].fits] or tried))


def load_checkpoint(path: str | Path, name: str | None = None) -> nn.Module:
    """The model in a checkpoint, in eval mode; its number of classes is read from the head's shape.

    Without `name` the architecture is recognized by the names and shapes of all tensors, also of those under a prefix
    beside others. Of averaged weights (EMA) and plain ones the averaged are taken; a backbone whose head is missing
    answers with features. Both are said in a warning. Raises ValueError where the tensors are those of no known
    architecture (the nearest is named), or not those of `name`.
    """
    ways, file = readings(path), Path(path).name
    way, match = _recognized(ways) if name is None else _compared(ways, name)
    state = way.tensors
    check_values(state.items(), f"`{file}`")
    for key, tensor in state.items():
        if tensor.is_complex() or tensor.is_quantized:
            raise ValueError(
                f"`{key}` of `{file}` must be real and not quantized, got {tensor.dtype}, which no known "
                "architecture has. Load it into your own nn.Module."
            )
    if not match.fits:
        raise ValueError(_mismatch(Path(path), state, match, asked=name))
    tell(path, way)
    model = build(match.name, num_classes=match.num_classes or 1000)
    if match.differences:
        warnings.warn(
            f"`{file}` holds a {match.name} without its head `{match.head}`: the network answers with features.",
            stacklevel=2,
        )
        parent, _, last = match.head.rpartition(".")
        setattr(model.get_submodule(parent), last, nn.Identity())
    complete = model.state_dict()  # keeps the batch counters and the format versions, which a file may lack
    complete.update({key: value for key, value in _named_for(match.name, state).items() if key in complete})
    model.load_state_dict(complete)
    check_values(model.state_dict().items(), f"`{file}` in the model's own dtype")  # float64 may not fit
    return model.eval()


def _mismatch(path: Path, state: Mapping[str, Tensor], match: Match, asked: str | None) -> str:
    file = path.name
    shown = "; ".join(match.differences[:3]) + ("; ..." if len(match.differences) > 3 else "")
    agreement = f"{match.num_matching} of {len(signature(match.name))} match ({shown})"
    own = _way_out(path, state)
    if asked is None:
        return (
            f"`{file}` must hold the tensors of a known architecture, got {len(state)} tensors of none"
            f" ({', '.join(list(state)[:3])}, ...); the nearest is `{match.name}`, where {agreement}. {own}"
        )
    other = recognize(state)
    way_out = own if other.differences else f"They are those of `{other.name}`: give that name."
    return f"`{file}` must hold the tensors of `{asked}`, got {len(state)} of which {agreement}. {way_out}"


def _way_out(path: Path, state: Mapping[str, Tensor]) -> str:
    """What to do with tensors that are those of no known architecture, by their names."""
    if any(key.endswith(".left") and f"{key.removesuffix('left')}right" in state for key in state):
        if (path / "run.json").is_file():
            return "Its layers are factorized: give `lr.load(folder)`."
        return (
            "Its layers are factorized: give the tensors to `load_state_dict` of what `lr.factorize` made of the"
            " network with the same ranks; `lr.save` of that keeps a file that `lr.load` opens."
        )
    for ending, way_out in (
        ("weight_mask", "It was pruned: `torch.nn.utils.prune.remove` before saving makes plain weights."),
        ("weight_g", "It has weight norm: `remove_weight_norm` before saving makes plain weights."),
        ("original0", "It is parametrized: `parametrize.remove_parametrizations` before saving makes plain weights."),
        ("lora_A.weight", "It holds an adapter: merge it (`merge_and_unload` of PEFT) before saving."),
        ("lora_A.default.weight", "It holds an adapter: merge it (`merge_and_unload` of PEFT) before saving."),
        ("_packed_params", "It is quantized: give the weights from before."),
    ):
        if any(key.endswith(ending) for key in state):
            return way_out
    return "For a model of your own, load the weights into your nn.Module and pass that."
