import pytest

from lrexplore.datasets.text import open_pairs, open_texts
from lrexplore.datasets.text.text_pairs import part_of, read_pair_files, split_pairs, without_duplicates


def write(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, lines in texts.items():
        (folder / name.replace("_", ".")).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


ENGLISH = [f"sentence number {k} is here" for k in range(300)]
GERMAN = [f"Satz Nummer {k} ist hier" for k in range(300)]


def test_line_n_of_one_file_translates_line_n_of_the_other(tmp_path):
    folder = write(tmp_path / "a", train_en=ENGLISH, train_de=GERMAN)
    parts = read_pair_files(folder, ("de", "en"), 0.1)
    every = [*parts.train, *parts.held_out, *parts.test]
    assert sorted(every) == sorted(zip(GERMAN, ENGLISH, strict=True))
    assert read_pair_files(folder / "train", ("de", "en"), 0.1) == parts


def test_files_for_a_part_are_that_part_and_what_they_hold_does_not_train(tmp_path):
    folder = write(tmp_path / "a", train_en=ENGLISH, train_de=GERMAN, dev_en=ENGLISH[:5], dev_de=GERMAN[:5],
                   test_en=ENGLISH[5:9], test_de=GERMAN[5:9])  # fmt: skip
    parts = read_pair_files(folder, ("en", "de"), 0.1)
    assert [a for a, _ in parts.held_out] == ENGLISH[:5] and [a for a, _ in parts.test] == ENGLISH[5:9]
    assert [a for a, _ in parts.train] == ENGLISH[9:]


def test_a_message_is_in_one_part_whatever_other_messages_there_are():
    pairs = list(zip(ENGLISH, GERMAN, strict=True))
    whole, half = split_pairs(pairs, 0.1), split_pairs(pairs[::2], 0.1)
    for part in ("train", "held_out", "test"):
        assert set(getattr(half, part)) == set(getattr(whole, part)) & set(pairs[::2])
    assert part_of("Save the FILE…", 0.1) == part_of("save the file", 0.1)


def test_no_source_and_no_translation_stands_in_two_parts():
    pairs = [("Insert row", "Zeile einfügen"), ("insert row!", "Zeile"), ("Add row", "Zeile einfügen."), ("b", "c")]
    assert without_duplicates(pairs) == [("Insert row", "Zeile einfügen"), ("b", "c")]


def test_files_of_unlike_length_missing_files_and_empty_ones_are_errors_in_four_parts(tmp_path):
    folder = write(tmp_path / "a", train_en=ENGLISH, train_de=GERMAN[:-1])
    with pytest.raises(ValueError, match=r"`data` must hold as many lines .* 300 in train\.en and 299 in train\.de\."):
        read_pair_files(folder, ("en", "de"), 0.1)
    with pytest.raises(FileNotFoundError, match=r"`data` must be a folder with train\.en and train\.fr.*got neither"):
        open_pairs(str(write(tmp_path / "b")), "en-fr", held_out=0.1, vocabulary=400)
    with pytest.raises(FileNotFoundError, match="`data` must be a file with text, got no such file"):
        open_pairs(str(tmp_path / "nowhere"), "en-de", held_out=0.1, vocabulary=400)
    with pytest.raises(ValueError, match="`data` must hold pairs for each part, got none for train"):
        read_pair_files(write(tmp_path / "c", train_en=[""], train_de=[""]), ("en", "de"), 0.1)


@pytest.mark.parametrize("languages", ["en", "en-en", "English-German", ""])
def test_languages_are_two_codes(languages):
    with pytest.raises(ValueError, match=r"`languages` must be two codes.*, got .*\. Write such a pair"):
        open_pairs("numbers-and-dates", languages, held_out=0.1, vocabulary=400)


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("first\n\nTür\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"`data` must be text in UTF-8, got the byte 0xfc in line 3 of .*iconv"):
        open_texts(str(path), held_out=0.1, vocabulary=400)


def test_a_text_file_is_cut_where_its_lines_are_empty_and_an_empty_one_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(f"the paragraph\nnumber {k}" for k in range(100)), encoding="utf-8")
    data = open_texts(str(path), held_out=0.2, vocabulary=320)
    assert len(data.train) + len(data.held_out) + len(data.test) == 100
    assert "the paragraph number 42" in [
        text for part in (data.train, data.held_out, data.test) for text in data.subwords.decode(part._numbers)
    ]
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(ValueError, match="`data` must hold text, got an empty file"):
        open_texts(str(path), held_out=0.1, vocabulary=400)
    with pytest.raises(ValueError, match=r"`data` must hold text, got 0 files \*\.txt or \*\.md"):
        open_texts(str(write(tmp_path / "empty")), held_out=0.1, vocabulary=400)
