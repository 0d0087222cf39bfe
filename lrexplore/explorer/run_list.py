"""The runs of a folder as they stand: cheap enough to be asked several times a second. No widget."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrexplore.records import Run
from lrexplore.records.choices import choices, is_factorized
from lrexplore.records.handle import ENDED
from lrexplore.records.layout import check_version, read_json

LIVE = ("starting", "running")
RESUMABLE = ("stopped", "failed", "interrupted")
_SHIPPED = ("data", "records")


@dataclass
class Listed:
    """One run as the list knows it: its choices, and its status when it was last looked at.

    `about`: what else run.json says that its numbers depend on. `steps_a_row`: of how many steps a recorded row is the
    mean, in a small copy of a run.
    """

    folder: Path
    config: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    started: float = 0.0
    steps_a_row: int = 1
    status: dict[str, Any] = field(default_factory=lambda: {"state": "starting"})
    handle: Run | None = None
    seen: tuple = ()
    is_stopping: bool = False

    @property
    def name(self) -> str:
        """The name of the run: that of its folder."""
        return self.folder.name

    @property
    def state(self) -> str:
        """What it does: `starting`, `running`, `done`, `stopped`, `failed`, `interrupted`, `unreadable`."""
        return self.status["state"]

    @property
    def is_live(self) -> bool:
        """Whether it may still write something."""
        return self.state in LIVE

    @property
    def said(self) -> str:
        """Its state in a word, or `stopping` from when it is asked to stop until it has."""
        return "stopping" if self.is_stopping else self.state

    @property
    def can_stop(self) -> bool:
        """Whether it makes sense to ask it to stop."""
        return self.is_live and not self.is_stopping

    @property
    def can_resume(self) -> bool:
        """Whether it can go on from its last checkpoint."""
        return self.state in RESUMABLE

    @property
    def is_factorized(self) -> bool:
        """Whether its layers are factor pairs."""
        return is_factorized(self.config)

    @property
    def choices(self) -> dict[str, Any]:
        """The choices that its numbers depend on, its seed among them."""
        return choices({**self.about, "config": self.config})

    @property
    def steps_per_epoch(self) -> float | None:
        """Optimizer steps of one epoch, where the choices and the status say it."""
        epochs, steps = self.config.get("epochs"), self.status.get("num_steps")
        return steps / epochs if epochs and steps else None


class RunList:
    """The runs of a folder, by name. `poll()` looks again; runs started with `add` keep their process's handle.

    The folder need not exist yet. Ended runs cost one look at a file's time a poll.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        self.runs: dict[str, Listed] = {}

    @property
    def any_live(self) -> bool:
        """Whether some run may still write something."""
        return any(run.is_live for run in self.runs.values())

    def add(self, handle: Run, config: Mapping[str, Any]) -> Listed:
        """Lists a run that was started just now; its config is known before the run has written it."""
        found = Listed(handle.folder, dict(config), handle=handle)
        self.runs[found.name] = found
        return found

    def poll(self) -> bool:
        """Whether a run came, went or changed its status."""
        folders = {folder.name: folder for folder in self._folders()}
        # One that was started here may not have written run.json yet; what it did write may have been deleted.
        gone = [name for name, run in self.runs.items() if name not in folders and (run.started or run.handle is None)]
        for name in gone:
            del self.runs[name]
        changed = bool(gone)
        for name, folder in folders.items():
            run = self.runs.get(name)
            if run is None or not run.started:
                changed |= self._describe(folder)
        for run in self.runs.values():
            changed |= _look(run)
        return changed

    def _folders(self) -> list[Path]:
        if (self.folder / "run.json").is_file():
            return [self.folder]
        if not self.folder.is_dir():
            return []
        return sorted(described.parent for described in self.folder.glob("*/run.json"))

    def _describe(self, folder: Path) -> bool:
        """Reads run.json, which is written once; whether the list has changed by it."""
        before = self.runs.get(folder.name)
        run = Listed(folder, {}) if before is None else before
        try:
            described = read_json(folder / "run.json")
            check_version(described, folder)
        except (ValueError, OSError) as error:
            if before is not None and before.state == "unreadable":
                return False
            run.status = {"state": "unreadable", "message": str(error)}
        else:
            run.status = {"state": "starting"} if run.state == "unreadable" else run.status
            run.config, run.layers = described.get("config", {}), described.get("layers", [])
            run.about = {key: described[key] for key in ("environment", "plan") if key in described}
            run.started = described.get("started", 1.0)
            run.steps_a_row = described.get("thinned", {}).get("steps", 1)
        self.runs[folder.name] = run
        return True


def _look(run: Listed) -> bool:
    """Reads a run's status where it may have changed; whether it has."""
    if run.state == "unreadable":
        return False
    try:
        stat = (run.folder / "status.json").stat()
        seen = (stat.st_mtime_ns, stat.st_ino)
    except OSError:
        seen = ()
    if run.state in ENDED and seen == run.seen:
        return False
    try:
        status = (run.handle or Run(run.folder)).status
    except (ValueError, KeyError, OSError) as error:
        status = {"state": "unreadable", "message": str(error)}
    changed, run.status, run.seen = status != run.status, status, seen
    run.is_stopping &= run.is_live
    return changed


def shipped_records() -> Path | None:
    """The folder of recorded runs that comes with a clone of the project; None without one."""
    folder = Path(__file__).resolve().parents[2].joinpath(*_SHIPPED)
    return folder if folder.is_dir() else None
