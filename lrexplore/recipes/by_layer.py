"""Choices that go by the names of layers, in one text: "stages.0,conv1", "stages.*=0.1,fc=10"."""

from fnmatch import fnmatchcase


def patterns(text: str | None) -> list[str]:
    """The names and patterns between the commas. Raises ValueError for an empty one."""
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError(
            f"`freeze` must be names of layers with commas between them, got {text!r}. Write such as 'conv1,stages.0'."
        )
    return parts


def rates(text: str | None) -> list[tuple[str, float]]:
    """(name or pattern, share of the rate) in the order of the text. Raises ValueError for what is none."""
    pairs = []
    for part in text.split(",") if text is not None else ():
        name, equals, share = (piece.strip() for piece in part.rpartition("="))
        try:
            number = float(share)
        except ValueError:
            number = -1.0
        if not (name and equals and 0 < number <= 1e6):
            raise ValueError(
                f"`layer_lr` must be names of layers with shares of the rate in (0, 1e6], got {text!r}. Write such as"
                " 'stages.*=0.1,fc=10'; layers that must not move are for `freeze`."
            )
        pairs.append((name, number))
    return pairs


def is_under(name: str, pattern: str) -> bool:
    """Whether a module is the one of that name, or one that the pattern fits, or lies in one."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:count]), pattern) for count in range(1, len(parts) + 1))
