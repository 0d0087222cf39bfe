import os

import pytest
from datasets.text.catalog_files import write_catalog

from lrexplore.datasets.text import open_pairs
from lrexplore.datasets.text.catalogs import catalog_pairs, find_catalogs

MESSAGES = {
    "menu\x04_Open a file": "Eine Datei ö~ffnen",
    "%d files were moved": "%d Dateien wurden verschoben",
    "<b>Bold text</b> here": "<b>Fetter Text</b> hier",
    "Save all pages\x00Save all of the pages": "Alle Seiten sichern\x00Sämtliche Seiten sichern",
    "Untranslated message": "Untranslated message",
    "Quit": "Beenden",
    "M_acro settings": "Ma_kro-Einstellungen",
}


def test_sentences_and_phrases_are_kept_without_the_marks_of_shortcuts_and_all_else_is_left_out(tmp_path):
    write_catalog(tmp_path / "de" / "LC_MESSAGES" / "a.mo", MESSAGES)
    assert sorted(catalog_pairs([tmp_path], "de")) == [
        ("Macro settings", "Makro-Einstellungen"),
        ("Open a file", "Eine Datei öffnen"),
        ("Save all pages", "Alle Seiten sichern"),
    ]


def test_catalogs_of_a_language_are_those_of_its_countries_too_and_of_no_other(tmp_path):
    for folder in ("de", "de_AT", "de@latin", "den", "fr"):
        write_catalog(tmp_path / folder / "LC_MESSAGES" / "a.mo", MESSAGES)
    found = {path.parent.parent.name for path in find_catalogs([tmp_path], "de")}
    assert found == {"de", "de_AT", "de@latin"}


def test_a_catalog_in_another_charset_than_it_says_is_named_with_the_line_that_gets_another(tmp_path):
    write_catalog(tmp_path / "de" / "LC_MESSAGES" / "bad.mo", {"Close the door": "Tür schließen"}, "utf-8", "latin1")
    with pytest.raises(ValueError, match=r"`data` must hold .*1 that cannot be read, first bad\.mo.*-l10n-de"):
        catalog_pairs([tmp_path], "de")


def test_a_torn_catalog_is_left_out_and_the_others_are_read(tmp_path):
    good = write_catalog(tmp_path / "de" / "LC_MESSAGES" / "good.mo", MESSAGES)
    (good.parent / "torn.mo").write_bytes(good.read_bytes()[:200])
    (good.parent / "none.mo").write_bytes(b"")
    assert len(catalog_pairs([tmp_path], "de")) == 3


@pytest.mark.parametrize("messages", [None, {}, {"Quit": "Beenden"}], ids=["no catalog", "empty", "single words"])
def test_catalogs_without_sentences_are_an_error_with_the_way_out(tmp_path, messages):
    if messages is not None:
        write_catalog(tmp_path / "de" / "LC_MESSAGES" / "a.mo", messages)
    with pytest.raises(ValueError, match=r"`data` must hold catalogs .* got .*\. Get one by: apt-get download"):
        catalog_pairs([tmp_path], "de")


def test_a_few_messages_are_too_few_for_three_parts(tmp_path):
    write_catalog(tmp_path / "de" / "LC_MESSAGES" / "a.mo", MESSAGES)
    with pytest.raises(ValueError, match="`data` must hold messages for each part, got 3 in all"):
        open_pairs(str(tmp_path), "en-de", held_out=0.1, vocabulary=400)


def test_a_folder_of_catalogs_becomes_pairs_of_any_language_with_english(tmp_path):
    messages = {f"Move the object number {k} away": f"Déplacer l'objet numéro {k} ailleurs" for k in range(200)}
    write_catalog(tmp_path / "fr" / "LC_MESSAGES" / "a.mo", messages)
    data = open_pairs(str(tmp_path), "fr-en", held_out=0.2, vocabulary=320)
    assert len(data.train) + len(data.held_out) + len(data.test) == 200
    assert dict(data.train.pairs).items() <= {b: a for a, b in messages.items()}.items()
    with pytest.raises(ValueError, match="`languages` must be English and another language"):
        open_pairs(str(tmp_path), "fr-de", held_out=0.2, vocabulary=320)


def test_the_catalogs_of_libreoffice_give_thousands_of_pairs():
    folder = os.environ.get("LREXPLORE_CATALOGS")
    if not folder or not find_catalogs([folder], "de"):
        pytest.skip("needs LREXPLORE_CATALOGS, a folder with Debian's libreoffice-l10n-de unpacked")
    data = open_pairs(folder, "en-de", held_out=0.1, vocabulary=1000)
    assert len(data.train) > 8000 and len(data.held_out) > 800 and len(data.test) > 800
    assert sum(len(source.split()) >= 4 for source, _ in data.train.pairs) > 5000
