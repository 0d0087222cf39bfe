"""Spectra over time: how a recorded moment is kept, and all of a run as a table.

A row of the stream has `num_values`, how many singular values each layer has (all groups together), `full_rank`, how
many it would have without factors, `values`, those that are kept of all
layers in one list, and one list a quantity (`QUANTITIES`) with one number a layer. The names are in run.json.
"""

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from lrexplore.records.reader import Reader

if TYPE_CHECKING:
    import pandas as pd

MOST_KEPT = 256
CUTS = (0.05, 0.1, 0.25, 0.5)
ERRORS = tuple(f"{kind}_error_{scale:g}" for kind in ("function", "frobenius") for scale in CUTS)
QUANTITIES = ("stable_rank", "effective_rank", *ERRORS)
"""What is kept of each layer at each moment; an error has the rank scale of its cut in its name."""


COLUMNS = ("step", "epoch", "layer", "num_values", "full_rank", "ranks", "singular_values")


def kept_ranks(num_values: int) -> np.ndarray:
    """The ranks, from 1, whose singular values are kept of so many: all up to 256, else 256 with the first and last.

    Half of them lie at equal distances and half at equal ratios: both a linear and a logarithmic axis show the whole
    curve, which falls monotonically between them.
    """
    if num_values <= MOST_KEPT:
        return np.arange(1, num_values + 1)
    even = np.linspace(1, num_values, MOST_KEPT // 2)
    chosen = np.unique(np.round([*even, *np.geomspace(1, num_values, MOST_KEPT // 2)]).astype(int))
    missing = np.setdiff1d(np.arange(1, num_values + 1), chosen)[: MOST_KEPT - len(chosen)]
    return np.sort(np.concatenate([chosen, missing]))


def spectra_of(reader: Reader) -> "pd.DataFrame":
    """DataFrame of what a polled reader has: one row a recorded moment and layer, in that order.

    Columns: `COLUMNS`, of which ranks and singular_values are arrays (`kept_ranks`), and `QUANTITIES`. A row that does
    not hold what its `num_values` say, which no writer of ours wrote, is left out.
    """
    import pandas as pd

    names = reader.description.get("spectra_layers") or []
    rows = []
    for row in reader.rows("spectra"):
        rows += layers_of(row, names)
    return pd.DataFrame(rows, columns=[*COLUMNS, *QUANTITIES])


def layers_of(row: Mapping[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """What a row of the stream says of each layer, the columns of `spectra_of`; nothing of a row that is none."""
    counts, full = (row.get(name, ()) for name in ("num_values", "full_rank"))
    if not all(_are_counts(each, len(names)) for each in (counts, full)):
        return []
    ranks = [kept_ranks(int(count)) for count in counts]
    values = np.asarray(row.get("values", ()), dtype=float)
    if len(values) != sum(map(len, ranks)):
        return []
    parts = np.split(values, np.cumsum([len(part) for part in ranks])[:-1])
    unknown = [float("nan")] * len(names)
    listed = {key: row[key] if _is_list(row.get(key), len(names)) else unknown for key in QUANTITIES}
    return [
        {"step": int(row["step"]), "epoch": row.get("epoch"), "layer": name, "num_values": int(counts[k]),
         "full_rank": int(full[k]), "ranks": ranks[k], "singular_values": parts[k],
         **{key: listed[key][k] for key in QUANTITIES}}
        for k, name in enumerate(names)
    ]  # fmt: skip


def _is_list(value: Any, length: int) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str) and len(value) == length


def _are_counts(value: Any, length: int) -> bool:
    return _is_list(value, length) and all(_is_count(c) for c in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, Real) and 0 <= float(value) < 2**31  # which NaN is not
