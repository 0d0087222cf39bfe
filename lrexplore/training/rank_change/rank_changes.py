"""When a run changes its ranks, and to which: what `rank_change` says, as a function of the weights and the step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lrexplore.linalg import matrix_shape, stable_rank
from lrexplore.nn import FACTORIZED, factorized_layers
from lrexplore.ranks import RankPlan
from lrexplore.recipes.config import SWITCHES, Config
from lrexplore.training.chosen_ranks import candidates, chosen_ranks
from lrexplore.training.rank_change.fewer_directions import Shape, rank_within, ranks_within_budget
from lrexplore.training.rank_change.moved_layers import singular_values

SETTLED = 0.1  # of a stable rank, in an epoch
_WARMUP = {"cuttlefish": 0.5, "pufferfish": 0.25}
_BUDGET_REACHED = 0.5
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Change:
    """A layer's new rank and scheme; `old_rank` is None of one that was unfactorized."""

    layer: str
    old_rank: int | None
    new_rank: int
    scheme: str


class RankChanges:
    """Says at which steps ranks change and how; `state_dict` is all that it has to remember.

    Raises ValueError where the network does not begin as the choice needs it.
    """

    def __init__(self, config: Config, model: nn.Module, num_steps: int, steps_per_epoch: int, plan: RankPlan | None):
        self.config, self.num_steps, self.steps_per_epoch, self.plan = config, num_steps, steps_per_epoch, plan
        self.every = config.rank_change_steps or steps_per_epoch
        switches, factorized = config.rank_change in SWITCHES, bool(factorized_layers(model))
        if switches == factorized:
            needs = "an unfactorized network" if switches else "low-rank layers"
            way_out = "Start from another" if switches else "Give rank_scale, rank_ratio, a plan or a low-rank start"
            raise ValueError(
                f"`rank_change` must begin with {needs} for {config.rank_change!r}, got"
                f" {'low-rank' if factorized else 'unfactorized'} layers. {way_out}."
            )
        self.is_over = not switches  # the switch
        share = config.rank_warmup or _WARMUP.get(str(config.rank_change), _BUDGET_REACHED)
        self.warmup_steps = min(max(1, round(share * num_steps)), max(1, num_steps - 1))
        self.names = [layer.name for layer in candidates(model, config.layers)] if switches else []
        self.begun_ratio = _counts(model)[0] / _counts(model)[1]
        self.first = self.last = self._stable(model) if config.rank_change == "cuttlefish" else {}
        self.why = ""

    def due(self, step: int) -> bool:
        """Whether something may change after this many steps."""
        return step % self.every == 0 or (not self.is_over and step == self.warmup_steps)

    def find(self, model: nn.Module, step: int) -> list[Change]:
        """What changes after this many steps; `why` says by what. Remembers what it saw."""
        return self._switch(model, step) if not self.is_over else self._fewer(model, step)

    def made(self, changes: list[Change]) -> None:
        """Takes note that these changes were made."""
        self.is_over = self.is_over or bool(changes)

    def state_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"is_over": self.is_over, "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from such values."""
        self.is_over, self.last = state["is_over"], state["last"]

    def _switch(self, model: nn.Module, step: int) -> list[Change]:
        if step >= self.num_steps:
            return []
        config, self.why = self.config, "the warm-up is over"
        if config.rank_change == "pufferfish":
            if step != self.warmup_steps:
                return []
            ranks, scheme = chosen_ranks(model, config, self.plan)
            schemes = scheme if isinstance(scheme, dict) else dict.fromkeys(ranks, scheme)
            return [Change(name, None, rank, schemes[name]) for name, rank in ranks.items()]
        now = self._stable(model)
        epochs = min(step, self.every) / self.steps_per_epoch
        moved = max((abs(now[name] - self.last[name]) for name in now), default=0.0) / epochs
        if step % self.every == 0:
            self.last = now
        if step % self.every == 0 and moved <= SETTLED:
            self.why = f"stable ranks have settled: none moved by more than {moved:.2g} in an epoch"
        elif step != self.warmup_steps:
            return []
        changes = (self._scaled(model, name, stable) for name, stable in now.items())
        return [change for change in changes if change is not None]

    def _scaled(self, model: nn.Module, name: str, now: float) -> Change | None:
        """The layer at its stable rank times what made that the full rank at first; None where nothing is saved."""
        m, n = self._shape(model, name)[1:]
        rank = max(1, round(min(m, n) * now / self.first[name]))
        return Change(name, None, rank, self.config.scheme) if rank * (m + n) < m * n else None

    def _fewer(self, model: nn.Module, step: int) -> list[Change]:
        config = self.config
        layers = {name: module for name, module in factorized_layers(model).items() if module.left.requires_grad}
        values = {name: singular_values(module, config.scheme) for name, module in layers.items()}
        tolerance = config.rank_tolerance or (_TOLERANCE if config.rank_change == "tolerance" else None)
        ranks: dict[str, int] = {}
        if tolerance is not None:
            self.why = f"the last directions carry at most {tolerance:g} of the squared norm"
            ranks = {name: rank_within(spectrum, tolerance) for name, spectrum in values.items()}
        elif config.rank_budget is not None:
            reached = min(1.0, step / self.warmup_steps)
            target = self.begun_ratio + (config.rank_budget - self.begun_ratio) * reached
            has, full = _counts(model)
            self.why = f"a budget of {target:.3g} of the parameters"
            shapes = {name: self._shape(model, name) for name in layers}
            ranks = ranks_within_budget(values, shapes, has - int(target * full))
        return [
            Change(name, layers[name].rank, rank, getattr(layers[name], "scheme", "channel"))
            for name, rank in ranks.items() if rank < layers[name].rank
        ]  # fmt: skip

    def _stable(self, model: nn.Module) -> dict[str, float]:
        """The mean over groups of each layer's stable rank."""
        stable_ranks = {}
        for name in self.names:
            module = model.get_submodule(name)
            if not next(module.parameters()).requires_grad:
                continue
            values = singular_values(module, self.config.scheme)
            stable_ranks[name] = sum(stable_rank(group) for group in values) / len(values)
        return stable_ranks

    def _shape(self, model: nn.Module, name: str) -> Shape:
        module: Any = model.get_submodule(name)
        groups = getattr(module, "groups", 1)
        if isinstance(module, FACTORIZED):
            return groups, len(module.left) // groups, module.right.shape[1]
        shape = (len(module.weight) // groups, *module.weight.shape[1:])
        return (groups, *matrix_shape(shape, self.config.scheme))


@torch.no_grad()
def _counts(model: nn.Module) -> tuple[int, int]:
    """Parameters of the network as it is, and with unfactorized layers."""
    has = full = sum(parameter.numel() for parameter in model.parameters())
    for module in factorized_layers(model).values():
        full += torch.Size(module.weight_shape).numel() - module.left.numel() - module.right.numel()
    return has, full
