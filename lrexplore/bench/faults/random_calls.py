"""Random calls of the public functions, with usual and odd arguments: each answer is right, or one of our errors."""

import math
import random
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import torch
from torch import nn

import lrexplore as lr
from lrexplore.bench.faults import random_things as things
from lrexplore.bench.faults.verdict import Tally, Wrong
from lrexplore.linalg import SCHEMES, matrix_shape

_ODDNESS = 0.22
_GAUSSIAN = ("function", "spectral", "rescaled", "independent")


class _Arguments:
    """Arguments of one call: `of(usual)` is the usual one, or now and then anything at all."""

    def __init__(self, draw: random.Random, folder: Path):
        self.draw, self.folder, self.num_odd = draw, folder, 0

    def of(self, usual: Any) -> Any:
        if self.draw.random() > _ODDNESS:
            return usual
        self.num_odd += 1
        return things.odd(self.draw)

    def maybe(self, **usual: Any) -> dict[str, Any]:
        """Each of these options given or not, and odd or not."""
        return {name: self.of(value) for name, value in usual.items() if self.draw.random() < 0.5}

    def path(self, name: str) -> Any:
        """A path in the folder of this call."""
        return self.of(self.draw.choice((str(self.folder / name), self.folder / name, self.folder / "no" / name)))


def _expect(true: Any, words: str) -> None:
    if not true:
        raise Wrong(words)


def _is_error(value: float, most: float = math.inf) -> None:
    _expect(isinstance(value, float) and 0 <= value <= most, f"an error of {value!r}")


def _spectrum(given: _Arguments) -> None:
    table = lr.spectrum(given.of(things.weight(given.draw)), **given.maybe(scheme=given.draw.choice(SCHEMES)))
    values = table["singular_value"].to_numpy()
    _expect((values[:-1] >= values[1:]).all() and (values >= 0).all(), f"singular values {values}")
    _expect(abs(table["energy"].iloc[-1] - 1) < 1e-6, f"an energy of {table['energy'].iloc[-1]}")


def _error(given: _Arguments) -> None:
    weight, scheme = things.weight(given.draw), given.draw.choice(SCHEMES)
    factors = given.of(things.factors(given.draw, weight, scheme))
    if given.draw.random() < 0.3:
        _is_error(lr.frobenius_error(given.of(weight), factors))
        return
    follows = things.batch_norm(given.draw, len(weight))
    options = given.maybe(activation=things.activation(given.draw), batch_norm=follows)
    _is_error(lr.function_error(given.of(weight), factors, **options))


def _initialize(given: _Arguments) -> None:
    weight, scheme = things.weight(given.draw), given.draw.choice(SCHEMES)
    m, n = matrix_shape(weight.shape, scheme)
    rank = given.draw.randint(1, min(m, n))
    options = given.maybe(
        initializer=given.draw.choice(_GAUSSIAN), activation=things.activation(given.draw),
        batch_norm=things.batch_norm(given.draw, len(weight)), generator=things.seeded(given.draw), calibration=None,
    )  # fmt: skip
    if given.draw.random() < 0.05:
        options[given.draw.choice(("num_starts", "num_steps", "words"))] = things.odd(given.draw)
    if callable(options.get("initializer")):
        return  # what a person's own function raises is theirs
    scheme = given.of(scheme)
    made = lr.initialize(given.of(weight), given.of(rank), scheme=scheme, **options)
    if given.num_odd:
        return
    _expect(made.left.shape == (m, rank) and made.right.shape == (rank, n), f"factors {made.left.shape}")
    _expect(made.left.dtype == weight.dtype, f"factors of {made.left.dtype} for {weight.dtype}")
    finite = torch.isfinite(made.left.float()).all() and torch.isfinite(made.right.float()).all()
    _expect(finite, f"factors that are not finite, {options}, {weight.dtype}, peak {weight.abs().max():g}")
    name = options.get("initializer", "function")
    if rank == min(m, n) and name != "independent" and weight.dtype in (torch.float32, torch.float64):
        about = {key: options[key] for key in ("activation", "batch_norm") if key in options}
        lost = lr.function_error(weight, made, **about)
        _expect(lost < 1e-4 or float(weight.abs().max()) < 1e-37, f"full rank loses {lost}: {name} {about}")


def _curve(given: _Arguments) -> None:
    weight, scheme = things.weight(given.draw), given.draw.choice(SCHEMES)
    full = min(matrix_shape(weight.shape, scheme))
    options = given.maybe(
        initializer=given.draw.choice(_GAUSSIAN), ranks=sorted({1, full}), scheme=scheme,
        activation=things.activation(given.draw), batch_norm=things.batch_norm(given.draw, len(weight)),
    )  # fmt: skip
    if callable(options.get("initializer")):
        return
    table = lr.error_curve(given.of(weight), **options)
    for name in ("function_error", "frobenius_error"):
        values = table[name].to_numpy()
        _expect((values >= 0).all(), f"{name} {values}, {options}, {weight.dtype}, peak {weight.abs().max():g}")


