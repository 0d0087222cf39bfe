"""Real pairs from the message catalogs of the programs on this machine: English and what their translators wrote."""

import gettext
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from lrexplore.datasets.text.text_pairs import Pair

PACKAGE = "libreoffice-l10n-{}"  # Debian's; .9 MB, and nothing of LibreOffice comes with it
_MOST_WORDS = 60
_LEAST_WORDS = 2
_MOST_RATIO = 2.5
# Markup, places to fill in, addresses, names of keys and files: what is no sentence.
_NO_SENTENCE = re.compile(r"[<>{}|\\$%@#=\n\t]|__|://|\b\w+\.\w{2,4}\b|_\w+_")
_SHORTCUT = re.compile(r"(?<![\w&])[_~&](?=\w)|(?<=\w)[_~&](?=\w)")  # the letter a menu's entry answers to


def catalog_folders() -> list[Path]:
    """Where a machine has catalogs: the system's locales, and those of LibreOffice."""
    return [Path("/usr/share/locale"), Path("/usr/lib/libreoffice/program/resource")]


def find_catalogs(folders: Iterable[Path], language: str) -> list[Path]:
    """The catalogs *.mo of a language below the folders: in LC_MESSAGES of a folder called de, or such as de_DE."""
    pattern = re.compile(rf"{language}([_@.]\w+)*")
    catalogs = {
        path for folder in folders for path in Path(folder).rglob("LC_MESSAGES/*.mo")
        if pattern.fullmatch(path.parent.parent.name)
    }  # fmt: skip
    return sorted(catalogs)


def catalog_pairs(folders: Iterable[Path], language: str) -> list[Pair]:
    """(English, that language) for every message that is a sentence or a phrase of two words and more.

    Markup, messages with places to fill in, untranslated ones and keyboard shortcuts' marks are left out. Raises
    ValueError with the line that gets a catalog where there is none, or none that holds such a message.
    """
    folders = list(folders)
    catalogs = find_catalogs(folders, language)
    broken: list[Path] = []
    pairs = [pair for path in catalogs for pair in _pairs_in(path, broken)]
    if pairs:
        return pairs
    got = "none" if not catalogs else f"{len(catalogs)} without a message of two words and more"
    if broken:
        got = f"{len(broken)} that cannot be read, first {broken[0].name}"
    package = PACKAGE.format(language)
    raise ValueError(
        f"`data` must hold catalogs *.mo of the language {language!r} with messages, got {got} in"
        f" {', '.join(map(str, folders))}. Get one by: apt-get download {package} && dpkg -x {package}_*.deb FOLDER,"
        " and pass the FOLDER."
    )


def _pairs_in(path: Path, broken: list[Path]) -> Iterator[Pair]:
    try:
        with open(path, "rb") as file:
            messages = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined] # there is no public way
    except (OSError, ValueError, struct.error, LookupError, IndexError):  # not UTF-8, torn, or no catalog at all
        broken.append(path)
        return
    for key, translated in messages.items():
        source = key[0] if isinstance(key, tuple) else key  # of a plural the first form; its number is in the key
        if not source or (isinstance(key, tuple) and key[1] != 0):
            continue
        pair = _clean(source.rpartition("\x04")[2]), _clean(translated)
        if _is_pair(*pair):
            yield pair


def _clean(text: str) -> str:
    return " ".join(_SHORTCUT.sub("", text).split()) if not _NO_SENTENCE.search(text) else ""


def _is_pair(source: str, target: str) -> bool:
    words, translated = len(source.split()), len(target.split())
    if not _LEAST_WORDS <= words <= _MOST_WORDS or not 1 <= translated <= _MOST_WORDS:
        return False
    lengths = sorted((len(source), len(target)))
    letters = sum(char.isalpha() or char.isspace() for char in source + target)
    fits = lengths[1] <= _MOST_RATIO * lengths[0] and letters >= 0.8 * sum(lengths)
    return fits and source.casefold() != target.casefold()
