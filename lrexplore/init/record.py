"""Everything that is known of an initializer, in one record."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any

import torch

from lrexplore.init.problem import Problem
from lrexplore.linalg import Factors

INPUTS = ("gaussian", "real", "implied")


@dataclass(frozen=True, kw_only=True, eq=False)
class Initializer:
    """An initializer: `make(problem, rank, *, generator, **options) -> Factors`, and what else is known of it.

    `inputs`: "gaussian" for one that needs the weight alone, "real" for one that also takes `calibration`, what is
    known of the layer's inputs; "implied" for one whose `calibration` is what the batch norms imply. `nested`: the
    factors of rank r are, up to scale, the first r columns and rows of those of any larger rank, so that all ranks come
    from one call. `slow`: one rank is long work already. `color` and `marker` (a plotly symbol) stand for it in every
    picture.

    The rest is for initializers of ours. `all_ranks(problem, ranks, generator)`: errors at many ranks by a formula.
    `in_sequence`: each layer of a network is fitted behind those before it; of one layer alone it is `whitened`.
    `whitening`: the options of `Whitening` of which it is the truncation. `on_step`: the option that takes a callback
    by which a long fit can be ended, `steps_often` options with which it is called more often for the same result.
    """

    name: str
    make: Callable[..., Factors]
    inputs: str = "gaussian"
    nested: bool = False
    slow: bool = False
    color: str = "#222222"
    marker: str = "circle"
    is_ours: bool = False
    all_ranks: Callable[..., Any] | None = None
    in_sequence: bool = False
    whitening: Mapping[str, bool] | None = None
    on_step: str | None = None
    steps_often: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_real(self) -> bool:
        """Whether it needs the layer's `calibration`."""
        return self.inputs != "gaussian"

    @property
    def is_implied(self) -> bool:
        """Whether that is what the network's batch norms imply (`lr.implied_inputs`)."""
        return self.inputs == "implied"

    def __call__(
        self, problem: Problem, rank: int, *, generator: torch.Generator | None = None, **options: Any
    ) -> Factors:
        """The factors of a rank. Raises ValueError where another person's initializer gives none that fit."""
        if options:
            self._check_options(options)
        if self.is_ours:
            return self.make(problem, rank, generator=generator, **options)
        if generator is None:
            generator = torch.Generator(problem.matrix.device).manual_seed(0)
        return self._checked(self.make(problem, rank, generator=generator, **options), problem, rank)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        taken = signature(self.make).parameters
        if any(one.kind is Parameter.VAR_KEYWORD for one in taken.values()):
            return
        options_taken = [name for name in taken if name not in ("problem", "rank", "generator")]
        for name in options:
            if name not in options_taken:
                way_out = f"It takes {', '.join(options_taken)}." if options_taken else "Leave it out."
                raise TypeError(f"`{name}` must be an option of the initializer, got {self.name!r}. {way_out}")

    def _checked(self, made: Any, problem: Problem, rank: int) -> Factors:
        if isinstance(made, tuple) and len(made) == 2:
            made = Factors(*made)
        if not isinstance(made, Factors):
            raise TypeError(
                f"`initializer` {self.name} must give `Factors(left, right)`, got a {type(made).__name__}. Return them."
            )
        (m, n), shape = problem.matrix.shape, (tuple(made.left.shape), tuple(made.right.shape))
        if shape != ((m, rank), (rank, n)):
            raise ValueError(
                f"`initializer` {self.name} must give factors ({m}, {rank}) and ({rank}, {n}) at rank {rank}, got "
                f"{shape[0]} and {shape[1]}. Return `left` (m, r) and `right` (r, n)."
            )
        made = made.to(problem.matrix)
        if not (torch.isfinite(made.left).all() and torch.isfinite(made.right).all()):
            raise ValueError(
                f"`initializer` {self.name} must give finite factors, got NaN or inf at rank {rank}. Mend it, or "
                "choose another."
            )
        return made


class Registry(Mapping[str, Initializer]):
    """Initializers by name, in the order in which they came; those of other packages are read when first asked for.

    `|` gives a dict of both.
    """

    def __init__(self, records: Iterable[Initializer], load: Callable[[], None] = lambda: None):
        self._records = {record.name: record for record in records}
        self._load = load

    def add(self, record: Initializer) -> None:
        """Take a record, in the place of one of its name."""
        self._records[record.name] = record

    def discard(self, name: str) -> None:
        """Forget a record, if it is there."""
        self._records.pop(name, None)

    def __getitem__(self, name: str) -> Initializer:
        if name not in self._records:
            self._load()
        return self._records[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(tuple(self._records))

    def __len__(self) -> int:
        self._load()
        return len(self._records)

    def __or__(self, other: Mapping[str, Initializer]) -> dict[str, Initializer]:
        return {**self, **other}
