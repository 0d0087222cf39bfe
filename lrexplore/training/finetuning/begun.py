"""The networks of a run that starts from what is there: the one that trains, and the one that it learns from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from lrexplore.network.files import described_layers, with_layers
from lrexplore.nn import factorized_layers
from lrexplore.ranks import RankPlan
from lrexplore.recipes.config import Config
from lrexplore.records.schema import read_description
from lrexplore.training.built import network_of
from lrexplore.training.chosen_ranks import recorded_plan
from lrexplore.training.finetuning.origin import Origin, check_unchanged, head_of, num_outputs, origin_of
from lrexplore.training.model import build_model, cut
from lrexplore.training.saved_state import NAME

ORIGINAL = "original"


@dataclass(frozen=True)
class Begun:
    """`model` trains; `original` is the started network before it was cut, `teacher` the one to learn from, or None.

    `record` is what run.json says of it, `said` what a person is told before the first step.
    """

    model: nn.Module
    original: nn.Module | None = None
    teacher: nn.Module | None = None
    plan: RankPlan | None = None
    said: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)


def begin(config: Config, num_classes: int, plan: RankPlan | None, folder: Path) -> Begun:
    """The networks of a run. One that goes on is built by its records, and needs its start for a teacher only.

    Raises ValueError or FileNotFoundError where a start, a teacher or ranks are none that fit.
    """
    described = read_description(folder) if config.resume and (folder / "run.json").exists() else {}
    has_weights = (folder / NAME).exists()  # a run that was killed before its first checkpoint begins anew
    if described.get("start") and (config.teacher == ORIGINAL or not has_weights):
        check_unchanged(config.start, described["start"]["sha256"], "start")
    if config.start is None:
        teacher, checksum = _teacher(config, num_classes, described)
        return Begun(build_model(config, num_classes, plan), teacher=teacher, plan=plan, record=checksum)
    original = None
    if described and has_weights:
        record, plan = {"start": described["start"]}, recorded_plan(described)
        model = with_layers(network_of(config, num_classes), record["start"]["layers"]).train()
        said: tuple[str, ...] = ()
        if config.teacher == ORIGINAL:
            original = origin_of(config, config.start, num_classes).model
    else:
        origin = origin_of(config, config.start, num_classes)
        model, original = _cut(config, origin, plan)
        plan, said, record = plan or origin.plan, _said(config, origin, model), origin.as_record(model)
        if config.teacher == ORIGINAL and origin.said:
            raise ValueError(
                f"`teacher` must know the classes of the data, got the original with {origin.said[0]}. Train it first,"
                " or leave the teacher out."
            )
        if len(origin.said):  # its classifier is new: what it says means nothing
            original = None
    teacher, checksum = _teacher(config, num_classes, described)
    if config.teacher == ORIGINAL:
        teacher = original
    return Begun(model, original, teacher, plan, said, record | checksum)


def _cut(config: Config, origin: Origin, plan: RankPlan | None) -> tuple[nn.Module, nn.Module | None]:
    """The network that trains, and the one that it was cut from."""
    if not factorized_layers(origin.model):
        made = cut(origin.model, config, plan)
        if config.teacher == ORIGINAL and made is origin.model:
            raise ValueError(
                '`teacher` must be another network than the one that trains, got "original" without ranks to cut it'
                " by. Choose a rank_scale, a rank_ratio or a plan."
            )
        return made, None if made is origin.model else origin.model
    if config.factorized:
        raise ValueError(
            f"`start` must be unfactorized to get ranks, got {config.start} that is factorized already. Leave"
            " rank_scale, rank_ratio and plan out: it keeps its own."
        )
    if config.teacher == ORIGINAL:
        raise ValueError(
            f'`teacher` must be a file where `start` is factorized already, got "original" with {config.start}. Give'
            " the file of the network that it was cut from."
        )
    return origin.model, None


def _said(config: Config, origin: Origin, model: nn.Module) -> tuple[str, ...]:
    layers = described_layers(model)
    how = "cut here" if config.factorized else "as it was saved"
    return (f"starts from {config.start}" + (f", {len(layers)} layers factorized, {how}" if layers else ""),
            *origin.said)  # fmt: skip


def _teacher(config: Config, num_classes: int, described: dict) -> tuple[nn.Module | None, dict]:
    if config.teacher is None or config.teacher == ORIGINAL:
        return None, {}
    if described:
        check_unchanged(config.teacher, described["teacher"]["sha256"], "teacher")
    origin = origin_of(config, config.teacher, num_classes, choice="teacher")
    if origin.said:
        raise ValueError(
            f"`teacher` must know the {num_classes} classes of the data, got a network of others: it would need"
            f" {origin.said[0]}. Give one that was trained on these classes."
        )
    assert num_outputs(origin.model.get_submodule(head_of(origin.model))) == num_classes
    return origin.model, {"teacher": {"sha256": origin.sha256}}
