"""Many runs as pandas tables."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrexplore.disk.paths import as_path, printable
from lrexplore.records.handle import Run
from lrexplore.records.layout import STREAMS
from lrexplore.records.reader import Reader
from lrexplore.records.schema import UNREADABLE, read_description

if TYPE_CHECKING:
    import pandas as pd


def run_folders(path: str | Path) -> list[Path]:
    """The folders of runs in `path`, or `path` itself where it is one; sorted by name.

    Also those whose run.json cannot be read: whoever reads it says why.
    """
    path = as_path(path)
    if _holds_a_run(path):
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(
            f"`path` must be a folder of runs, got {path}, which is none. Pass the `--runs` of a training."
        )
    with os.scandir(path) as entries:
        folders = [Path(entry.path) for entry in entries if entry.is_dir()]
    return sorted(folder for folder in folders if _holds_a_run(folder))


def as_paths(paths: Any) -> list[Path]:
    """One path or several as a list. Raises TypeError for what is none."""
    one = (
        isinstance(paths, str | bytes | os.PathLike) or getattr(paths, "ndim", 1) == 0 or not hasattr(paths, "__iter__")
    )
    return [as_path(path, "paths") for path in ([paths] if one else paths)]


def runs(path: str | Path = "runs") -> "pd.DataFrame":
    """A pandas DataFrame with one row a run: `run`, its state, its configuration, its latest metrics.

    Reads two small files a run, so it may be called again and again while they train. Runs whose records
    cannot be read have the state `unreadable` and a `message`. Raises FileNotFoundError without the folder.

    >>> import lrexplore as lr
    >>> table = lr.runs("runs")
    >>> table[["run", "state", "initializer", "seed"]].to_dict("records")
    [{'run': 'first', 'state': 'done', 'initializer': 'function', 'seed': 0}]
    """
    import pandas as pd

    rows = []
    for folder in run_folders(path):
        name = {"run": printable(folder.name)}
        try:
            described, status = read_description(folder), Run(folder).status
        except (ValueError, OSError) as error:
            described, status = {}, {"state": UNREADABLE, "message": str(error)}
        state = {**name, "state": status.pop("state")}
        if described and state["state"] != UNREADABLE:
            state |= {**described["config"], **status, **described["environment"]}
            state["started"] = pd.Timestamp(described["started"], unit="s")
        else:
            state["message"] = status["message"]
        rows.append({**state, **name, "folder": printable(folder)})
    columns = None if rows else ["run", "state", "folder"]
    return pd.DataFrame(rows, columns=columns)


def read(paths: str | Path | Iterable[str | Path], stream: str = "epochs") -> "pd.DataFrame":
    """A pandas DataFrame with the rows of one stream of many runs, with `run` and its choices as columns.

    `paths`: a folder of runs, a run, or several of them. Finished runs are read from Parquet. A run that cannot be read
    is left out with a warning that says why; `attrs["unreadable"]` has the reasons by name.
    Raises ValueError for a stream that is none.
    """
    import pandas as pd

    if stream not in STREAMS:
        raise ValueError(f"`stream` must be one of {', '.join(STREAMS)}, got {stream!r}. Choose one of them.")
    paths = as_paths(paths)
    tables, unreadable = [], {}
    for folder in (folder for path in paths for folder in run_folders(path)):
        name = printable(folder.name)
        try:
            config, table = read_description(folder)["config"], table_of(folder, stream)
        except (ValueError, OSError) as error:
            unreadable[name] = str(error)
            warnings.warn(f"the run {name} is unreadable and left out: {error}", stacklevel=2)
            continue
        table.insert(0, "run", name)
        for key in (
            "model",
            "initializer",
            "rank_scale",
            "scheme",
            "decay",
            "decay_strength",
            "form",
            "prune",
            "sparsity",
            "seed",
        ):
            if key in config:
                table[key] = config[key]
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"run": []})
    joined.attrs["unreadable"] = unreadable
    return joined


def table_of(folder: Path, stream: str) -> "pd.DataFrame":
    """A pandas DataFrame of one stream of one run, from Parquet where that is whole and as new as the lines.

    Raises ValueError for a torn Parquet file of a run whose lines are gone.
    """
    import pandas as pd

    parquet, lines = folder / f"{stream}.parquet", folder / f"{stream}.jsonl"
    if parquet.is_file() and (not lines.exists() or lines.stat().st_mtime_ns <= parquet.stat().st_mtime_ns):
        try:
            return pd.read_parquet(parquet)
        except (ValueError, OSError, LookupError, TypeError, AttributeError) as error:  # as pyarrow and pandas raise
            if not lines.exists():
                raise ValueError(
                    f"`{parquet.name}` must be a Parquet file, got one that is torn in {printable(folder)}"
                    f" ({(str(error).splitlines() or [type(error).__name__])[0]}). Copy the run again."
                ) from error
    reader = Reader(folder)
    reader.poll()
    return reader.table(stream)


def _holds_a_run(folder: Path) -> bool:
    """Whether there is a run.json, or something that keeps us from seeing whether there is."""
    try:
        os.lstat(folder / "run.json")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return folder.is_dir()
    return True
