"""Numbers in words, in English and German: up to 999,999, places in an order, years."""

_ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_ENGLISH_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_GERMAN = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn"
    " achtzehn neunzehn"
).split()
_GERMAN_TENS = "_ _ zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
_ENGLISH_PLACES = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
                   "nine": "ninth", "twelve": "twelfth"}  # fmt: skip
_GERMAN_PLACES = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte"}


def english(number: int) -> str:
    """An English numeral, 0..999,999: "three hundred and five thousand and two"."""
    if number >= 1000:
        more = number % 1000
        joint = " and " if 0 < more < 100 else " "
        return f"{english(number // 1000)} thousand" + (joint + english(more) if more else "")
    if number >= 100:
        return f"{_ENGLISH[number // 100]} hundred" + (f" and {english(number % 100)}" if number % 100 else "")
    if number >= 20:
        return _ENGLISH_TENS[number // 10] + (f"-{_ENGLISH[number % 10]}" if number % 10 else "")
    return _ENGLISH[number]


def german(number: int) -> str:
    """A German numeral, 0..999,999: "dreihundertfünftausendzwei"."""
    return _german(number, last="eins")


def _german(number: int, last: str) -> str:
    """The same with `last` for a one that ends it: eins, or ein before what it counts."""
    if number >= 1000:
        return _german(number // 1000, "ein") + "tausend" + (_german(number % 1000, last) if number % 1000 else "")
    if number >= 100:
        return _german(number // 100, "ein") + "hundert" + (_german(number % 100, last) if number % 100 else "")
    if number >= 20:
        return (_german(number % 10, "ein") + "und" if number % 10 else "") + _GERMAN_TENS[number // 10]
    return last if number == 1 else _GERMAN[number]


def english_place(number: int) -> str:
    """An English ordinal, 1..99: "twenty-first"."""
    head, hyphen, tail = english(number).rpartition("-")
    tail = _ENGLISH_PLACES.get(tail) or (f"{tail[:-1]}ieth" if tail.endswith("y") else f"{tail}th")
    return head + hyphen + tail


def german_place(number: int) -> str:
    """A German ordinal, 1..99, weak ending: "einundzwanzigste"."""
    return german(number) + "ste" if number >= 20 else _GERMAN_PLACES.get(number, german(number) + "te")


def english_year(year: int) -> str:
    """An English year, 1100..2099, as it is said: "nineteen oh five", "two thousand and five", "twenty seventeen"."""
    century, rest = divmod(year, 100)
    if 2000 <= year < 2010:
        return english(year)
    if rest == 0:
        return f"{english(century)} hundred"
    return f"{english(century)} {'oh ' if rest < 10 else ''}{english(rest)}"


def german_year(year: int) -> str:
    """A German year, 1100..2099, as it is said: "neunzehnhundertfünf", "zweitausendsiebzehn"."""
    if year >= 2000:
        return german(year)
    return german(year // 100) + "hundert" + (german(year % 100) if year % 100 else "")
