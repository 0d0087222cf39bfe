"""The runs of a folder as they stand: listed, followed, started, stopped. No widget; runs outlive it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrexplore.disk.paths import printable
from lrexplore.explorer.training.comparison import first_comparison
from lrexplore.explorer.training.compute import RunCurves
from lrexplore.explorer.training.frame import baseline_runs
from lrexplore.explorer.training.listed import Listed, identity_of, look
from lrexplore.explorer.training.start import check_start, resume_run, start_run
from lrexplore.ranks import RankPlan
from lrexplore.recipes.names import default_name, new_name
from lrexplore.records import Run
from lrexplore.records.schema import UNREADABLE, read_description
from lrexplore.records.table import run_folders

_SHIPPED = ("data", "records")


class RunList:
    """The runs of a folder, by name. `poll()` looks again; runs started with `add` keep their process's handle.

    The folder need not exist yet. Ended runs cost a look at the times of two files a poll. `renewed` has the folders
    that hold another run than at the poll before.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        self.runs: dict[str, Listed] = {}
        self.renewed: set[Path] = set()

    @property
    def any_live(self) -> bool:
        """Whether some run may still write something."""
        return any(run.is_live for run in self.runs.values())

    def add(self, handle: Run, config: Mapping[str, Any]) -> Listed:
        """Lists a run that was started just now; its config is known before the run has written it."""
        listed = Listed(handle.folder, dict(config), handle=handle)
        self.runs[listed.name] = listed
        return listed

    def poll(self) -> bool:
        """Whether a run came, went or changed its status."""
        folders = {printable(folder.name): folder for folder in self._folders()}
        self.renewed = set()
        # One that was started here may not have written run.json yet; what it did write may have been deleted.
        gone = [name for name, run in self.runs.items() if name not in folders and (run.started or run.handle is None)]
        for name in gone:
            del self.runs[name]
        changed = bool(gone)
        for name, folder in folders.items():
            run = self.runs.get(name)
            described = identity_of(folder / "run.json")
            if run is None or run.described != described:
                changed |= self._describe(name, folder, described)
        for run in self.runs.values():
            changed |= look(run)
        return changed

    def _folders(self) -> list[Path]:
        try:
            return run_folders(self.folder)
        except FileNotFoundError:
            return []

    def _describe(self, name: str, folder: Path, identity: tuple) -> bool:
        """Reads run.json, which a run writes once; whether the list has changed by it."""
        run = self.runs.get(name)
        if run is not None and run.described:  # of another run, which was removed
            self.renewed.add(folder)
        if run is None or run.described:
            run = Listed(folder, {})
        before, run.described = run.status, identity
        try:
            described = read_description(folder)
        except (ValueError, OSError) as error:
            run.started, run.status = 0.0, {"state": UNREADABLE, "message": str(error)}
        else:
            run.status = {"state": "starting"} if run.state == UNREADABLE else run.status
            run.config, run.layers = described["config"], described["layers"]
            run.about = {key: described[key] for key in ("environment", "plan") if described.get(key)}
            run.started = described["started"] or 1.0
            run.steps_a_row = (described.get("thinned") or {}).get("steps", 1)
        new = self.runs.get(name) is not run
        self.runs[name] = run
        return new or run.started > 0 or run.status != before


def shipped_records() -> Path | None:
    """The folder of recorded runs that comes with a clone of the project; None without one."""
    folder = Path(__file__).resolve().parents[3].joinpath(*_SHIPPED)
    return folder if folder.is_dir() else None


class RunWatch:
    """The runs of a folder, `runs` by name, and the `curves` of those that are compared."""

    def __init__(self, folder: str | Path):
        self.curves = RunCurves()
        self._list = RunList(folder)
        self._told: set[str] = set()
        self._list.poll()

    @property
    def folder(self) -> Path:
        """The folder of runs."""
        return self._list.folder

    @property
    def runs(self) -> dict[str, Listed]:
        """The runs by name, as they were at the last poll."""
        return self._list.runs

    @property
    def any_live(self) -> bool:
        """Whether some run may still write something."""
        return self._list.any_live

    @property
    def is_behind(self) -> bool:
        """Whether something of a compared run is still to be read."""
        return self.curves.are_behind

    def poll(self, compared: Iterable[Listed]) -> tuple[bool, bool]:
        """Whether a run came, went or changed its status, and whether a compared one has new rows."""
        compared = list(compared)
        live = [run for run in compared if run.is_live]
        listed = self._list.poll()
        renewed = [run for run in compared if run.folder in self._list.renewed and run not in live]
        # What has ended just now has its last rows read, too.
        return listed, self.curves.poll([*live, *renewed], compared)

    def first_choice(self) -> list[str]:
        """Names of the runs to compare at first."""
        return [run.name for run in first_comparison(list(self.runs.values()))]

    def compared(self, checked: Sequence[str], baseline: str, selected: str) -> list[Listed]:
        """The runs whose numbers are needed: those checked, the baseline's, and the selected one."""
        chosen = [self.runs[name] for name in checked if name in self.runs]
        dashed = baseline_runs(list(self.runs.values()), chosen, baseline)
        alone = [self.runs[selected]] if selected in self.runs else []
        return list({run.name: run for run in (*chosen, *dashed, *alone)}.values())

    def start(self, config: Mapping[str, Any], plan: RankPlan | None = None) -> Listed:
        """A run that starts with these choices, under a new name where they have none; `plan` goes to its folder.

        Raises ValueError for a network without a name, and for a name that is taken.
        """
        live = {run.name for run in self.runs.values() if run.is_live}
        checked = check_start({**config, "runs": str(self.folder)}, live)  # before anything is written
        if plan is not None:
            checked = replace(checked, plan="plan.json")  # which is in its name
        if checked.name is None:
            checked = checked.with_name(new_name(self.folder, default_name(checked)))
        if plan is not None:
            path = self.folder / checked.name / "plan.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            plan.save(path)
            checked = replace(checked, plan=str(path))
        run = self._list.add(start_run(checked), checked.as_dict())
        if plan is not None:
            run.about = {"plan": json.loads(plan.to_json())}
        self._list.poll()
        return run

    def stop(self, name: str) -> None:
        """Asks a run to end with a checkpoint. Raises ProcessLookupError for one on another machine."""
        run = self.run(name)
        (run.handle or Run(run.folder)).stop()
        run.is_stopping = True

    def resume(self, name: str) -> Listed:
        """A run that goes on from its last checkpoint. Raises ValueError for one that has not ended."""
        run = self.run(name)
        if run.is_live:
            raise ValueError(f"`{name}` must have ended to go on, got one that is {run.state}. Stop it first.")
        run.handle, _ = resume_run(run.folder)
        run.status, run.seen = {**run.status, "state": "starting"}, ()  # an ended one is not looked at again
        self._told.discard(name)
        self._list.poll()
        return run

    def run(self, name: str) -> Listed:
        """The run of that name. Raises ValueError where there is none."""
        if name not in self.runs:
            raise ValueError(f"`name` must be that of a run in {self.folder}, got {name!r}. Select one in the table.")
        return self.runs[name]

    def failures(self) -> list[str]:
        """Each run that was started here and failed with its last words, once."""
        failed = [run for run in self.runs.values() if run.handle is not None and run.state == "failed"]
        new = [run for run in failed if run.name not in self._told]
        self._told |= {run.name for run in new}
        return [f"{run.name}: {run.status.get('message') or 'failed without a word'}" for run in new]
