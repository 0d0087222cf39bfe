"""Number words, dates and times of day in English and German, made by rules: a first translation without any data.

It is no language: each pair follows from a number or a date by the rules of `number_words` and those below. What a
network learns of it is to spell, to move words and to take the ten behind the one.
"""

import datetime
import random
from collections.abc import Callable

from lrexplore.datasets.text.number_words import (
    english,
    english_place,
    english_year,
    german,
    german_place,
    german_year,
)
from lrexplore.datasets.text.text_pairs import Pair, without_duplicates

NAME = "numbers-and-dates"
NUM_PAIRS = 12_000
_SEED = 20_210
_DAYS = (
    ("Monday", "Montag"), ("Tuesday", "Dienstag"), ("Wednesday", "Mittwoch"), ("Thursday", "Donnerstag"),
    ("Friday", "Freitag"), ("Saturday", "Samstag"), ("Sunday", "Sonntag"),
)  # fmt: skip
_MONTHS = (
    ("January", "Januar"), ("February", "Februar"), ("March", "März"), ("April", "April"), ("May", "Mai"),
    ("June", "Juni"), ("July", "Juli"), ("August", "August"), ("September", "September"), ("October", "Oktober"),
    ("November", "November"), ("December", "Dezember"),
)  # fmt: skip
_THINGS = (
    ("houses", "Häuser"), ("books", "Bücher"), ("trees", "Bäume"), ("letters", "Briefe"), ("days", "Tage"),
    ("cities", "Städte"), ("bridges", "Brücken"), ("children", "Kinder"), ("songs", "Lieder"), ("stones", "Steine"),
    ("roads", "Straßen"), ("windows", "Fenster"), ("ships", "Schiffe"), ("gardens", "Gärten"), ("birds", "Vögel"),
)  # fmt: skip
_EVENTS = (
    ("The meeting", "Die Sitzung"), ("The journey", "Die Reise"), ("The concert", "Das Konzert"),
    ("The lecture", "Die Vorlesung"), ("The wedding", "Die Hochzeit"), ("The market", "Der Markt"),
)  # fmt: skip


def generated_pairs(count: int = NUM_PAIRS) -> list[Pair]:
    """So many different pairs (English, German), always the same ones."""
    draws = random.Random(_SEED)
    kinds: tuple[Callable[[random.Random], Pair], ...] = (_number, _counted, _date, _event, _time_of_day)
    pairs: list[Pair] = []
    while len(pairs) < count:
        drawn = [draws.choice(kinds)(draws) for _ in range(count)]
        pairs = without_duplicates([*pairs, *drawn])[:count]
    return pairs


def _number(draws: random.Random) -> Pair:
    number = draws.randrange(10 ** draws.randint(2, 6))
    return english(number), german(number)


def _counted(draws: random.Random) -> Pair:
    number = 2 + draws.randrange(10 ** draws.randint(1, 4))
    number += number % 100 == 1  # before a noun such a number would be bent
    things = draws.choice(_THINGS)
    return f"{english(number)} {things[0]}", f"{german(number)} {things[1]}"


def _date(draws: random.Random) -> Pair:
    day, months, years, days = _drawn_date(draws)
    return (
        f"{days[0]}, the {english_place(day)} of {months[0]} {years[0]}",
        f"{days[1]}, der {german_place(day)} {months[1]} {years[1]}",
    )


def _event(draws: random.Random) -> Pair:
    day, months, years, days = _drawn_date(draws)
    events = draws.choice(_EVENTS)
    return (
        f"{events[0]} is on {days[0]}, the {english_place(day)} of {months[0]} {years[0]}.",
        f"{events[1]} ist am {days[1]}, dem {german_place(day)}n {months[1]} {years[1]}.",
    )


def _time_of_day(draws: random.Random) -> Pair:
    hour, events, days = draws.randint(1, 11), draws.choice(_EVENTS), draws.choice(_DAYS)
    minutes = draws.choice((5, 10, 15, 20, 30, 40, 45, 50, 55))
    if minutes == 30:
        times = f"half past {english(hour)}", f"halb {german(hour + 1)}"
    elif minutes < 30:
        said = ("a quarter", "Viertel") if minutes == 15 else (english(minutes), german(minutes))
        times = f"{said[0]} past {english(hour)}", f"{said[1]} nach {german(hour)}"
    else:
        left = 60 - minutes
        said = ("a quarter", "Viertel") if left == 15 else (english(left), german(left))
        times = f"{said[0]} to {english(hour + 1)}", f"{said[1]} vor {german(hour + 1)}"
    return (
        f"{events[0]} begins on {days[0]} at {times[0]}.",
        f"{events[1]} beginnt am {days[1]} um {times[1]}.",
    )


def _drawn_date(draws: random.Random) -> tuple[int, Pair, Pair, Pair]:
    """Day, names of the month, words for the year, names of the weekday, which is that of the date."""
    first = datetime.date(1900, 1, 1).toordinal()
    date = datetime.date.fromordinal(first + draws.randrange(365 * 199))
    return date.day, _MONTHS[date.month - 1], (english_year(date.year), german_year(date.year)), _DAYS[date.weekday()]
