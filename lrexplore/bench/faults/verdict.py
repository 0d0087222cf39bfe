"""What counts as one of our errors, and what came of many tries."""

import builtins
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT_S = 10.0
_PACKAGE = Path(__file__).resolve().parents[2]
# The name in backticks, the rule, the value got, and a sentence that is the way out.
_FOUR_PARTS = re.compile(r"(One of )?`[^`]+`.*\bgot\b.*[.!?:)]\s+\S.*", re.DOTALL)
_KINDS = (ValueError, TypeError, OSError, ImportError, EOFError)


class Hang(BaseException):
    """Raised in a try that takes longer than it may; no handler of ours takes it for an error."""


class Wrong(Exception):
    """An answer that is not right, in words."""


def is_ours(error: BaseException) -> bool:
    """Whether an error is one of ours: raised by a line of lrexplore, not deeper, with a message of four parts.

    Its type is a ValueError, a TypeError, an OSError or an ImportError, of Python or of ours.
    """
    trace = traceback.extract_tb(error.__traceback__)
    here = bool(trace) and Path(trace[-1].filename).is_relative_to(_PACKAGE)
    named = type(error).__name__ in vars(builtins) or type(error).__module__.partition(".")[0] == "lrexplore"
    return here and named and isinstance(error, _KINDS) and _FOUR_PARTS.fullmatch(str(error)) is not None


@dataclass
class Tally:
    """How many tries ended right, how many with one of our errors, and each fault with the number of its try."""

    what: str
    right: int = 0
    refused: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    limit_s: float = LIMIT_S

    @property
    def tried(self) -> int:
        """How many tries there were."""
        return self.right + self.refused + len({number for number, _ in self.faults})

    def attempt(self, number: int, call: Callable[[], Any], name: str = "") -> None:
        """Counts one try: `call` returns for a right answer, and raises `Wrong` for one that is not."""
        started, said = time.process_time(), None
        try:
            with _limited(self.limit_s):
                call()
        except (Hang, Wrong) as error:
            said = f"{type(error).__name__}: {error}"
        except Exception as error:
            if is_ours(error):
                self.refused += 1
            else:
                said = _in_short(error)
        else:
            self.right += 1
        spent_s = time.process_time() - started
        self.slowest_s = max(self.slowest_s, spent_s)
        if said is None and spent_s > self.limit_s:
            said = f"Hang: it took {spent_s:.0f} s"
            self.right -= 1
        if said is not None:
            self.faults.append((number, f"{name} {said}".strip()))

    def lines(self) -> Iterator[str]:
        """One line that sums up, and one a kind of fault with its count and the number of its first try."""
        yield (
            f"{self.what:<18}{self.tried:>7,} tried {self.right:>7,} right {self.refused:>7,} refused in words "
            f"{len(self.faults):>5,} faults; slowest {self.slowest_s:.1f} s of work"
        )
        first: dict[str, tuple[int, str]] = {}
        count: Counter[str] = Counter()
        for number, said in self.faults:
            kind = re.sub(r"\d+", "#", said.partition(": ")[0])
            count[kind] += 1
            first.setdefault(kind, (number, said))
        for kind, times in count.most_common():
            number, said = first[kind]
            yield f"    {times} x, first in number {number}: {' '.join(said.split())[:400]}"


def _in_short(error: BaseException) -> str:
    trace = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in trace if Path(frame.filename).is_relative_to(_PACKAGE)]
    place = own[-1] if own else trace[-1]
    return f"{type(error).__name__} from {Path(place.filename).name} line {place.lineno}: {error}"


@contextmanager
def _limited(limit_s: float) -> Iterator[None]:
    """In it `Hang` is raised once this process has worked so long, or six times that has passed.

    What else the machine does must not count. A call that never comes back to Python is measured instead.
    """

    def ring(*_: object) -> None:
        raise Hang(f"not done after {limit_s:g} s")

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, limit_s), (signal.ITIMER_REAL, signal.SIGALRM, 6 * limit_s))
    before = {number: signal.signal(number, ring) for _, number, _ in timers}
    for timer, _, after_s in timers:
        signal.setitimer(timer, after_s)
    try:
        yield
    finally:
        for timer, number, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
