"""Tiny runs to compare: what they recorded, without the clock, and the weights they ended with."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lrexplore.recipes import Config, configure
from lrexplore.records import Reader
from lrexplore.training.run import run

_CLOCK = ("wall_s", "images_per_s", "tokens_per_s")


def write_images(folder: Path) -> Path:
    """Sixty images of 20 pixels to train on and eight to test on, of two classes that differ in brightness."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 4)):
        for label, name in enumerate(("dark", "light")):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(100, size=(20, 20, 3), dtype=np.uint8) + np.uint8(100 * label)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def tiny(runs, name, **choices) -> Config:
    """A run of a few steps on the images beside its folder."""
    data = next(p for p in (Path(runs), *Path(runs).parents) if (p / "images").is_dir()) / "images"
    options = {
        "model": "resnet20", "data": str(data), "image_size": 16, "num_images": 48, "batch_size": 16,
        "rank_scale": 0.2, "steps": 6, "checkpoint_steps": 2, "decay_strength": 0.01, "norms_steps": 1,
        "workers": 0, "device": "cpu", "initializer": "spectral",
    }  # fmt: skip
    return configure(**{**options, "runs": str(runs), "name": name, "resume": True, **choices})


def numbers(config: Config) -> dict[str, list[dict]]:
    """Every recorded row of a run but its events, without times."""
    reader = Reader(Path(config.runs, config.name))
    reader.poll()
    found = {}
    for stream in ("steps", "epochs", "layers", "norms"):
        table = reader.table(stream)
        found[stream] = table.drop(columns=[c for c in _CLOCK if c in table]).astype(object)
        found[stream] = found[stream].where(found[stream].notna(), None).to_dict("records")
    return found


def weights(config: Config) -> dict[str, torch.Tensor]:
    """The tensors in a run's last checkpoint."""
    return torch.load(Path(config.runs, config.name, "checkpoint.pt"), weights_only=True)["model"]


def same_weights(first: Config, second: Config) -> bool:
    """Whether two runs ended with the same bits."""
    mine, theirs = weights(first), weights(second)
    return mine.keys() == theirs.keys() and all(mine[key].equal(theirs[key]) for key in mine)


def run_as(index: int, count: int, port: int, config: Config) -> None:
    """Trains as process `index` of `count`, as torchrun would have it."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": index, "WORLD_SIZE": count}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    run(config)


class StopAfter:
    """Says stop from the n-th question on."""

    def __init__(self, questions):
        self.left = questions

    def __call__(self):
        self.left -= 1
        return self.left < 0
