"""Runs that were given one budget of parameters: how well each way learned, and what its network costs.

`lrexplore bench budget FOLDER` prints the table of finished runs.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lrexplore.network import collapse, find_layers
from lrexplore.network.timing import paired_latency_ms
from lrexplore.nn.sparse import sparse_layers
from lrexplore.recipes.config import Config
from lrexplore.records import outcomes
from lrexplore.records.choices import is_factorized
from lrexplore.records.pairs import interval
from lrexplore.training.built import network_of
from lrexplore.training.forms.first_masks import pruned
from lrexplore.training.model import build_model

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("parameters", "bytes", "multiply-adds", "ms")
FORM_WORDS = {"matrix": "low rank", "tucker": "Tucker-2", "tt": "tensor train", "cp": "CP"}
NARROW, WHOLE = "narrower network", "whole network"


def outcomes_by_way(folder: str | Path) -> "pd.DataFrame":
    """The finished runs of a folder as a DataFrame: `run`, `way`, `start`, `decay`, `budget`, `seed`, `top1`.

    `way` is the form, the pruning, or what an unfactorized network is; `budget` the share of the whole network's
    parameters, rounded; `parameters` their number (non-zeros of sparse networks). For a folder with one whole network.
    """
    import pandas as pd

    table = outcomes(folder)
    rows = []
    for run, seed, top1 in table[["run", "seed", "test_top1"]].itertuples(index=False):
        described = json.loads(Path(folder, run, "run.json").read_text(encoding="utf-8"))
        config, count = described["config"], described["num_parameters"]
        rows.append({"run": run, **_way(config), "seed": seed, "top1": top1, "parameters": count})
    found = pd.DataFrame(rows)
    whole = sum(p.numel() for p in network_of(Config(model="resnet20"), 10).parameters())
    found["budget"] = (found["parameters"] / whole).round(2)
    return found


def _way(config: dict[str, Any]) -> dict[str, str]:
    if config.get("sparsity") is not None:
        return {"way": config["prune"], "start": "drawn", "decay": "weight"}
    if is_factorized(config):
        return {"way": FORM_WORDS[config["form"]], "start": config["initializer"], "decay": config["decay"]}
    return {"way": WHOLE if config["model"] == "resnet20" else NARROW, "start": "drawn", "decay": "weight"}


def frontier(folder: str | Path, *, rounds: int = 5) -> "pd.DataFrame":
    """A row a way, start, decay and budget: `top1` with the ends of its interval over seeds, `COSTS` of its network.

    Bytes are those of float32 weights, and of sparse ones a mask of one bit each. Multiply-adds of sparse layers count
    their non-zeros; NaN where only a mask that is not kept tells in which layers these are. Times are of 32 images here
    and now, the networks in turns; sparse ones run as ordinary layers.
    """
    import pandas as pd

    keys = ["budget", "way", "start", "decay"]
    rows, networks = [], []
    for values, group in outcomes_by_way(folder).groupby(keys):
        mean, low, high = interval(group.groupby("seed")["top1"].mean())
        described = json.loads(Path(folder, group["run"].iloc[0], "run.json").read_text(encoding="utf-8"))
        config = Config.of_record(described["config"])
        model = network_as_built(config, described["num_classes"])
        row = dict(zip(keys, values, strict=True)) | {"top1": mean, "low": low, "high": high, "seeds": len(group)}
        rows.append(row | costs(model) | ({"multiply-adds": np.nan} if has_masks_of_its_own(config) else {}))
        networks.append(collapse(model) if sparse_layers(model) else model)
    images = torch.zeros(32, 3, 28, 28)
    times = paired_latency_ms([partial(network.eval(), images) for network in networks], images.device, rounds)
    return pd.DataFrame(rows).assign(ms=times)


def network_as_built(config: Config, num_classes: int) -> nn.Module:
    """The network of a run before it trained, of any values: its sizes are what counts."""
    start = "independent" if is_factorized(vars(config)) else config.initializer
    return pruned(build_model(replace(config, initializer=start), num_classes), with_plain_masks(config))


def with_plain_masks(config: Config) -> Config:
    """The configuration with masks that need no images and no training: of as many weights as the run's own."""
    return replace(config, prune="magnitude") if has_masks_of_its_own(config) else config


def has_masks_of_its_own(config: Config) -> bool:
    """Whether images or training say how many weights of each layer stay."""
    return config.sparsity is not None and config.prune in ("snip", "grasp", "gradual")


def costs(model: nn.Module) -> dict[str, int]:
    """Parameters, bytes and multiply-adds of one image of 28 pixels."""
    masks = [layer.mask for layer in sparse_layers(model).values()]
    zeros = sum(int((~mask).sum()) for mask in masks)
    parameters = sum(p.numel() for p in model.parameters()) - zeros
    size = 4 * parameters + sum(-(-mask.numel() // 8) for mask in masks)
    ordinary = collapse(model)
    layers = find_layers(ordinary, torch.zeros(1, 3, 28, 28))
    flops = layers.flops or 0
    records = {r.name: (r.flops_before, r.flops_after) for r in getattr(model, "factorization", ())}
    records |= {r.name: (r.flops_before, r.flops_after) for r in getattr(model, "pruning", ())}
    shares = {name: after / before for name, (before, after) in records.items() if before}
    flops -= sum(round(layer.flops * (1 - shares.get(layer.name, 1))) for layer in layers if layer.flops)
    return {"parameters": parameters, "bytes": size, "multiply-adds": flops}


def paired(runs: "pd.DataFrame", first: dict[str, str], second: dict[str, str]) -> dict[str, Any]:
    """Mean of `top1` where the columns say `first` minus that where they say `second`, by seed, with its interval.

    `runs` is that of `outcomes_by_way`; a seed counts once, as the mean of its runs on each side. Raises ValueError
    where no seed has both.
    """
    sides = []
    for wanted in (first, second):
        chosen = runs
        for column, value in wanted.items():
            chosen = chosen[chosen[column] == value]
        sides.append(chosen.groupby("seed")["top1"].mean())
    difference = (sides[0] - sides[1]).dropna()
    if difference.empty:
        raise ValueError(f"`first` and `second` must share a seed, got {first} and {second} without one. Run both.")
    mean, low, high = interval(difference)
    numbers = {"mean": mean, "low": low, "high": high, "pairs": len(difference), "seeds": len(difference)}
    return {**numbers, "separated": low > 0 or high < 0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; the exit status."""
    parser = argparse.ArgumentParser("lrexplore bench budget", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/records-forms"), help="of finished runs")
    options = parser.parse_args(arguments)
    print(frontier(options.folder).round(2).to_string(index=False))
    return 0
