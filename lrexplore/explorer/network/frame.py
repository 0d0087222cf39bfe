"""What the Network tab has on screen: the board of one set of curves, and the patches that move it."""

import numpy as np

from lrexplore.explorer.network.compute import SHARES, Allocation, Front, ratio_of
from lrexplore.explorer.network.figures import (
    NUM_PICTURES,
    filling_heat_plot,
    filling_heat_update,
    front_caption,
    front_plot,
    front_update,
    heat_plot,
    heat_update,
    measured_update,
    point_update,
    ranks_plot,
    ranks_update,
    samples_plot,
    samples_update,
)
from lrexplore.explorer.network.judge import Judge, Verdict
from lrexplore.explorer.network.readouts import (
    agreement_readouts,
    blank_readouts,
    cost_readouts,
    measured_text,
    missing_agreement,
)
from lrexplore.explorer.network.state import BUDGETS, Wish
from lrexplore.explorer.panel.panel import PlotPanel
from lrexplore.explorer.real_inputs import GAUSSIAN, IMPLIED, YOURS
from lrexplore.explorer.subject import Subject
from lrexplore.ranks import FROM_NORMS, PLAIN, RankPlan
from lrexplore.ranks import GAUSSIAN as GAUSSIAN_INPUTS
from lrexplore.ranks import YOURS as YOUR_INPUTS

STEP = 0.005
WORDS = {GAUSSIAN: GAUSSIAN_INPUTS, IMPLIED: FROM_NORMS, YOURS: YOUR_INPUTS}