def _floor(given: _Arguments) -> None:
    weight, scheme = things.weight(given.draw), given.draw.choice(SCHEMES)
    rank = given.draw.randint(1, min(matrix_shape(weight.shape, scheme)))
    options = given.maybe(
        activation=things.activation(given.draw), batch_norm=things.batch_norm(given.draw, len(weight))
    )
    kind = given.draw.randrange(3)
    if kind == 0:
        limit, scheme = given.of(0.05), given.of(scheme)
        _is_error(lr.lower_bound(given.of(weight), given.of(rank), scheme=scheme, time_limit_s=limit, **options), 1.0)
    elif kind == 1:
        made = given.of(things.factors(given.draw, weight, scheme))
        floor = lr.certificate(given.of(weight), made, time_limit_s=given.of(0.05), **options)
        _expect(0 <= floor.lower_bound <= floor.error + 1e-9 and floor.gap >= 0, str(floor))
    else:
        proven = lr.provable(given.of(weight), given.of(1), eps=given.of(0.1), time_limit_s=given.of(0.1))
        _expect(0 <= proven.lower_bound <= proven.error + 1e-9, str(proven[1:]))


def _parts(given: _Arguments) -> None:
    draw, kind = given.draw, given.draw.randrange(6)
    if kind == 0:
        lr.Factors(given.of(torch.ones(4, 2)), given.of(torch.ones(2, 3))).balanced()
    elif kind == 1:
        layer = lr.FactorizedLinear(given.of(6), given.of(4), given.of(2), **given.maybe(bias=False))
        _expect(layer.collapse()(torch.zeros(2, layer.in_features)).shape == (2, layer.out_features), "another shape")
    elif kind == 2:
        options = given.maybe(stride=2, padding=1, dilation=1, groups=1, scheme="spatial", bias=True)
        conv = lr.FactorizedConv2d(given.of(4), given.of(6), given.of(3), given.of(2), **options)
        _expect(conv(torch.zeros(1, conv.in_channels, 9, 9)).shape[1] == conv.out_channels, "another shape")
    elif kind == 3:
        name = given.of(f"made{draw.randrange(10**9)}")
        function = given.of(draw.choice((torch.tanh, torch.relu, torch.exp, lambda u: u * 0 / 0, torch.nn.Softmax(0))))
        record = lr.activation(name, function, **given.maybe(modules=()))
        lr.ACTIVATIONS._records.pop(record.name)
    elif kind == 4:
        name = given.of(f"made{draw.randrange(10**9)}")
        lr.initializer(name, **given.maybe(inputs="gaussian", nested=False))(given.of(lr.INITIALIZERS["spectral"].make))
        lr.INITIALIZERS.discard(name)
        lr.REAL_INPUTS.discard(name)
    else:
        _expect(torch.isfinite(lr.ACTIVATIONS["relu"].dual(given.of(0.5), *draw.choice(((), (1.0, 2.0))))).all(), "NaN")


