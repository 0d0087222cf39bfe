"""Many runs as pandas tables."""

from collections.abc import Iterable
from pathlib import Path

from lrexplore.records.handle import Run
from lrexplore.records.layout import STREAMS, check_version, read_json
from lrexplore.records.reader import Reader


def run_folders(path: str | Path) -> list[Path]:
    """The folders of runs in `path`, or `path` itself where it is one; sorted by name."""
    path = Path(path).expanduser()
    if (path / "run.json").is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(
            f"`path` must be a folder of runs, got {path}, which is none. Pass the `--runs` of a training."
        )
    return sorted(described.parent for described in path.glob("*/run.json"))


def runs(path: str | Path = "runs"):
    """A pandas DataFrame with one row a run: `run`, its state, its configuration, its latest metrics.

    Reads two small files a run, so it may be called again and again while they train. Runs whose records
    cannot be read have the state `unreadable` and a `message`. Raises FileNotFoundError without the folder.
    """
    import pandas as pd

    rows = []
    for folder in run_folders(path):
        try:
            described = read_json(folder / "run.json")
            check_version(described, folder)
            status = Run(folder).status
        except (ValueError, KeyError) as error:
            rows.append({"run": folder.name, "state": "unreadable", "message": str(error), "folder": str(folder)})
            continue
        state = {"run": folder.name, "state": status.pop("state")}
        known = {**described.get("config", {}), **status, **described.get("environment", {})}
        started = pd.Timestamp(described["started"], unit="s")
        rows.append({**state, **known, "started": started, "folder": str(folder)})
    columns = None if rows else ["run", "state", "folder"]
    return pd.DataFrame(rows, columns=columns)


def read(paths: str | Path | Iterable[str | Path], stream: str = "epochs"):
    """A pandas DataFrame with the rows of one stream of many runs, with `run` and its choices as columns.

    `paths`: a folder of runs, a run, or several of them. Finished runs are read from Parquet.
    Raises ValueError for a stream that is none.
    """
    import pandas as pd

    if stream not in STREAMS:
        raise ValueError(f"`stream` must be one of {', '.join(STREAMS)}, got {stream!r}. Choose one of them.")
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    tables = []
    for folder in (folder for path in paths for folder in run_folders(path)):
        described = read_json(folder / "run.json")
        check_version(described, folder)
        table = table_of(folder, stream)
        table.insert(0, "run", folder.name)
        config = described.get("config", {})
        for key in ("model", "initializer", "rank_scale", "scheme", "decay", "decay_strength", "seed"):
            if key in config:
                table[key] = config[key]
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"run": []})


def table_of(folder: Path, stream: str):
    """A pandas DataFrame of one stream of one run, from Parquet where that is as new as the lines."""
    import pandas as pd

    parquet, lines = folder / f"{stream}.parquet", folder / f"{stream}.jsonl"
    fresh = parquet.exists() and (not lines.exists() or lines.stat().st_mtime_ns <= parquet.stat().st_mtime_ns)
    if fresh:
        return pd.read_parquet(parquet)
    reader = Reader(folder)
    reader.poll()
    return reader.table(stream)
