"""Runs compared in pairs: the same seed twice, one choice apart. Differences with t intervals.

A seed counts once, however often it was run: repeats (the same choices, the same seed) are averaged first, and so are
the differences that one seed has under several choices. What they share does not cancel by having more of them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from lrexplore.records.choices import FACTORS, UNFACTORIZED, choices, differing
from lrexplore.records.schema import read_description
from lrexplore.records.table import as_paths, read, run_folders

if TYPE_CHECKING:
    import pandas as pd

CHOICES = ("model", "data", "initializer", "rank_scale", "scheme", "decay", "decay_strength")


def outcomes(paths: str | Path | Iterable[str | Path], metric: str = "test_top1") -> "pd.DataFrame":
    """A pandas DataFrame with one row a finished run: its choices, its seed, and the metric's last value.

    Its choices are those of `CHOICES` and every other one in which the runs differ and that their numbers depend on
    (`records.choices`). An unfactorized run has the initializer "unfactorized", the decay "weight" and no rank scale.
    Runs without the metric are left out. Raises ValueError for a metric that no run has.

    >>> table = lr.outcomes(records)  # the folder data/records of a clone
    >>> {"run", "model", "initializer", "decay", "seed", "test_top1"} <= set(table.columns)
    True
    """
    import pandas as pd

    paths = as_paths(paths)
    rows = read(paths, "epochs")
    if not isinstance(metric, str) or metric not in rows.columns:
        raise ValueError(
            f"`metric` must be a column of the runs' epochs, got {metric!r}. Known: {', '.join(rows.columns)}."
        )
    last = rows.dropna(subset=[metric]).groupby("run")[metric].last()
    folders = [folder for path in paths for folder in run_folders(path) if folder.name in last.index]
    made = [choices(read_description(folder)) for folder in folders]
    usual = [name for name in CHOICES if any(name in one for one in made)]
    more = [name for name in differing(made) if name not in FACTORS]
    more += differing([one for one in made if one.get("initializer") != UNFACTORIZED])
    columns = list(dict.fromkeys([*usual, *(name for name in more if name != "seed"), "seed"]))
    table = pd.DataFrame([[one.get(name) for name in columns] for one in made], columns=columns)
    table.insert(0, "run", [folder.name for folder in folders])
    table[metric] = table["run"].map(last)
    return table.sort_values(columns, na_position="last").reset_index(drop=True)


def summary(
    table: "pd.DataFrame", metric: str = "test_top1", by: Sequence[str] = ("initializer", "rank_scale", "decay")
) -> "pd.DataFrame":
    """Mean and standard deviation (n - 1) of every combination of choices, as a DataFrame.

    They are those of the values that are left when repeats are averaged; `runs` counts all runs, `seeds` their seeds.
    """
    groups = table.groupby(list(by), dropna=False, observed=True)
    counts = groups.agg(runs=(metric, "count"), seeds=("seed", "nunique"))
    single = _once(table, metric).groupby(list(by), dropna=False, observed=True)[metric]
    return single.agg(mean="mean", deviation="std").join(counts).reset_index()


def paired_differences(
    table: "pd.DataFrame", choice: str, first: object, second: object, metric: str = "test_top1"
) -> "pd.DataFrame":
    """Metric at `choice=first` minus that at `choice=second`, for every pair of runs that agree in all else.

    A pandas DataFrame with the other choices, the seed, and `difference`; `table` is that of `outcomes`. Runs that
    repeat each other count once, as their mean. Raises ValueError where no two runs make a pair.
    """
    _check_table(table, choice, first, second, metric)
    if choice not in table.columns:
        raise ValueError(f"`choice` must be a column of the table, got {choice!r}. It has {', '.join(table.columns)}.")
    dependent = {"run", metric, choice} | ({"norms_from"} if choice == "decay" else set())
    others = [name for name in table.columns if name not in dependent]
    once = _once(table, metric)
    sides = [once[once[choice] == value].set_index(others)[metric] for value in (first, second)]
    difference = (sides[0] - sides[1]).dropna().rename("difference").reset_index()
    if difference.empty:
        raise ValueError(
            f"`{choice}` must be {first!r} and {second!r} in runs that agree in all else, got no such pair."
            " Run both with the same seeds."
        )
    return difference


def interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean, and the two ends of Student's t interval for it: what independent normal differences of equal variance
    would be covered by in a share `level` of repetitions. Infinite ends for a single difference.

    Raises ValueError for no difference, or a level outside (0, 1).
    """
    values = [float(value) for value in differences]
    if not values:
        raise ValueError("`differences` must hold at least one number, got none. Pair some runs.")
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"`level` must lie in (0, 1), got {level!r}. Use 0.95.")
    count, mean = len(values), sum(values) / len(values)
    if count == 1:
        return mean, -math.inf, math.inf
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    half = student_quantile((1 + level) / 2, count - 1) * math.sqrt(variance / count)
    return mean, mean - half, mean + half


