"""The layer table as the panel takes it."""

from collections.abc import Callable

from lrexplore.explorer.layer.heads.head_frame import words_of
from lrexplore.explorer.subject import Subject
from lrexplore.network.attention.head_layers import HeadLayer

COLUMNS = [
    {"key": "name", "label": "layer", "align": "left", "order": "given"},
    {"key": "shape", "label": "out\u00a0x\u00a0in", "align": "right"},
    {"key": "parameters", "label": "params", "align": "right"},
    {"key": "stable_rank", "label": "stable rank", "align": "right"},
    {"key": "rank", "label": "rank", "align": "right", "follows": "rank"},
    {"key": "follows", "label": "then", "align": "left"},
]


def layer_table(subject: Subject, scheme: str = "channel", rank_of: Callable[[str, str], int] | None = None) -> dict:
    """Rows of display values, skipped layers with their reason, attention heads `under` the row that unfolds them.

    Stable ranks that `Subject.add_stable_ranks` has not found yet are three dots. `rank_of(layer, scheme)` is the rank
    chosen for a layer, by default that of the rank scale; one that was set by hand is told from it.
    """
    rank_of = rank_of or subject.default_rank
    rows: list[dict] = []
    folds: set[str] = set()
    for layer in subject.layers.values():
        if isinstance(layer, HeadLayer) and layer.head.attention not in folds:
            folds.add(layer.head.attention)
            rows.append(_fold(subject, layer.head.attention))
        is_matrix = layer.kind in ("linear", "conv")
        shape = layer.matrix_shape() if is_matrix else layer.weight_shape
        under = {}
        if isinstance(layer, HeadLayer):
            under = {"under": _fold_name(layer.head.attention), "shown": words_of(layer)}
        stable_rank = subject.stable_rank(layer.name)
        stable = "–" if layer.skip_reason else "…" if stable_rank is None else f"{stable_rank:.0f}"
        ranks = {}
        if not layer.skip_reason:
            usual = {"rank": str(subject.default_rank(layer.name, scheme))}
            ranks = {"rank": str(rank_of(layer.name, scheme)), "usual": usual}
        rows.append(
            {
                **ranks,
                **under,
                "name": layer.name,
                "shape": " x ".join(map(str, shape)),
                "parameters": _short(layer.num_parameters),
                "stable_rank": stable,
                "follows": layer.follows.text,
                "disabled": layer.skip_reason,
            }
        )
    return {"label": "layers", "columns": COLUMNS, "rows": rows}


def _fold_name(attention: str) -> str:
    """The name of the row under which an attention's heads fold; no layer has it."""
    return f"{attention}:heads"


def _fold(subject: Subject, attention: str) -> dict:
    """The row that opens and closes the rows of an attention's heads."""
    heads = [x for x in subject.layers.values() if isinstance(x, HeadLayer) and x.head.attention == attention]
    count = len({layer.head.place for layer in heads})
    return {
        "name": _fold_name(attention),
        "shown": f"{attention or 'the model itself'}: {count} head{'s' if count > 1 else ''}",
        "fold": True,
        "shape": "",
        "parameters": _short(sum(layer.num_parameters for layer in heads)),
        "follows": "",
    }


def _short(number: int) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
