"""The layer table as the panel takes it."""

from collections.abc import Callable

from lrexplore.explorer.subject import Subject

COLUMNS = [
    {"key": "name", "label": "layer", "align": "left", "order": "given"},
    {"key": "shape", "label": "out\u00a0x\u00a0in", "align": "right"},
    {"key": "parameters", "label": "params", "align": "right"},
    {"key": "stable_rank", "label": "stable rank", "align": "right"},
    {"key": "rank", "label": "rank", "align": "right", "follows": "rank"},
    {"key": "follows", "label": "then", "align": "left"},
]


def layer_table(subject: Subject, scheme: str = "channel", rank_of: Callable[[str, str], int] | None = None) -> dict:
    """Rows of display values, skipped layers with their reason.

    Stable ranks that `Subject.add_stable_ranks` has not found yet are three dots. `rank_of(layer, scheme)` is the rank
    chosen for a layer, by default that of the rank scale; one that was set by hand is told from it.
    """
    rank_of = rank_of or subject.default_rank
    rows = []
    for layer in subject.layers.values():
        shape = layer.matrix_shape() if layer.kind in ("linear", "conv") else layer.weight_shape
        stable_rank = subject.stable_rank(layer.name)
        stable = "–" if layer.skip_reason else "…" if stable_rank is None else f"{stable_rank:.0f}"
        ranks = {}
        if not layer.skip_reason:
            usual = {"rank": str(subject.default_rank(layer.name, scheme))}
            ranks = {"rank": str(rank_of(layer.name, scheme)), "usual": usual}
        rows.append(
            {
                **ranks,
                "name": layer.name,
                "shape": " x ".join(map(str, shape)),
                "parameters": _short(layer.num_parameters),
                "stable_rank": stable,
                "follows": layer.follows.text,
                "disabled": layer.skip_reason,
            }
        )
    return {"label": "layers", "columns": COLUMNS, "rows": rows}


def _short(number: int) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)
