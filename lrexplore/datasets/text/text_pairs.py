"""Sentences in two languages: from two files line by line, duplicates out, and which part each belongs to."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lrexplore.datasets.text.text_files import read_lines

Pair = tuple[str, str]
_TEST = 0.1
_OTHER_NAMES = {"train": ("train",), "held_out": ("valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True, kw_only=True)
class PairParts:
    """Pairs (source, target) that train, that are held out to choose by, and that are read once at the end."""

    train: list[Pair]
    held_out: list[Pair]
    test: list[Pair]

    def reversed(self) -> "PairParts":
        """The same pairs with target and source exchanged."""
        return PairParts(**{name: [(b, a) for a, b in getattr(self, name)] for name in _OTHER_NAMES})


def check_languages(languages: str) -> tuple[str, str]:
    """Source and target in such as "en-de". Raises ValueError for another text."""
    pair = re.fullmatch(r"([a-z]{2,3})-([a-z]{2,3})", languages)
    if not pair or pair[1] == pair[2]:
        raise ValueError(
            f"`languages` must be two codes, the source's first, such as 'en-de', got {languages!r}. Write such a pair."
        )
    return pair[1], pair[2]


def without_duplicates(pairs: Iterable[Pair]) -> list[Pair]:
    """The first pair of each source and of each target, whatever their case and punctuation, in their order.

    A sentence that is left then stands in one part only, and so does its translation.
    """
    kept: list[Pair] = []
    seen: tuple[set[str], set[str]] = (set(), set())
    for pair in pairs:
        keys = [_key(text) for text in pair]
        if not any(key in earlier for key, earlier in zip(keys, seen, strict=True)):
            kept.append(pair)
            for key, earlier in zip(keys, seen, strict=True):
                earlier.add(key)
    return kept


def part_of(text: str, held_out: float) -> str:
    """The part that a text belongs to by its own words, whatever other texts there are; a tenth is for testing."""
    place = int.from_bytes(hashlib.sha256(_key(text).encode()).digest()[:6]) / 2**48
    if place < _TEST:
        return "test"
    return "held_out" if place < _TEST + (1 - _TEST) * held_out else "train"


def split_pairs(pairs: Iterable[Pair], held_out: float) -> PairParts:
    """The pairs without duplicates, each in its part."""
    parts: dict[str, list[Pair]] = {"train": [], "held_out": [], "test": []}
    for pair in without_duplicates(pairs):
        parts[part_of(pair[0], held_out)].append(pair)
    return PairParts(**parts)


def read_pair_files(path: Path, languages: tuple[str, str], held_out: float) -> PairParts:
    """The pairs of two files that correspond line by line, as corpora for translation come.

    `path` is a folder with train.en and train.de (and valid.* or dev.*, test.* where they are there), or the common
    beginning of two files: corpora/talks for corpora/talks.en and corpora/talks.de. Parts that are not there are split
    off by message. Raises FileNotFoundError or ValueError where the files are missing, unlike or empty.
    """
    if not path.is_dir():
        return _checked(split_pairs(_read_pair(path, languages), held_out), path)
    stems = {part: _named(path, names, languages) for part, names in _OTHER_NAMES.items()}
    if stems["train"] is None:
        raise FileNotFoundError(
            f"`data` must be a folder with train.{languages[0]} and train.{languages[1]}, or with catalogs *.mo, got"
            f" neither in {path}. Check the path, and `languages`."
        )
    read = {part: without_duplicates(_read_pair(stem, languages)) for part, stem in stems.items() if stem is not None}
    judged = {_key(source) for part in ("held_out", "test") for source, _ in read.get(part, ())}
    parts: dict[str, list[Pair]] = {"held_out": [], "test": [], **read, "train": []}
    for pair in read["train"]:
        part = part_of(pair[0], held_out)
        if part in read:
            part = "train"
        if _key(pair[0]) not in judged:
            parts[part].append(pair)
    return _checked(PairParts(**parts), path)


def _named(folder: Path, names: tuple[str, ...], languages: tuple[str, str]) -> Path | None:
    return next((folder / name for name in names if (folder / f"{name}.{languages[0]}").is_file()), None)


def _read_pair(stem: Path, languages: tuple[str, str]) -> list[Pair]:
    sources, targets = (read_lines(stem.with_name(f"{stem.name}.{code}")) for code in languages)
    if len(sources) != len(targets):
        raise ValueError(
            f"`data` must hold as many lines in each language, got {len(sources):,} in {stem.name}.{languages[0]} and"
            f" {len(targets):,} in {stem.name}.{languages[1]}. Line n of the one must translate line n of the other."
        )
    return [pair for pair in zip(sources, targets, strict=True) if all(pair)]


def _checked(parts: PairParts, path: Path) -> PairParts:
    for name in _OTHER_NAMES:
        if not getattr(parts, name):
            raise ValueError(
                f"`data` must hold pairs for each part, got none for {name.replace('_', ' ')} from {path}. Give more"
                " sentences, or a file for that part."
            )
    return parts


def _key(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum()) or text
