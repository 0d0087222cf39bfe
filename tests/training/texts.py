"""Tiny runs on text: a few pairs or paragraphs in files of their own."""

from pathlib import Path

from lrexplore.datasets.text.generated_pairs import generated_pairs
from lrexplore.recipes import Config, configure

_SIZES = {"batch_size": 480, "micro_batch_size": 240, "vocabulary": 320, "norms_steps": 2, "checkpoint_steps": 2}


def write_pairs(folder: Path, count: int = 80) -> Path:
    """A folder with train.en and train.de; its parts are split off by message."""
    folder.mkdir(parents=True)
    for code, texts in zip(("en", "de"), zip(*generated_pairs(count), strict=True), strict=True):
        (folder / f"train.{code}").write_text("\n".join(texts), encoding="utf-8")
    return folder


def write_text(path: Path) -> Path:
    """A file with a paragraph for every pair."""
    path.write_text("\n\n".join(f"{english} is {german}" for english, german in generated_pairs(60)), encoding="utf-8")
    return path


def tiny_text(model: str, data: Path, runs: Path, name: str, **choices) -> Config:
    """A run of a few steps."""
    options = {**_SIZES, "steps": 5, "head_scale": 0.5, "rank_scale": 0.2, "device": "cpu", "resume": True, **choices}
    return configure(model=model, data=str(data), runs=str(runs), name=name, **options)
