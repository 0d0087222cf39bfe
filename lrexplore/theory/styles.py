"""One color and marker an initializer, in every picture: those of its record."""

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
