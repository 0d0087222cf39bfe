"""What to compare when a folder of runs is opened: few curves that differ in one thing. Plain values; no widget."""

from collections.abc import Sequence

from lrexplore.explorer.training.groups import said_first
from lrexplore.explorer.training.listed import Listed
from lrexplore.records.choices import identity

MOST_CURVES = 6


def first_comparison(runs: Sequence[Listed]) -> list[Listed]:
    """The live runs, or else the newest arm with those arms that differ from it in one choice, with all their seeds.

    An arm is all runs that agree in every choice but the seed. Of several choices it is the one with the most arms, of
    those the most telling one; `MOST_CURVES` at most, the newest. Where no arm is so near: the newest of its model.
    Unfactorized runs only where there are no others, for they are drawn as baseline.
    """
    readable = [run for run in runs if run.state != "unreadable"]
    if live := [run for run in readable if run.is_live]:
        return live
    factorized = [run for run in readable if run.is_factorized]
    arms = _arms(factorized or readable)
    if not arms:
        return []
    newest = arms[0]
    near: dict[str, list[list[Listed]]] = {}
    for arm in arms[1:]:
        keys = [key for key in said_first([newest[0], arm[0]]) if key != "seed"]
        if len(keys) == 1:
            near.setdefault(keys[0], []).append(arm)
    ranked = [near[key] for key in said_first([arm[0] for arm in arms]) if key in near]
    same_model = [arm for arm in arms[1:] if arm[0].config.get("model") == newest[0].config.get("model")]
    chosen = max(ranked, key=len, default=same_model)  # of equally many the first, the most telling one
    names = {run.name for arm in [newest, *chosen[: MOST_CURVES - 1]] for run in arm}
    return [run for run in readable if run.name in names]


def _arms(runs: Sequence[Listed]) -> list[list[Listed]]:
    """The runs by arm, the one with the newest run first."""
    arms: dict[tuple, list[Listed]] = {}
    for run in runs:
        arms.setdefault(identity(run.choices, seed=False), []).append(run)
    return sorted(arms.values(), key=lambda arm: max(run.started for run in arm), reverse=True)
