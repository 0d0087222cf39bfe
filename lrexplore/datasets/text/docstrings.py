"""The docstrings of installed packages: real technical English that every machine of ours has."""

import re
from importlib.util import find_spec
from pathlib import Path

NAME = "docstrings"
PACKAGES = ("numpy", "scipy", "pandas", "torch")
_LEAST_WORDS = 8
_QUOTES = '"""'
_MARKS = re.compile(r":[\w:]+:(?=`)|[`*]+|(?<=:):\s*$")  # of reStructuredText around words
# Prompts, tables, fields of a directive, underlines, formulas: what is no running text.
_NO_PROSE = re.compile(
    r">>>|\.\. |::|^\s*[-=~^#|+]{3}|^\s*:\w|\w\s*=\s*\w|\S {3,}\S|[{}<>\\|$]|__|https?:", re.MULTILINE
)


def docstring_paragraphs(packages: tuple[str, ...] = PACKAGES) -> list[tuple[str, str]]:
    """(file, paragraph) for every paragraph of prose in the packages' docstrings, duplicates left out.

    Files are read, nothing of them is run. Raises ModuleNotFoundError where none of the packages is installed.
    """
    file_of: dict[str, str] = {}
    roots = [Path(spec.origin).parent for name in packages if (spec := find_spec(name)) and spec.origin]
    if not roots:
        raise ModuleNotFoundError(
            f"`data` must find one of the packages {', '.join(packages)}, got none installed. Name a text file instead."
        )
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            if not {"tests", "testing", "_vendor"} & set(path.relative_to(root).parts):
                for paragraph in _paragraphs(path.read_text(encoding="utf-8", errors="replace")):
                    file_of.setdefault(paragraph, f"{root.name}/{path.relative_to(root).as_posix()}")
    return [(file, paragraph) for paragraph, file in file_of.items()]


def _paragraphs(source: str) -> list[str]:
    """Prose of the texts in triple quotes that begin a line: those are docstrings, but for a few."""
    pieces = source.split(_QUOTES)
    if len(pieces) % 2 == 0:  # a quote inside something else: what is inside and outside cannot be told
        return []
    kept = []
    for before, text in zip(pieces[::2], pieces[1::2], strict=False):
        if before.rpartition("\n")[2].strip() not in ("", "r", "R"):
            continue
        for paragraph in re.split(r"\n\s*\n", text):
            paragraph = _MARKS.sub("", paragraph)
            words = paragraph.split()
            if len(words) >= _LEAST_WORDS and not _NO_PROSE.search(paragraph) and words[-1][-1] in ".:!?)":
                kept.append(" ".join(words))
    return kept