def intervals(
    table: "pd.DataFrame",
    choice: str,
    first: object,
    second: object,
    metric: str = "test_top1",
    by: Sequence[str] = (),
    level: float = 0.95,
) -> "pd.DataFrame":
    """`interval` of the paired differences, one row for each combination of `by`, as a pandas DataFrame.

    The differences of one seed are averaged first and the interval is that of these means, one a seed: runs of a seed
    share the network drawn and the order of the images, so they are not independent. Columns: those of `by`, `mean`,
    `low`, `high`, `pairs`, `seeds`, and `separated`: whether the interval leaves 0 out.

    >>> import pandas as pd
    >>> rows = [("a", "function", 0, 0.81), ("b", "spectral", 0, 0.80)]
    >>> rows += [("c", "function", 1, 0.84), ("d", "spectral", 1, 0.82)]
    >>> table = pd.DataFrame(rows, columns=["run", "initializer", "seed", "test_top1"])
    >>> lr.intervals(table, "initializer", "function", "spectral").round(3).to_dict("records")
    [{'mean': 0.015, 'low': -0.049, 'high': 0.079, 'pairs': 2, 'seeds': 2, 'separated': False}]
    """
    import pandas as pd

    pairs = paired_differences(table, choice, first, second, metric)
    by = [by] if isinstance(by, str) or not isinstance(by, Iterable) else list(by)
    if unknown := [name for name in by if not isinstance(name, str) or name not in pairs.columns]:
        raise ValueError(
            f"`by` must name columns of the pairs, got {unknown[0]!r}. There are {', '.join(map(str, pairs.columns))}."
        )
    groups = pairs.groupby(list(by), dropna=False) if by else [((), pairs)]
    rows = []
    for values, group in groups:
        seeds = group.groupby("seed")["difference"].mean()
        mean, low, high = interval(seeds, level)
        counts = {"pairs": len(group), "seeds": len(seeds)}
        numbers = {"mean": mean, "low": low, "high": high, **counts, "separated": low > 0 or high < 0}
        rows.append({**dict(zip(by, values, strict=True)), **numbers})
    return pd.DataFrame(rows)


def in_words(row: Mapping, name: str, unit: str = "points", level: float = 0.95) -> str:
    """What a row of `intervals` says, and does not say, in one sentence."""
    estimate = f"{name}: {row['mean']:+.2f} {unit} ({level:.0%} interval {row['low']:+.2f} to {row['high']:+.2f},"
    verdict = "0 lies outside" if row["separated"] else "0 lies inside, not told apart"
    return f"{estimate} {counted(row)}); {verdict}"


def counted(row: Mapping) -> str:
    """On how many seeds a row of `intervals` rests, and of how many pairs where these are more."""
    seeds = f"{row['seeds']} {'seed' if row['seeds'] == 1 else 'seeds'}"
    return seeds if row["pairs"] == row["seeds"] else f"{row['pairs']} pairs of {seeds}"


def _is_storable(value: str | float | None) -> bool:
    """Whether a column can hold it: text that is Unicode, whole numbers of 63 bits."""
    if isinstance(value, str):
        return value == value.encode("utf-8", "replace").decode()
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _check_table(table: "pd.DataFrame", choice: str, first: object, second: object, metric: str) -> None:
    """Raises TypeError for what is no table, ValueError for one without a seed or the metric, or for odd names."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"`table` must be a DataFrame, got a {type(table).__name__}. Pass what `lr.outcomes` returned.")
    for name, value in (("first", first), ("second", second)):
        if not isinstance(value, str | int | float | None) or not _is_storable(value):
            raise TypeError(
                f"`{name}` must be a value of the column, got a {type(value).__name__}. Pass a plain value."
            )
    for name, needed in (("choice", choice), ("metric", metric), ("table", "run"), ("table", "seed")):
        if not isinstance(needed, str) or needed not in table.columns:
            raise ValueError(
                f"`{name}` must be a column of the table, got {needed!r}. It has {', '.join(map(str, table.columns))}."
            )


def _once(table: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """The table with one row for all runs that repeat each other: the mean of theirs."""
    same = [name for name in table.columns if name not in ("run", metric)]
    return table.groupby(same, dropna=False, observed=True)[metric].mean().reset_index()


def student_quantile(probability: float, freedom: int) -> float:
    """The value that Student's t with so many degrees of freedom stays below with this probability."""
    from scipy.special import stdtrit  # scipy.stats has the same, and takes half a second to import

    return float(stdtrit(freedom, probability))
