"""A small copy of finished runs, to keep beside a paper or in a repository: `python -m lrexplore.records.thin`."""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrexplore.disk.whole_file import write_whole
from lrexplore.records.layout import write_json
from lrexplore.records.schema import read_description, read_status
from lrexplore.records.table import run_folders, table_of

if TYPE_CHECKING:
    import pandas as pd

_AVERAGED = ("loss", "top1", "top5", "images_per_s", "tokens_per_s")
_DIGITS, _SPECTRA_DIGITS = 6, 4


def thin(source: Path, target: Path, *, steps: int = 8, layers: int = 5, spectra: int = 1, prefix: str = "") -> None:
    """Writes a run's records to the new folder `target` with a row for every `steps` steps, each the mean of theirs.

    Of the measurements of its layers every `layers`-th stays, of the spectra every `spectra`-th moment, and the first
    and the last of each; epochs and changes of ranks all. Numbers keep six digits, those of spectra four. What a run
    says of the machine's folders, its host and its process is left out.
    run.json says `thinned`. Raises ValueError for a run that is not done, FileExistsError for a `target` that is
    there.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    status, described = read_status(source), read_description(source)
    if status["state"] != "done":
        raise ValueError(f"`source` must be a run that is done, got {source.name}, {status['state']}. Finish it first.")
    target.mkdir(parents=True)
    config = described["config"] | {"runs": "runs", "name": target.name}
    if config.get("norms_from"):
        config["norms_from"] = f"runs/{prefix}{Path(config['norms_from']).name}"
    for field in ("plan", "start", "teacher"):
        if config.get(field):
            config[field] = Path(config[field]).name
    about = described["environment"]
    about |= {"command": _command(about["command"], config), "system": about["system"].split("-")[0]}
    described |= {"name": target.name, "config": config, "environment": about}
    described["thinned"] = {"steps": steps, "layers": layers}
    write_json(target / "run.json", described)
    kept = {key: _rounded(value) for key, value in status.items() if key not in ("pid", "process_started", "host")}
    write_json(target / "status.json", {**kept, "pid": 0, "host": ""})
    table = table_of(source, "steps")
    windows = (table["step"].astype(int) - 1) // steps
    means = table.groupby(windows).agg({name: "mean" if name in _AVERAGED else "last" for name in table.columns})
    _write(target / "steps.jsonl", means.to_dict("records"))
    _write(target / "epochs.jsonl", table_of(source, "epochs").to_dict("records"))
    measured = [_measurement(rows) for _, rows in table_of(source, "layers").groupby("step")]
    _write(target / "layers.jsonl", _some(measured, layers))
    events = [_plain(row) for row in table_of(source, "events").to_dict("records")]
    if kept_events := [row for row in events if row.get("event") == "rank" or row.get("num_parameters") is not None]:
        _write(target / "events.jsonl", kept_events)
    if (source / "spectra.jsonl").exists() or (source / "spectra.parquet").exists():
        rows = [_plain(row) for row in table_of(source, "spectra").to_dict("records")]
        if rows:
            _write(target / "spectra.jsonl", _some(rows, spectra), digits=_SPECTRA_DIGITS)


def _measurement(rows: "pd.DataFrame") -> dict:
    """One measurement as it was written: lists with a number for every layer."""
    shared = ("step", "epoch", "lr")
    return {name: rows[name].iloc[0] if name in shared else rows[name].tolist() for name in rows if name != "layer"}


def _plain(row: dict) -> dict:
    """A row with lists in the place of the arrays that Parquet gives."""
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}


def _some(rows: list[dict], every: int) -> list[dict]:
    return [row for number, row in enumerate(rows) if number % every == 0 or number == len(rows) - 1]


def _write(path: Path, rows: list[dict], digits: int = _DIGITS) -> None:
    filled = [{key: value for key, value in row.items() if not _is_missing(value)} for row in rows]
    lines = [json.dumps(_rounded(row, digits), separators=(",", ":"), default=int) for row in filled]
    write_whole(path, "\n".join(lines) + "\n")


def _is_missing(value: object) -> bool:
    return isinstance(value, float) and value != value


def _rounded(value: Any, digits: int = _DIGITS) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(entry, digits) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry, digits) for entry in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def _command(command: str, config: dict) -> str:
    """The command as a person would type it: no folders of the machine it ran on."""
    arguments = command.partition(" ")[2].removeprefix("train ")  # of the command lrexplore; a run of its own has none
    arguments = re.sub(r"--runs \S+", f"--runs {config['runs']}", arguments)
    arguments = re.sub(r"--norms-from \S+", f"--norms-from {config['norms_from']}", arguments)
    arguments = re.sub(r"--plan \S+", f"--plan {config.get('plan')}", arguments)
    return "lrexplore train " + re.sub(r"--name \S+", f"--name {config['name']}", arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Copies every finished run of a folder; 0, and one line for each run that was left out."""
    parser = argparse.ArgumentParser("python -m lrexplore.records.thin", description=__doc__)
    parser.add_argument("source", type=Path, help="a folder of runs")
    parser.add_argument("target", type=Path, help="the folder for the small copies")
    parser.add_argument("--steps", type=int, default=8, help="steps a row (8)")
    parser.add_argument("--layers", type=int, default=5, help="every how many-th measurement of the layers stays (5)")
    parser.add_argument("--spectra", type=int, default=1, help="every how many-th moment of the spectra stays (1)")
    parser.add_argument("--prefix", default="", help="before the name of every copy")
    options = parser.parse_args(arguments)
    sizes = {"steps": options.steps, "layers": options.layers, "spectra": options.spectra, "prefix": options.prefix}
    for folder in run_folders(options.source):
        try:
            thin(folder, options.target / f"{options.prefix}{folder.name}", **sizes)
        except (ValueError, FileExistsError) as error:
            print(f"{folder.name}: left out: {error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
