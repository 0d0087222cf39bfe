"""Which weights of a run's network are there before the first step."""

import warnings
from collections.abc import Iterable, Mapping
from itertools import islice

import torch
from torch import Tensor, nn

from lrexplore.datasets import Batch, Data, normalize
from lrexplore.network.pruning import prune
from lrexplore.nn.sparse import sparse_layers
from lrexplore.recipes.config import Config
from lrexplore.training.chosen_ranks import candidates
from lrexplore.training.loading import StepPlan, training_batches
from lrexplore.training.processes import Processes

_NEED_DATA = ("snip", "grasp")


def pruned(model: nn.Module, config: Config, batches: Iterable | None = None) -> nn.Module:
    """A copy with the masks that the run begins with; itself without a sparsity. The draws are those of the seed.

    "gradual" begins with all weights, "set" and "rigl" with shares by `layer_shares`, "random" with the same share of
    each layer, the others with those that count most in the whole network. Without `batches` of (inputs, labels) the
    masks of "snip" and "grasp" are drawn, to be filled from a checkpoint.
    """
    if config.sparsity is None:
        return model
    weights = {layer.name: model.get_submodule(layer.name).weight for layer in candidates(model, config.layers)}
    if not weights:
        raise ValueError(f"`layers` must leave a layer of {config.model} to prune, got {config.layers!r}. Use 'all'.")
    generator = torch.Generator().manual_seed(config.seed)
    method = config.prune
    if method == "gradual":
        return prune(model, masks={name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()})
    if method in ("set", "rigl"):
        counts = layer_shares({name: tuple(w.shape) for name, w in weights.items()}, config.sparsity)
        return prune(model, masks={name: drawn_mask(weights[name], count, generator) for name, count in counts.items()})
    if method in _NEED_DATA and batches is None:
        method = "random"
    scope = "layer" if method == "random" else "global"
    options = {"method": method, "scope": scope, "layers": list(weights), "loader": batches, "generator": generator}
    with warnings.catch_warnings():  # the run's events say it
        warnings.filterwarnings("ignore", message="No weight is left")
        return prune(model, sparsity=config.sparsity, **options)


def pruned_alike(
    model: nn.Module, config: Config, data: Data, plan: StepPlan, processes: Processes, *, filled: bool
) -> nn.Module:
    """`pruned` by the first process's first batch, with its masks on all. `filled`: a checkpoint will bring others."""
    if config.sparsity is None:
        return model
    batches = None
    if config.prune in _NEED_DATA and not filled and processes.is_first:
        alone = Processes(0, 1, processes.device)
        first = next(islice(training_batches(config, data, StepPlan.of(config, len(data.train), 1), alone, 0), 1))
        batches = [_pair(batch, data) for batch in first if len(batch.labels)]
    made = pruned(model, config, batches)
    if processes.count == 1:
        return made
    masks = processes.first({name: layer.mask.cpu() for name, layer in sparse_layers(made).items()})
    return prune(model, masks=masks)


def layer_shares(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, int]:
    """How many weights of each layer to keep: all together exactly the share 1 - `sparsity`, rounded.

    A layer's density goes as the sum of its sizes over their product, at most 1: small layers stay denser (Mocanu et
    al. 2018, arXiv:1707.04780; kernels as in Evci et al. 2020, arXiv:1911.11134).
    """
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    wanted = round((1 - sparsity) * sum(sizes.values()))
    if wanted < len(sizes):
        raise ValueError(
            f"`sparsity` must leave a weight of each of {len(sizes)} layers, got {sparsity!r}, which leaves {wanted}. "
            "Use less."
        )
    raw = {name: float(sum(shape)) for name, shape in shapes.items()}
    whole: set[str] = set()
    while True:
        rest = wanted - sum(sizes[name] for name in whole)
        scale = rest / sum(value for name, value in raw.items() if name not in whole)
        more = {name for name, value in raw.items() if name not in whole and scale * value >= sizes[name]}
        if not more or len(whole) + len(more) == len(raw):
            break
        whole |= more
    exact = {name: float(sizes[name]) if name in whole else scale * raw[name] for name in raw}
    counts = {name: min(max(1, int(value)), sizes[name]) for name, value in exact.items()}
    by_rest = sorted(exact, key=lambda name: counts[name] - exact[name])
    while (left := wanted - sum(counts.values())) != 0:
        for name in by_rest if left > 0 else reversed(by_rest):
            if left and 1 <= counts[name] + (step := 1 if left > 0 else -1) <= sizes[name]:
                counts[name], left = counts[name] + step, left - step
    return counts


def drawn_mask(weight: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """A mask like the weight with so many places, drawn at random on the CPU."""
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[torch.randperm(weight.numel(), generator=generator)[:count]] = True
    return mask.view(weight.shape)


def _pair(batch: Batch, data: Data) -> tuple[Tensor, Tensor]:
    return normalize(batch.images, data.mean, data.std), batch.labels