class Board:
    """The panel of the Network tab. Every method sends at most one message; callers hold the tab's lock."""

    def __init__(self, subject: Subject, allocation: Allocation, judge: Judge):
        self.panel = PlotPanel()
        self._subject = subject
        self.renew(allocation, judge)
        self._device = str(next(subject.model.parameters()).device)
        self._class_names = allocation.origin.class_names()

    def renew(self, allocation: Allocation, judge: Judge) -> None:
        """Show what these compute from now on, on other inputs than before."""
        self._allocation, self._judge = allocation, judge
        self._drawn = self._no_samples = ""
        self._worded: RankPlan | None = None

    def show(self, wish: Wish) -> None:
        """Draw the plan of a wish: by a patch where the plots stay, else by a new frame.

        The slider is left where it is: a person may be moving it just now.
        """
        drawn, patch = self._key(wish), self._patch(wish)
        if drawn == self._drawn:
            self.panel.amend(patch)
            return
        self._drawn = drawn
        self.panel.show(self._frame(wish))
        self.panel.amend(patch)
        self.show_verdict(wish)

    def wait(self, wish: Wish) -> None:
        """Say that what is on screen is not what is chosen: it is dimmed, and nothing in it can be moved."""
        if self.panel.frame:
            if self._drawn != _filling_key(wish):
                self._amend({"waiting": True})
            return
        title = f"whole network · the curves of {len(self._subject.whole_network)} layers are computed first"
        self.panel.show({"key": "waiting", "board": True, "title": title, "readouts": [], "plots": []})

    def show_curves(self, wish: Wish) -> None:
        """Draw the curves that are there so far, and nothing that needs all of them."""
        drawn = _filling_key(wish)
        errors, inputs = self._errors(wish), self._inputs(wish)
        num_curves = int(np.isfinite(errors).all(0).sum())
        total = len(self._subject.whole_network)
        title = f"whole network · partial: {num_curves} of {total} layers so far · {self._choices(wish)}"
        if drawn != self._drawn:
            self._drawn = drawn
            plot = filling_heat_plot(self._subject.whole_network, SHARES, inputs, wish.initializer)
            self.panel.show({"key": drawn, "board": True, "title": title, "readouts": [], "plots": [plot]})
        self._amend({"title": title, "plots": {"heat": filling_heat_update(errors, self._near(wish))}})

    def show_front(self, fronts: dict[str, Front]) -> None:
        """Draw the fronts of some methods."""
        data = {}
        for method, front in fronts.items():
            data |= front_update(method, front.ratios, front.errors)
        self._amend({"plots": {"front": {"data": data}}})

    def show_verdict(self, wish: Wish) -> None:
        """Write what both networks say, as far as it is known of the plan of a wish."""
        plan = self._allocation.plan(wish)
        original = self._judge.known(None)
        if original is None:
            return
        verdict = self._judge.known(plan)
        patch = {"readouts": self._agreement(verdict, plan), "plots": {}}
        if wish.weights != PLAIN:
            patch["plots"]["front"] = self._measured(wish)
        if self._pictures() is not None:
            patch["plots"]["samples"] = {"images": self._words(original, verdict)}
            self._worded = None if verdict is None else plan
        self._amend(patch)

    def tell_no_samples(self, reason: str) -> None:
        """Say in place of the agreement why there is none."""
        self._no_samples = reason
        self._amend({"readouts": self._agreement(None)})

    def _full_ranks(self, scheme: str) -> np.ndarray:
        return np.array([self._subject.full_rank(name, scheme) for name in self._subject.whole_network])

    def _amend(self, patch: dict) -> None:
        if self.panel.frame:
            self.panel.amend({"key": self.panel.frame["key"], **patch})

    def _pictures(self) -> np.ndarray | None:
        return self._allocation.samples.pictures if self._judge.known(None) is not None else None

    def _frame(self, wish: Wish) -> dict:
        names = self._subject.whole_network
        unit = BUDGETS[wish.budget]
        smallest = self._allocation.smallest(wish)
        plots = [
            ranks_plot(names, self._full_ranks(wish.scheme)),
            heat_plot(names, SHARES, self._errors(wish), self._near(wish), self._inputs(wish), wish.initializer),
            front_plot(unit, self._named(wish.inputs), weighed=wish.weights != PLAIN),
        ]
        if self._pictures() is not None:
            plots.append(samples_plot(self._pictures(), random=self._allocation.origin.is_random))
        return {
            "key": self._key(wish),
            "board": True,
            "title": f"whole network · {len(names)} {self._counted()} can be factorized · {self._choices(wish)}",
            "about": self._subject.name,
            "slider": {"label": "budget", "unit": f"× the {unit}", "min": smallest, "max": 1.0, "step": STEP,
                       "marks": _marks(smallest)},
            "readouts": blank_readouts(),
            "plots": plots,
        }  # fmt: skip

    def _counted(self) -> str:
        return "layers and products of heads" if self._subject.heads else "layers"

    def _key(self, wish: Wish) -> str:
        return "|".join((*wish.curves, wish.weights, wish.budget, str(self._pictures() is not None)))

    def _choices(self, wish: Wish) -> str:
        weights = "" if wish.weights == PLAIN else f", layers weighed by {wish.weights}"
        return f"{self._inputs(wish)}, {wish.initializer}, {wish.scheme}{weights}"

    def _inputs(self, wish: Wish) -> str:
        words, origin = self._named(wish.inputs), self._allocation.origin
        return f"{words} ({origin.source})" if wish.inputs == YOURS and origin.loader is not None else words

    def _named(self, inputs: str) -> str:
        """Inputs in two words: those for which nobody gave a loader are nobody's."""
        origin = self._allocation.origin
        return origin.source if inputs == YOURS and origin.loader is None else WORDS[inputs]

    def _errors(self, wish: Wish) -> np.ndarray:
        """Errors (shares, layers) of the curves that are there, else NaN."""
        errors, nothing = self._allocation.errors(wish), np.full(len(SHARES), np.nan)
        return np.stack([errors.get(name, nothing) for name in self._subject.whole_network], axis=1)

    def _near(self, wish: Wish) -> np.ndarray:
        near, nothing = self._allocation.near(wish), np.zeros(len(SHARES), dtype=bool)
        return np.stack([near.get(name, nothing) for name in self._subject.whole_network], axis=1)

    def _patch(self, wish: Wish) -> dict:
        """Everything that a plan moves."""
        plan, smallest = self._allocation.plan(wish), self._allocation.smallest(wish)
        shares, states, words = self._bars(wish, plan)
        ratio = ratio_of(plan, wish.budget)
        off_the_map = np.where(np.array(states) == "left as it is", -1.0, shares)
        samples = {}
        if self._worded is not None and self._worded != plan:  # what it said belongs to another plan
            self._worded = None
            samples = {"samples": {"images": self._words(self._judge.known(None), None)}}
        return {
            "key": self._key(wish),
            "value": wish.ratio,
            "waiting": False,
            "slider": {"min": smallest, "marks": _marks(smallest)},
            "readouts": self._costs(wish, plan) | self._agreement(self._judge.known(plan), plan),
            "plots": {
                "ranks": {"data": ranks_update(shares, states, words)},
                "heat": {"data": heat_update(off_the_map)},
                "front": {"data": point_update(ratio, plan.error)},
                **samples,
            },
        }

    def _bars(self, wish: Wish, plan: RankPlan) -> tuple[np.ndarray, list[str], list[str]]:
        layers = {layer.name: layer for layer in plan.layers}
        pins = dict(wish.pins)
        shares, states, words = [], [], []
        for name, full in zip(self._subject.whole_network, self._full_ranks(wish.scheme), strict=True):
            layer = layers[name]
            shares.append(1.0 if layer.rank is None else layer.rank / full)
            states.append("pinned" if name in pins else "left as it is" if layer.rank is None else "factorized")
            kept = layer.parameters_after / layer.parameters_before
            rank = "left as it is" if layer.rank is None else f"rank {layer.rank} of {full} ({layer.scheme})"
            pinned = ", pinned" if name in pins else ""
            about = "≈\u2009" if self._allocation.is_near(wish, layer) else ""
            words.append(
                f"{name}<br>{rank}{pinned}<br>{kept:.3g} × its parameters<br>function error {about}{layer.error:.3g}"
                + ("" if wish.weights == PLAIN else f" × sensitivity {layer.weight:.3g}")
            )
        return np.array(shares), states, words

    def _costs(self, wish: Wish, plan: RankPlan) -> dict[str, dict]:
        num_layers = len(self._subject.whole_network)
        probed = self._allocation.probed_on(wish) if plan.weights != PLAIN else ""
        inputs = self._named(YOURS) if plan.inputs == YOUR_INPUTS else plan.inputs
        costs = cost_readouts(plan, inputs, num_layers, probed, self._allocation.latency_ratio(plan), self._device)
        costs["error"]["near"] = any(self._allocation.is_near(wish, layer) for layer in plan.layers)
        return costs

    def _agreement(self, verdict: Verdict | None, plan: RankPlan | None = None) -> dict[str, dict]:
        if self._no_samples:
            return missing_agreement(self._no_samples)
        if self._judge.known(None) is None:
            return agreement_readouts(None, 0, "")
        predicted = plan.error if plan is not None and plan.weights not in (PLAIN, "given") else None
        return agreement_readouts(verdict, self._judge.num, self._allocation.samples.source, predicted)

    def _measured(self, wish: Wish) -> dict:
        """What was measured of plans like this one, beside what was predicted."""
        rows = []
        for plan, verdict in self._judge.judged(wish):
            if wish.budget != "latency_ratio" or plan.latency_ms is not None:
                rows.append((ratio_of(plan, wish.budget), plan.error, verdict.divergence))
        ratios, predicted, measured = np.array(rows).reshape(-1, 3).T
        said = measured_text(predicted, measured, self._judge.num)
        caption = front_caption(self._named(wish.inputs), weighed=True, measured=said)
        return {"data": measured_update(ratios, predicted, measured), "caption": caption}

    def _words(self, original: Verdict, verdict: Verdict | None) -> dict:
        lines, marks = [], []
        for number in range(min(NUM_PICTURES, len(original.before))):
            before = self._said(original.before[number], original.before_share[number])
            after, mark = "…", ""
            if verdict is not None:
                after = self._said(verdict.after[number], verdict.after_share[number])
                mark = "same" if verdict.before[number] == verdict.after[number] else "changed"
            lines.append([f"before: {before}", f"after: {after}"])
            marks.append(mark)
        return samples_update(lines, marks)

    def _said(self, number: int, share: float) -> str:
        name = self._class_names[number] if self._class_names else f"class {number}"
        return f"{name}, {share:.0%}"


def _filling_key(wish: Wish) -> str:
    return "|".join(("partial", *wish.curves))


def _marks(smallest: float) -> list[dict]:
    marks = [{"value": smallest, "label": f"smallest {smallest:g}"}]
    return marks + [{"value": value, "label": f"{value:g}"} for value in (0.5, 1.0) if value > smallest + 0.1]
