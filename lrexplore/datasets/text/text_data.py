"""The texts of one training: what trains, what chooses, what is read once at the end, and their subwords."""

from dataclasses import dataclass
from pathlib import Path

from lrexplore.datasets.split import epoch_order
from lrexplore.datasets.text import docstrings, generated_pairs
from lrexplore.datasets.text.catalogs import PACKAGE, catalog_folders, catalog_pairs
from lrexplore.datasets.text.subwords import Subwords
from lrexplore.datasets.text.text_files import read_paragraphs
from lrexplore.datasets.text.text_pairs import (
    Pair,
    PairParts,
    check_languages,
    part_of,
    read_pair_files,
    split_pairs,
)
from lrexplore.datasets.text.token_batches import TokenPairs, TokenTexts

CATALOGS = "catalogs"
LONGEST = 128  # pieces of one text that a network reads


@dataclass(frozen=True, kw_only=True)
class TextData:
    """Texts that train, that are held out to choose by, and to test; `subwords` were learned from those that train."""

    name: str
    train: TokenPairs | TokenTexts
    held_out: TokenPairs | TokenTexts
    test: TokenPairs | TokenTexts
    subwords: Subwords

    @property
    def num_classes(self) -> int:
        """The number of pieces."""
        return len(self.subwords)


def open_pairs(
    name: str, languages: str, *, held_out: float, vocabulary: int, num_pairs: int | None = None,
    subwords: Subwords | None = None,
) -> TextData:  # fmt: skip
    """Pairs to translate: `numbers-and-dates` (made by rules), `catalogs` (those of this machine), or a path.

    A path is a folder of catalogs *.mo, a folder with train.en and train.de, or the common beginning of two files (see
    `read_pair_files`). `languages` such as "en-de" or "de-en". `subwords` are used instead of learning `vocabulary`
    new ones. Raises ValueError or FileNotFoundError, with the way out, for data that cannot be used.
    """
    parts = _pair_parts(name, check_languages(languages), held_out)
    train = _some(parts.train, num_pairs, name)
    learned = subwords or Subwords.learn((text for pair in train for text in pair), vocabulary)

    def numbered(pairs: list[Pair]) -> TokenPairs:
        sides = learned.encode([a for a, _ in pairs]), learned.encode([b for _, b in pairs])
        short = [k for k in range(len(pairs)) if max(len(side[k]) for side in sides) < LONGEST]
        sources, targets = ([side[k] for k in short] for side in sides)
        return TokenPairs([pairs[k] for k in short], (sources, targets))

    sets = {"train": numbered(train), "held_out": numbered(parts.held_out), "test": numbered(parts.test)}
    return TextData(name=name, subwords=learned, **sets)


def open_texts(
    name: str, *, held_out: float, vocabulary: int, num_texts: int | None = None, subwords: Subwords | None = None
) -> TextData:
    """Running text: `docstrings` (of installed packages), or the path of a text file or of a folder of them.

    A file's text is one part's as a whole where there are a hundred files and more; else paragraph by paragraph. Raises
    ValueError or FileNotFoundError, with the way out, for text that cannot be used.
    """
    paragraphs = (
        docstrings.docstring_paragraphs() if name == docstrings.NAME else read_paragraphs(Path(name).expanduser())
    )
    by_file = len({file for file, _ in paragraphs}) >= 100
    parts: dict[str, list[str]] = {"train": [], "held_out": [], "test": []}
    for file, text in dict((text, (file, text)) for file, text in paragraphs).values():
        parts[part_of(file if by_file else text, held_out)].append(text)
    for part, texts in parts.items():
        if not texts:
            raise ValueError(
                f"`data` must hold text for each part, got {len(paragraphs)} paragraphs of {name}, none for"
                f" {part.replace('_', ' ')}. Give a longer text; an empty line ends a paragraph."
            )
    train = _some(parts["train"], num_texts, name)
    learned = subwords or Subwords.learn(train, vocabulary)
    sets = {
        part: TokenTexts([row[: LONGEST - 2] for row in learned.encode(texts)], len(learned))
        for part, texts in {**parts, "train": train}.items()
    }
    return TextData(name=name, subwords=learned, **sets)


def _pair_parts(name: str, languages: tuple[str, str], held_out: float) -> PairParts:
    path = Path(name).expanduser()
    made = name in (generated_pairs.NAME, CATALOGS)
    is_catalog = not made and path.is_dir() and next(path.rglob("*.mo"), None) is not None
    if not made and not is_catalog:
        return read_pair_files(path, languages, held_out)
    other = next((code for code in languages if code != "en"), "")
    rule = "en-de or de-en" if name == generated_pairs.NAME else "English and another language"
    if "en" not in languages or (name == generated_pairs.NAME and other != "de"):
        raise ValueError(
            f"`languages` must be {rule} for {name}, got {'-'.join(languages)}. Change it, or name files of your own."
        )
    if name == generated_pairs.NAME:
        pairs = generated_pairs.generated_pairs()
    else:
        pairs = catalog_pairs(catalog_folders() if name == CATALOGS else [path], other)
    parts = split_pairs(pairs, held_out)
    for part in ("train", "held_out", "test"):
        if not getattr(parts, part):
            raise ValueError(
                f"`data` must hold messages for each part, got {len(pairs)} in all, none for {part.replace('_', ' ')}."
                f" Get more catalogs, as with: apt-get install {PACKAGE.format(other)}"
            )
    return parts if languages[0] == "en" else parts.reversed()


def _some(texts: list, count: int | None, name: str) -> list:
    """So many of them, always the same ones, in their order; all for None."""
    if count is None:
        return texts
    if not 1 <= count <= len(texts):
        raise ValueError(
            f"`num_images` must lie in 1..{len(texts)}, the texts of {name} that train, got {count}. Leave it out for"
            " all."
        )
    return [texts[k] for k in sorted(epoch_order(len(texts), 0, 0)[:count])]
