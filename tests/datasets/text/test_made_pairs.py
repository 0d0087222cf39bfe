import pytest

from lrexplore.datasets.text import open_pairs
from lrexplore.datasets.text.docstrings import docstring_paragraphs
from lrexplore.datasets.text.generated_pairs import generated_pairs
from lrexplore.datasets.text.number_words import (
    english,
    english_place,
    english_year,
    german,
    german_place,
    german_year,
)

KNOWN = {
    0: ("zero", "null"), 1: ("one", "eins"), 16: ("sixteen", "sechzehn"), 17: ("seventeen", "siebzehn"),
    21: ("twenty-one", "einundzwanzig"), 30: ("thirty", "dreißig"), 101: ("one hundred and one", "einhunderteins"),
    1001: ("one thousand and one", "eintausendeins"),
    21_000: ("twenty-one thousand", "einundzwanzigtausend"),
    101_101: ("one hundred and one thousand one hundred and one", "einhunderteintausendeinhunderteins"),
    999_999: ("nine hundred and ninety-nine thousand nine hundred and ninety-nine",
              "neunhundertneunundneunzigtausendneunhundertneunundneunzig"),
}  # fmt: skip


@pytest.mark.parametrize("number", KNOWN)
def test_numerals_are_those_of_the_grammars(number):
    assert (english(number), german(number)) == KNOWN[number]


def value_of(words: str) -> int:
    """What an English numeral means, read from left to right."""
    units = {english(k): k for k in (*range(20), *range(20, 100, 10))}
    total = part = 0
    for word in words.replace("-", " ").replace(" and ", " ").split():
        if word == "thousand":
            total, part = 1000 * part, 0
        else:
            part = 100 * part if word == "hundred" else part + units[word]
    return total + part


def test_every_number_has_its_own_words_which_mean_it():
    numbers = [*range(2200), *range(2200, 1_000_000, 997)]
    assert [value_of(english(number)) for number in numbers] == numbers
    assert len({german(number) for number in numbers}) == len(numbers)


def test_places_and_years_are_those_of_the_grammars():
    places = {1: ("first", "erste"), 3: ("third", "dritte"), 7: ("seventh", "siebte"), 8: ("eighth", "achte"),
              12: ("twelfth", "zwölfte"), 16: ("sixteenth", "sechzehnte"), 20: ("twentieth", "zwanzigste"),
              31: ("thirty-first", "einunddreißigste")}  # fmt: skip
    assert {n: (english_place(n), german_place(n)) for n in places} == places
    years = {1900: ("nineteen hundred", "neunzehnhundert"), 1905: ("nineteen oh five", "neunzehnhundertfünf"),
             2005: ("two thousand and five", "zweitausendfünf"),
             2017: ("twenty seventeen", "zweitausendsiebzehn")}  # fmt: skip
    assert {n: (english_year(n), german_year(n)) for n in years} == years


def test_the_pairs_made_by_rules_are_always_the_same_and_no_two_alike():
    pairs = generated_pairs(3000)
    assert pairs == generated_pairs(3000)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 3000
    assert any(a.startswith("The meeting is on ") and b.startswith("Die Sitzung ist am ") for a, b in pairs)


def test_they_go_between_english_and_german_only():
    with pytest.raises(ValueError, match="`languages` must be en-de or de-en for numbers-and-dates, got en-fr"):
        open_pairs("numbers-and-dates", "en-fr", held_out=0.1, vocabulary=400)
    ways = [
        open_pairs("numbers-and-dates", way, held_out=0.1, vocabulary=400, num_pairs=50) for way in ("en-de", "de-en")
    ]
    assert [(b, a) for a, b in ways[0].train.pairs] == ways[1].train.pairs


def test_the_docstrings_of_a_package_are_prose_of_its_own():
    found = docstring_paragraphs(("numpy",))
    assert len(found) > 500
    files, texts = zip(*found, strict=True)
    assert all(file.startswith("numpy/") for file in files) and len(set(texts)) == len(texts)
    assert not any(">>>" in text or "-----" in text or "\n" in text for text in texts)


def test_without_any_of_the_packages_the_way_out_is_a_file():
    with pytest.raises(ModuleNotFoundError, match="`data` must find one of the packages nonesuch.*Name a text file"):
        docstring_paragraphs(("nonesuch",))
