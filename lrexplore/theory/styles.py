"""One color, dash and marker a name, in every picture, whatever else is in it: an initializer's are in its record."""

from collections.abc import Iterator, Mapping

from lrexplore.init import INITIALIZERS, REAL_INPUTS

REFERENCE = ("#222222", "circle-open")


class _Styles(Mapping[str, tuple[str, str]]):
    """Initializer -> (color, plotly symbol)."""

    def __getitem__(self, name: str) -> tuple[str, str]:
        record = INITIALIZERS[name] if name in INITIALIZERS else REAL_INPUTS[name]
        return record.color, record.marker

    def __iter__(self) -> Iterator[str]:
        yield from (*INITIALIZERS, *REAL_INPUTS)

    def __len__(self) -> int:
        return len(INITIALIZERS) + len(REAL_INPUTS)


STYLES = _Styles()
# A method of choosing ranks: (color, dash, marker). None of the colors is an initializer's.
METHOD_STYLES = {
    "optimal": ("#117733", "solid", "circle"),
    "uniform": ("#332288", "dash", "square"),
    "energy": ("#8C6D1F", "dot", "triangle-up"),
    "stable_rank": ("#882255", "dashdot", "diamond"),
    "marchenko_pastur": ("#6B7A8F", "longdash", "x"),
}
ERROR_DASHES = {"function": "solid", "frobenius": "dash"}
