"""Which runs make one curve, what it is called, and how it is drawn. Plain values; no widget, no tensor."""

from collections import ChainMap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lrexplore.explorer.training.listed import Listed
from lrexplore.records.choices import FACTORS, UNFACTORIZED, differing, identity
from lrexplore.theory.styles import STYLES

GROUPINGS = {
    "all but the seed": None,
    "single runs": "run",
    "initializer": "initializer",
    "rank scale": "rank_scale",
    "decay": "decay",
}
"""What a person chooses -> the choice that the runs of a curve share; None: every choice but the seed."""

RUN_STYLES = ChainMap(
    {"spectral-matched": ("#77AADD", "square-open"), UNFACTORIZED: ("#AA3377", "circle-open")}, STYLES
)
BASELINE = ("currentColor", "dash")  # the panel draws it in the color of its text
# Of Paul Tol's muted palette, and some more, what is seen on white and on black, and is no initializer's color.
COLORS = ("#6699CC", "#CC6677", "#997700", "#AA4499", "#88CCEE", "#DDCC77", "#EE8866", "#5FA85A", "#B58BDB", "#8D6E63",
          "#00ACC1", "#9CCC65")  # fmt: skip
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "circle-open", "diamond-open", "square-open")
DASHES = ("solid", "dot", "dashdot", "longdash", "longdashdot")

# What is said first in a name, and what is said where nothing differs.
_FIRST = ("model", "initializer", "rank_scale", "rank_ratio", "plan", "decay", "decay_strength", "scheme", "data")
_ALONE = ("initializer", "rank_scale", "rank_ratio", "plan", "decay")


@dataclass(frozen=True)
class Group:
    """Runs that make one curve: `name`, and how it looks. `varies` names the choices that differ among them."""

    name: str
    runs: tuple[Listed, ...]
    color: str
    dash: str = "solid"
    symbol: str = "circle"
    varies: tuple[str, ...] = ()
    is_baseline: bool = False

    @property
    def repeats(self) -> list[tuple[Listed, ...]]:
        """The runs, those that repeat each other together: the same choices and the same seed."""
        alike: dict[tuple, list[Listed]] = {}
        for run in self.runs:
            alike.setdefault(identity(run.choices), []).append(run)
        return [tuple(runs) for runs in alike.values()]

    @property
    def label(self) -> str:
        """The name with how many seeds, and of how many runs where these are more, it stands for."""
        seeds, runs = len({run.config.get("seed") for run in self.runs}), len(self.runs)
        words = f"{seeds} {'seeds' if seeds > 1 else 'seed'}"
        words = words if runs == seeds else f"{runs} runs of {words}"
        return f"{'baseline: ' if self.is_baseline else ''}{self.name}{f' ({words})' if runs > 1 else ''}"


def group_runs(
    runs: Sequence[Listed], grouping: str, baseline: Sequence[Listed] = (), listed: Sequence[Listed] = ()
) -> list[Group]:
    """The curves of these runs, the baseline's last. A run of the baseline is in no other curve.

    `listed` are all runs that there are: a choice has one color among them, whichever of them are compared.
    """
    names = {run.name for run in baseline}
    everyone = sorted(listed or runs, key=lambda run: (run.started or float("inf"), run.name))  # the newest ones last
    groups = _groups([run for run in runs if run.name not in names], GROUPINGS[grouping], everyone)
    color, dash = BASELINE
    dashed = _groups(baseline, None, everyone)
    return groups + [replace(group, color=color, dash=dash, symbol="circle", is_baseline=True) for group in dashed]


def shared(runs: Sequence[Listed]) -> str:
    """The choices that make a name and are the same for all these runs, in words."""
    every = [run.choices for run in runs]
    alike = [key for key in ("model", "data", *_ALONE) if len({str(made.get(key)) for made in every}) == 1]
    return ", ".join(word for key in alike if (word := said(key, every[0].get(key))))


def said(key: str, value) -> str:
    """A choice in words; nothing for one that was not made."""
    if value is None:
        return ""
    if key == "decay":
        return {"none": "no decay", "normalized": "norms kept, no decay"}.get(value, f"{value} decay")
    if key in ("model", "initializer", "data"):
        return str(value)
    if key == "plan":
        return f"plan that keeps {value}" if value.endswith(")") else f"plan {value}"
    return f"{key.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"