def _network(given: _Arguments) -> None:
    draw, kind, net = given.draw, given.draw.randrange(10), things.model(given.draw)
    if kind < 3:
        options = {
            draw.choice(("rank_scale", "rank_scale", "rank_scale", "ranks", "plan")): given.of(0.3),
            **given.maybe(initializer=draw.choice((*_GAUSSIAN, "whitened")), scheme="channel", rank_multiple=2,
                          loader=things.loader(draw), calibration=None, correct_norms=True, generator=None),
        }  # fmt: skip
        small = lr.factorize(given.of(net), **options)
        lr.report(small)
        _expect(isinstance(lr.collapse(small), nn.Module), "no module")
        lr.set_execution(small, given.of(draw.choice(("factors", "product"))))
    elif kind == 3:
        budget = draw.choice(("parameter_ratio", "parameter_ratio", "flop_ratio"))
        options = given.maybe(
            initializer=draw.choice((*_GAUSSIAN, "whitened")), scheme=draw.choice((*SCHEMES, "best")), pinned={"0": 2},
            loader=things.loader(draw), calibration=None, weights="plain", method="optimal", rank_multiple=1,
            example_input=torch.zeros(2, 8), logits=None,
        )  # fmt: skip
        plan = lr.allocate(given.of(net), **{budget: given.of(0.8)}, use_cache=False, **options)
        _expect(lr.RankPlan.from_json(plan.to_json()) == plan, "another plan from its text")
        plan.save(given.path("plan.json"))
    elif kind == 4:
        calibration = lr.calibrate(given.of(net), given.of(things.loader(draw)), **given.maybe(layers=["0"]))
        calibration.save(given.path("inputs.safetensors"))
        for name in calibration:
            _expect(torch.isfinite(calibration[name].second_moment).all(), "moments that are not finite")
            weight = net.get_submodule(name).weight
            made = lr.initialize(given.of(weight), given.of(1), initializer="whitened", calibration=calibration[name])
            _expect(
                lr.input_error(given.of(weight), given.of(made), given.of(calibration[name])) >= 0, "a negative error"
            )
    elif kind == 5:
        path = given.path("net.safetensors")
        lr.save(given.of(net), path, **given.maybe(architecture=None))
        again = lr.load(path, **given.maybe(model=net))
        _expect(set(again.state_dict()) == set(net.state_dict()), "other tensors")
    elif kind == 6:
        for table in (
            lr.layers(given.of(net), **given.maybe(example_input=torch.zeros(2, 8))),
            lr.report(given.of(net)),
        ):
            _expect(table is not None, "no table")
    elif kind == 7:
        lr.compare(given.of(net), given.of(net), given.of(things.loader(draw)), **given.maybe(latency_rounds=0))
    elif kind == 8:
        decay = given.of(draw.choice(("frobenius", "weight", "none")))
        groups = lr.parameter_groups(
            given.of(net), decay=decay, decay_strength=given.of(0.1), decay_norms=given.of(True)
        )
        lr.FrobeniusDecay(given.of(net), given.of(0.1)).attach(torch.optim.SGD(groups or [torch.ones(1)], lr=0.1))
    else:
        lr.choose_execution(given.of(net), given.of(torch.zeros(2, 8)), **given.maybe(training=False, num_rounds=1))


def _outside(given: _Arguments) -> None:
    kind = given.draw.randrange(9)
    records = given.folder / "runs"
    records.mkdir(exist_ok=True)
    if kind == 0:
        lr.load_model(given.of("resnet20"), *given.maybe(weights=None).values())
    elif kind == 1:
        import numpy as np

        lr.preprocess(given.of("resnet50"), given.of(np.zeros((30, 40, 3), np.uint8)))
    elif kind == 2:
        lr.RankPlan.load(given.path("plan.json"))
    elif kind == 3:
        lr.Calibration.load(given.path("inputs.safetensors"))
    elif kind == 4:
        lr.load(given.path("net.safetensors"), given.of(None))
    elif kind == 5:
        lr.runs(given.of(records))
    elif kind == 6:
        lr.outcomes(given.of(records), **given.maybe(metric="test_top1"))
    elif kind == 7:
        run = lr.Run(given.of(records / "x"))
        run.stop(), run.records.table(given.of("steps")), run.status, run.name
    else:
        import pandas as pd

        rows = [("a", "function", 0, 0.81), ("b", "spectral", 0, 0.80), ("c", "function", 1, 0.84)]
        table = pd.DataFrame(rows, columns=["run", "initializer", "seed", "test_top1"])
        lr.intervals(given.of(table), given.of("initializer"), given.of("function"), given.of("spectral"),
                     **given.maybe(metric="test_top1", by=(), level=0.9))  # fmt: skip


def _training(given: _Arguments) -> None:
    """Choices of a run, checked as `lr.train` checks them, without the process."""
    from lrexplore.recipes.config import kinds
    from lrexplore.recipes.published import configure
    from lrexplore.training.built import check_choices

    names = given.draw.sample(sorted(set(kinds()) - {"model", "recipe"}), 2)
    options = {name: things.odd(given.draw) for name in names if given.draw.random() < 0.7}
    recipe = given.of("short")
    check_choices(configure(recipe, model=given.of("resnet20"), **options))


_CALLS: tuple[tuple[Callable[[_Arguments], None], int], ...] = (
    (_spectrum, 8), (_error, 25), (_initialize, 25), (_curve, 10), (_floor, 5), (_parts, 10), (_network, 12),
    (_outside, 8), (_training, 8),
)  # fmt: skip


def random_calls(count: int, seed: int, first: int = 0) -> Tally:
    """What came of so many calls; number k of a seed is always the same one."""
    tally = Tally("random calls")
    functions, shares = zip(*_CALLS, strict=True)
    for number in range(first, first + count):
        draw = random.Random(f"{seed} {number}")
        [call] = draw.choices(functions, shares)
        with tempfile.TemporaryDirectory(prefix="lrexplore-faults-") as folder:
            given = _Arguments(draw, Path(folder, "here"))
            given.folder.mkdir()
            with chdir(given.folder):  # where odd relative paths lead
                tally.attempt(number, lambda call=call, given=given: call(given), call.__name__)
            left = [path.name for path in Path(folder).rglob("*") if path.suffix in (".new", ".part")]
            if left:
                tally.faults.append((number, f"{call.__name__} left {left[0]}"))
    return tally
