"""The rank plan of a run: read from its file once, kept in its records, and the same when it goes on."""

import json
import math
from pathlib import Path
from typing import Any

from lrexplore.ranks import RankPlan
from lrexplore.records.layout import read_json
from lrexplore.train.config import Config


def plan_of_run(config: Config, folder: Path) -> RankPlan | None:
    """The plan that a run is made by: of a run that goes on the one in its records; None where none was chosen.

    Raises ValueError where the file says another plan by now, or is none, and FileNotFoundError for a new run's.
    """
    if config.plan is None:
        return None
    path, described = Path(config.plan), folder / "run.json"
    plan = recorded_plan(read_json(described)) if config.resume and described.exists() else None
    if plan is None:
        return load_plan(path)
    if path.exists() and (difference := _first_difference(plan, load_plan(path))):
        raise ValueError(
            f"`plan` must say what it said when the run {folder.name} was started, got {difference} in {path}."
            " Remove that file to go on by the plan in the run's records, or train under another name."
        )
    return plan


def load_plan(path: Path) -> RankPlan:
    """The plan in a file. Raises FileNotFoundError or ValueError where there is none."""
    try:
        return RankPlan.load(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"`plan` must be a file, got no such file: {path}. Check the path.") from error


def as_record(plan: RankPlan | None) -> dict[str, Any]:
    """What run.json says of the plan: all of it, with None for what is unknown; nothing without one."""
    return {} if plan is None else {"plan": json.loads(plan.to_json(), parse_constant=lambda name: None)}


def recorded_plan(described: dict[str, Any]) -> RankPlan | None:
    """The plan in the content of a run.json; None where there is none."""
    recorded = described.get("plan")
    if recorded is None:
        return None
    error = math.nan if recorded["error"] is None else recorded["error"]
    return RankPlan.from_json(json.dumps({**recorded, "error": error}))


def _first_difference(plan: RankPlan, other: RankPlan) -> str:
    """In words, the first layer that another plan treats differently; nothing where it makes the same network."""
    mine, theirs = ({name: (found.ranks[name], found.schemes[name]) for name in found.ranks} for found in (plan, other))
    for name in dict.fromkeys([*mine, *theirs]):
        if mine.get(name) != theirs.get(name):
            was, now = (f"rank {one[0]} ({one[1]})" if one else "no rank" for one in (mine.get(name), theirs.get(name)))
            return f"{now} for {name}, which had {was},"
    return ""
