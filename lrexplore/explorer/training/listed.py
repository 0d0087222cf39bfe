"""One run as a list knows it: its choices, and its status when it was last looked at."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrexplore.disk.paths import printable
from lrexplore.records import Run
from lrexplore.records.choices import choices, is_factorized
from lrexplore.records.handle import ENDED
from lrexplore.records.schema import UNREADABLE

LIVE = ("starting", "running")
RESUMABLE = ("stopped", "failed", "interrupted")


@dataclass
class Listed:
    """One run as the list knows it: its choices, and its status when it was last looked at.

    `described` and `seen` tell whether its run.json and its status are those that were read.
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
    described: tuple = ()
    is_stopping: bool = False

    @property
    def name(self) -> str:
        """The name of the run: that of its folder."""
        return printable(self.folder.name)

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


def look(run: Listed) -> bool:
    """Reads a run's status where it may have changed; whether it has."""
    if run.state == UNREADABLE and run.started == 0:  # its run.json is, which `RunList` looks at
        return False
    seen = identity_of(run.folder / "status.json")
    if run.state in (*ENDED, UNREADABLE) and seen == run.seen:
        return False
    try:
        status = (run.handle or Run(run.folder)).status
    except OSError as error:
        status = {"state": UNREADABLE, "message": str(error)}
    changed, run.status, run.seen = status != run.status, status, seen
    run.is_stopping &= run.is_live
    return changed


def identity_of(path: Path) -> tuple:
    """What changes when a file is written anew; nothing for one that is not there."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