def _groups(runs: Sequence[Listed], by: str | None, everyone: Sequence[Listed]) -> list[Group]:
    buckets: dict[tuple, list[Listed]] = {}
    for run in runs:
        buckets.setdefault(_key(run, by), []).append(run)
    heads = [bucket[0] for bucket in buckets.values()]
    keys = _telling(heads, by)
    made_by_all = [run.choices for run in everyone] if keys else []
    values = {key: list(dict.fromkeys(str(made.get(key)) for made in made_by_all)) for key in keys}
    groups = []
    for head, bucket in zip(heads, buckets.values(), strict=True):
        made = head.choices
        words = [said(key, made.get(key)) for key in keys or _ALONE]
        name = " · ".join(word for word in words if word)
        style = _style(made, [(key, values[key].index(str(made.get(key)))) for key in keys])
        if not head.is_factorized and by not in (None, "run"):
            name = UNFACTORIZED
        name = name or (head.name if head.is_factorized else UNFACTORIZED)
        groups.append(Group(name, tuple(bucket), *style, varies=tuple(differing([run.choices for run in bucket]))))
    repeated = {group.name for group in groups if by == "run" and [one.name for one in groups].count(group.name) > 1}
    groups = [replace(group, name=group.runs[0].name) if group.name in repeated else group for group in groups]
    return list(_told_apart(groups))


def _told_apart(groups: Sequence[Group]) -> Iterator[Group]:
    """The groups, one that would look like an earlier one with another dash, or else another marker as well."""
    lines, looks = set(), set()
    for group in groups:
        dashes = (group.dash, *(dash for dash in DASHES if dash != group.dash))
        symbols = (group.symbol, *(symbol for symbol in SYMBOLS if symbol != group.symbol))
        own = [(dash, group.symbol) for dash in dashes if (group.color, dash) not in lines]
        other = [(dash, symbol) for symbol in symbols for dash in dashes if (group.color, dash, symbol) not in looks]
        dash, symbol = next(iter([*own, *other]), (group.dash, group.symbol))
        lines.add((group.color, dash))
        looks.add((group.color, dash, symbol))
        yield replace(group, dash=dash, symbol=symbol)


def _key(run: Listed, by: str | None) -> tuple:
    if by == "run":
        return (run.name,)
    if by is not None:
        return (str(run.config.get(by)) if run.is_factorized else UNFACTORIZED,)
    return identity(run.choices, seed=False)


def _telling(heads: list[Listed], by: str | None) -> list[str]:
    """The choices that tell these runs apart, the initializer first where there is more than one."""
    if by in GROUPINGS.values() and by not in (None, "run"):
        return [by]
    factorized = [run for run in heads if run.is_factorized]
    keys = said_first(factorized)
    others = [key for key in said_first(heads) if key not in (*keys, *FACTORS)]
    both = ["initializer"] if len(factorized) < len(heads) else []
    telling = dict.fromkeys(sorted([*both, *keys, *others], key=lambda key: key != "initializer"))
    return [key for key in telling if by == "run" or key != "seed"]


def said_first(heads: list[Listed]) -> list[str]:
    """The choices in which these are not all alike, the most telling ones first, the seed last."""
    made = [head.choices for head in heads]
    keys = differing(made)
    if len({one["norms_from"] for one in made if one.get("norms_from")}) < 2:  # a decay with norms kept says it
        keys = [key for key in keys if key != "norms_from"]
    return [*(key for key in _FIRST if key in keys), *(key for key in keys if key not in _FIRST)]


def _style(made: dict, places: list[tuple[str, int]]) -> tuple[str, str, str]:
    """Color, dash and marker: the first choice that differs is told by color, an initializer by its own one, the
    second by dash, the third by marker. `places` has these choices, and which of all that were made each is."""
    first, place = places[0] if places else ("initializer", 0)
    if first == "initializer":
        color, symbol = RUN_STYLES.get(made["initializer"], (COLORS[place % len(COLORS)], "circle"))
    else:
        color, symbol = COLORS[place % len(COLORS)], SYMBOLS[place % len(SYMBOLS)]
    dash = DASHES[places[1][1] % len(DASHES)] if len(places) > 1 else "solid"
    return color, dash, SYMBOLS[places[2][1] % len(SYMBOLS)] if len(places) > 2 else symbol
