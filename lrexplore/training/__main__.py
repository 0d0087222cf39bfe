"""`python -m lrexplore.training`, which torchrun starts too: one run, with the exit status that scripts rely on."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from lrexplore.recipes.config import Config
from lrexplore.training.stop import STOPPED, Stopped, StopSignal, end_workers


def main(arguments: Sequence[str] | None = None, program: str = "python -m lrexplore.training") -> int:
    """Exit status: 0 done, 130 stopped by the person, 1 failed with one line that says why, 2 for bad arguments."""
    stop = StopSignal().listen()
    try:
        return _trained(program, None if arguments is None else list(arguments), stop)
    except (KeyboardInterrupt, Stopped):
        stop.say_no_more()
        print("lrexplore train: stopped; `--resume` goes on from the last checkpoint", file=sys.stderr)
        return STOPPED
    finally:
        stop.close()


def _trained(program: str, arguments: list[str] | None, stop: StopSignal) -> int:
    from lrexplore.recipes.arguments import parse

    try:
        config = parse(program, arguments)
    except ValueError as error:
        return _fail(error)
    # Imported here, after the signals were taken over: torch takes seconds.
    from lrexplore.training.non_finite import NonFiniteLoss
    from lrexplore.training.processes import lost_process
    from lrexplore.training.run import run

    try:
        if run(config, should_stop=stop) == "done":
            return 0
    except (ValueError, OSError, ImportError, NonFiniteLoss) as error:
        return _fail(_about_the_disk(error, config))
    except Exception as error:
        lost = lost_process(error, _num_processes(), config.workers)
        return _fail(lost or _about_memory(error, config))
    raise Stopped


def _num_processes() -> int:
    text = os.environ.get("WORLD_SIZE", "1")
    return int(text) if text.isdecimal() else 1


def _fail(error: BaseException | str) -> int:
    print(f"lrexplore train: {' '.join(str(error).split())}", file=sys.stderr)
    return 1


def _about_the_disk(error: Exception, config: Config) -> Exception | str:
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    return (
        f"`runs` must be on a disk with room, got {os.strerror(error.errno)} in {config.runs}. Make room and add"
        " `--resume`: the records and the last checkpoint are whole."
    )


def _about_memory(error: Exception, config: Config) -> str:
    import torch

    out = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    if not out:
        if "LREXPLORE_TRACEBACK" in os.environ:
            traceback.print_exc()
        trace = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in trace if not Path(frame.filename).is_relative_to(sys.prefix) and not _is_ours(frame)]
        place = (own or trace)[-1]
        said = (str(error).strip().splitlines() or [""])[0]
        return (
            f"`{config.model}` must train without errors, got {type(error).__name__}: {said}"
            f" ({place.filename}, line {place.lineno}). LREXPLORE_TRACEBACK=1 shows the way there."
        )
    size = config.micro_batch_size or config.batch_size
    return (
        f"`micro_batch_size` must be small enough for the memory, got {size} images at once that are too many."
        f" Use --micro-batch-size {max(1, size // 2)}: the step keeps its {config.batch_size} images."
    )


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(Path(__file__).parents[1])


def leave(status: int) -> None:
    """Ends the process with a status; one that was stopped at once, for taking torch down can take seconds."""
    if status == STOPPED:
        end_workers()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    leave(main())
