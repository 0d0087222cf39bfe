"""What a run is: every choice that its numbers depend on, and a few that they do not."""

import os
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from importlib.metadata import entry_points
from numbers import Integral, Real
from typing import Any, NoReturn

from lrexplore.recipes.by_layer import patterns, rates
from lrexplore.recipes.references import is_reference, reference_of

INITIALIZER_NAMES = ("function", "spectral", "rescaled", "independent", "sampled", "spectral-matched")
LANGUAGE_MODELS = ("translation", "masked-lm")
HEAD_CHOICES = ("head_scale", "qk_initializer", "ov_initializer", "qk_decay", "ov_decay")
_HEAD_INITIALIZERS, _HEAD_DECAYS = ("drawn", "balanced", "spectral"), ("frobenius", "weight", "none")
SWITCHES = ("cuttlefish", "pufferfish")
DECAY_NAMES = ("frobenius", "weight", "nuclear", "none", "normalized", "scaled")
FORM_NAMES = ("matrix", "tucker", "tt", "cp")
TENSOR_STARTS = ("rescaled", "spectral", "independent")
REWIRED = ("gradual", "set", "rigl")
PRUNINGS = ("magnitude", "snip", "grasp", "random", *REWIRED)
CHOICES: dict[str, tuple[str, ...]] = {
    "initializer": INITIALIZER_NAMES,
    "scheme": ("channel", "spatial"),
    "execution": ("factors", "product", "fastest"),
    "decay": DECAY_NAMES,
    "form": FORM_NAMES,
    "prune": PRUNINGS,
    "layers": ("inner", "convolutions", "all"),
    "rank_rule": ("smaller-side", "fnl"),
    "overcomplete": ("full", "deep", "wide"),
    "rank_change": (*SWITCHES, "tolerance", "budget"),
    "draw": ("default", "truncated-normal"),
    "optimizer": ("sgd", "adamw", "lamb"),
    "schedule": ("cosine", "step", "inverse-sqrt"),
    "qk_initializer": _HEAD_INITIALIZERS,
    "ov_initializer": _HEAD_INITIALIZERS,
    "qk_decay": _HEAD_DECAYS,
    "ov_decay": _HEAD_DECAYS,
    "warmup": ("linear", "constant"),
    "device": ("auto", "cpu", "cuda"),
    "precision": ("32", "bf16", "16"),
    "corrupt": ("skip", "fail"),
}
# The range of every number: what is checked, and what a message says.
RANGES = {
    "held_out": "[0, 1)", "rank_scale": "(0, 1]", "rank_ratio": "(0, 1]", "decay_strength": "[0, 1e6]",
    "lr": "(0, 1e6]", "momentum": "[0, 1)", "clip_norm": "(0, 1e30]", "label_smoothing": "[0, 1]", "ema": "(0, 1]",
    "head_scale": "(0, 1]", "dropout": "[0, 1)",
    "warmup_epochs": "[0, 1e6]", "step_factor": "(0, 1]", "epochs": "(0, 1e6]", "teacher_weight": "[0, 1]",
    "temperature": "(0, 1e3]", "sparsity": "(0, 1)", "rank_tolerance": "(0, 1)", "rank_budget": "(0, 1)",
    "rank_warmup": "(0, 1)",
}  # fmt: skip
SMALLEST = {
    "num_images": 1, "image_size": 1, "rank_multiple": 1, "steps": 1, "batch_size": 1, "micro_batch_size": 1, "seed": 0,
    "workers": 0, "checkpoint_steps": 1, "norms_steps": 1, "spectra_steps": 1, "vocabulary": 300, "beam": 1,
    "cutout": 1, "rank_change_steps": 1,
}  # fmt: skip
_BELOW = 2**63
# What a resumed run may change without its numbers changing.
FREE = ("runs", "name", "resume", "device", "workers", "checkpoint_steps", "tensorboard", "corrupt")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run. `model` and `data` are names, or functions of your own as "package.module:function". Without
    `rank_scale`, `rank_ratio` and `plan` the network stays unfactorized.

    `layers`: "inner" factorizes all but the first convolution and the last linear layer, "convolutions" every
    convolution, "all" everything that saves parameters. `rank_ratio` asks for the rank scale that keeps this
    fraction of all parameters. `initializer="spectral-matched"` is a control: spectral times one factor for
    the whole network, so that its norm is that of "function". `decay="none"` leaves the factors without decay;
    "nuclear" penalizes the sum of the singular values: on factors it is "weight", exactly so where they are balanced;
    in an unfactorized network the layers that could be factorized lose lr * decay_strength of every singular value a
    step, ten steps at once (`lrexplore.optim.nuclear_decay`), and an event says at the end how long that took.
    "normalized" also keeps every factorized layer at the norms that the run in `norms_from` had; "scaled" is weight
    decay, on the factors times the share of parameters that they leave.
    `execution`: how factorized layers compute, see `lrexplore.nn.execution`; "fastest" measures that before the first
    step and keeps it in the run's description, so that a resumed run computes alike.

    `form`: what kernels become, factor pairs ("matrix") or products of more tensors (`lrexplore.linalg.tensors`), which
    start "rescaled" (their default), "spectral" or "independent"; layers without that form stay as they are. All ranks
    of a layer are the same share of its full ones: `scheme`, `rank_rule` and `execution` concern matrices only.
    `sparsity`: the share of single weights, of the same layers, that are zero in the end, chosen by `prune`:
    "magnitude" (the default), "snip", "grasp" (on the first batch) or "random" before the first step, "gradual"
    magnitude on the way, or "set" and "rigl", which drop the smallest and grow others, at random or by gradient
    (`lrexplore.training.forms.rewiring`).

    `cutout`: the side of a square that is set to the mean in every training image, at a place drawn anew; not in what a
    teacher sees.

    `batch_size` counts the images of one optimizer step, all processes together; `micro_batch_size` those
    one process takes at once (default: its share). With the same `micro_batch_size` any number of processes
    gives the same numbers, batch norm included. `epochs` or `steps` says how long. `decay_norms`: whether
    batch norm and biases get weight decay too. `ema`: evaluations use an exponential average of the weights
    and running statistics that keeps this share of itself at every step. `milestones` are fractions of the
    run at which `schedule="step"` multiplies the rate by `step_factor`; `warmup_epochs` start at 0
    ("linear") or at a tenth of the rate ("constant"). `schedule="inverse-sqrt"`: then as 1 / sqrt(step).

    The models "translation" and "masked-lm" train on text: `batch_size` and `micro_batch_size` count pieces of words
    (`vocabulary` of them are learned), `num_images` counts pairs or texts, top-1 the pieces guessed right. `languages`:
    source and target. `head_scale` is the share of its dimensions that each attention head keeps; `qk_initializer` and
    `ov_initializer` say how its products query-key and output-value start: as "drawn", "balanced", or "spectral", the
    best ones of that size for the heads drawn in full; `qk_decay` and `ov_decay` what decays, with `decay_strength`:
    the squared norm of the product ("frobenius"), the weights, or nothing. Linear layers have the choices of any
    factorized layer. `beam`: how many translations of a sentence are carried on when BLEU is measured.

    `record_spectra`: every `spectra_steps` steps (by default about ten times a run, 20 steps or more apart), before the
    first and after the last one, the singular values of every layer are recorded, and what cutting it then would cost.

    `start`: a file of `lr.save` (a factorized network comes with its ranks and its plan), a checkpoint of weights, the
    folder of a run, or "imagenet" for published weights; classes that differ get a new classifier. `teacher`:
    "original", the network of `start` before the ranks chosen here cut it, or one to read as `start` is. What is
    minimized is then (1 - teacher_weight) of the labels' cross-entropy and teacher_weight of the divergence from the
    teacher's answers, both softened by `temperature` and multiplied by its square; with 1 labels play no part.
    `overcomplete`: the layers train as products wider than they are, see `lr.overcomplete`: "full" and "wide" (three
    times as wide) of two factors, "deep" of three. They start as what was drawn; `lr.load` of the run gives ordinary
    ones.
    `rank_change`: ranks that change while the run trains, every `rank_change_steps` steps (an epoch by default).
    "cuttlefish" (Wang et al. 2023, arXiv:2305.02538) trains unfactorized until no stable rank moves by more than .1 in
    an epoch, and at most for `rank_warmup` of the run (half of it); each layer's rank is then its stable rank times
    what made that the full rank at first. "pufferfish" (Wang et al. 2021, arXiv:2103.03936) trains unfactorized for
    `rank_warmup` of the run (a quarter) and then at the ranks that are chosen. Both keep the largest singular
    directions, whatever `initializer` says. "tolerance" cuts last directions that carry less than `rank_tolerance`
    (1e-3) of a layer's squared norm, "budget" those that carry the least for their cost until the network has
    `rank_budget` of the unfactorized one's parameters, which it reaches evenly by `rank_warmup` of the run (half of
    it). After a switch either one goes on if it is given. What the optimizer remembers is carried over
    (`lrexplore.training.rank_change`).
    `freeze` names layers that stay as they are, statistics of batch norms included, `layer_lr` the share of the rate
    that others get, as in "stages.0,conv1" and "stages.*=0.1,fc=10": a name means all under it, and the last that fits
    counts.
    """

    model: str
    data: str = "fashion-mnist"
    num_images: int | None = None
    held_out: float = 0.1
    image_size: int = 224
    augment: bool = True
    cutout: int | None = None
    rank_scale: float | None = None
    rank_ratio: float | None = None
    plan: str | None = None
    start: str | None = None
    teacher: str | None = None
    teacher_weight: float = 0.5
    temperature: float = 2.0
    freeze: str | None = None
    layer_lr: str | None = None
    rank_rule: str = "smaller-side"
    rank_multiple: int = 1
    overcomplete: str | None = None
    rank_change: str | None = None
    rank_tolerance: float | None = None
    rank_budget: float | None = None
    rank_warmup: float | None = None
    rank_change_steps: int | None = None
    layers: str = "inner"
    form: str = "matrix"
    sparsity: float | None = None
    prune: str = "magnitude"
    initializer: str = "function"
    scheme: str = "channel"
    execution: str = "factors"
    draw: str = "default"
    head_scale: float = 1.0
    qk_initializer: str = "drawn"
    ov_initializer: str = "drawn"
    qk_decay: str = "weight"
    ov_decay: str = "weight"
    dropout: float = 0.0
    languages: str = "en-de"
    vocabulary: int = 8000
    beam: int = 4
    decay: str = "frobenius"
    decay_strength: float = 1e-3
    decay_norms: bool = True
    norms_from: str | None = None
    record_norms: bool = False
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    ema: float | None = None
    schedule: str = "cosine"
    warmup: str = "linear"
    warmup_epochs: float = 0.5
    milestones: tuple[float, ...] = (0.5, 0.75)
    step_factor: float = 0.1
    recipe: str = "short"
    epochs: float | None = 4.0
    steps: int | None = None
    batch_size: int = 128
    micro_batch_size: int | None = None
    seed: int = 0
    precision: str = "32"
    channels_last: bool = False
    compile: bool = False
    device: str = "auto"
    workers: int = 4
    corrupt: str = "skip"
    checkpoint_steps: int = 500
    norms_steps: int | None = None
    record_spectra: bool = True
    spectra_steps: int | None = None
    tensorboard: bool = False
    runs: str = "runs"
    name: str | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        for name in kinds():
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        for field in ("runs", "plan", "norms_from", "start", "teacher"):
            if isinstance(getattr(self, field), str):
                object.__setattr__(self, field, os.path.expanduser(getattr(self, field)))
        if sum(value is not None for value in (self.rank_scale, self.rank_ratio, self.plan)) > 1:
            _refuse("rank_scale", "the only one of `rank_scale`, `rank_ratio` and `plan`", "several", "Give one")
        if (self.epochs is None) == (self.steps is None):
            _refuse("epochs", "given, or `steps`", "both or neither", "Give one of them")
        if self.rank_multiple > 1 and (self.rank_scale is None or self.rank_rule != "smaller-side"):
            _refuse("rank_multiple", "1 but with a `rank_scale` by the rule smaller-side", self.rank_multiple,
                    "Leave it out")  # fmt: skip
        if (self.decay == "normalized") != (self.norms_from is not None):
            _refuse("norms_from", 'the folder of a run for `decay="normalized"`, and for nothing else',
                    repr(self.norms_from), "Give both or neither")  # fmt: skip
        if self.teacher == "original" and self.start is None:
            _refuse("teacher", '"original" only with a `start` that is cut here', "no `start`", "Give one, or a file")
        self._check_form()
        self._check_overcomplete()
        self._check_rank_change()
        patterns(self.freeze)
        rates(self.layer_lr)
        if self.name is not None and (self.name.startswith(".") or not {"/", "\\"}.isdisjoint(self.name)):
            _refuse("name", "the name of a folder", repr(self.name), "Put the place into `runs`")

    def _check_form(self) -> None:
        """Raises ValueError for choices that the form or the sparsity has no meaning for."""
        if self.form != "matrix":
            if self.rank_scale is None and self.rank_ratio is None:
                _refuse("form", "matrix without a `rank_scale` or a `rank_ratio`", repr(self.form), "Give one of them")
            if self.initializer not in TENSOR_STARTS:
                _refuse("initializer", f"one of {', '.join(TENSOR_STARTS)} for the form {self.form}",
                        repr(self.initializer), "Choose one of them")  # fmt: skip
            if self.decay in ("nuclear", "normalized"):
                _refuse("decay", f"one that the form {self.form} has", repr(self.decay), "Use frobenius or weight")
            if self.execution != "factors" or self.rank_multiple != 1:
                _refuse("execution", f"factors, and `rank_multiple` 1, for the form {self.form}",
                        f"{self.execution!r} and {self.rank_multiple}", "Leave them out")  # fmt: skip
        if self.model in LANGUAGE_MODELS and (self.form != "matrix" or self.sparsity is not None or self.cutout):
            _refuse("model", "a network for images with a `form`, a `sparsity` or a `cutout`", repr(self.model),
                    "Leave them out")  # fmt: skip
        if self.sparsity is None:
            if self.prune != "magnitude":
                _refuse("prune", "left out without a `sparsity`", repr(self.prune), "Give the share of zeros")
            return
        if self.factorized:
            _refuse("sparsity", "left out where layers are factorized", f"{self.sparsity} and ranks", "Give one")
        if self.decay in ("nuclear", "normalized"):
            _refuse("decay", "weight or none for sparse layers", repr(self.decay), "Use weight")
        if self.ema is not None and self.prune in REWIRED:
            _refuse("ema", f"left out with `prune='{self.prune}'`, whose mask moves", str(self.ema), "Leave it out")

    def _check_overcomplete(self) -> None:
        if self.overcomplete is None:
            return
        if self.factorized or self.rank_change is not None:
            _refuse("overcomplete", "left out for low-rank layers", repr(self.overcomplete), "Leave out one of both")
        if self.start is not None:
            _refuse("overcomplete", "left out with a `start`", repr(self.overcomplete), "Leave out one of both")
        if self.decay in ("nuclear", "normalized"):
            _refuse(
                "decay", "frobenius, weight or none for overcomplete layers", repr(self.decay), "Choose one of them"
            )
        if self.execution != "factors":
            _refuse("execution", "left out for overcomplete layers, which run as one operation", repr(self.execution),
                    "Leave it out")  # fmt: skip

    def _check_rank_change(self) -> None:
        how = self.rank_change
        for name in ("rank_tolerance", "rank_budget", "rank_warmup", "rank_change_steps"):
            if how is None and getattr(self, name) is not None:
                _refuse(name, "left out without a `rank_change`", repr(getattr(self, name)), "Say how ranks change")
        if how is not None and (self.form != "matrix" or self.sparsity is not None):
            _refuse(
                "rank_change", "left out with a `form` of tensors or a `sparsity`", repr(how), "Leave out one of both"
            )
        if self.rank_tolerance is not None and self.rank_budget is not None:
            _refuse("rank_tolerance", "given, or `rank_budget`", "both", "Give one of them")
        if how == "tolerance" and self.rank_budget is not None:
            _refuse("rank_budget", "left out where a tolerance decides", repr(self.rank_budget), 'Use "budget"')
        if how == "budget" and self.rank_budget is None:
            _refuse("rank_budget", "given where a budget decides", "none", "Say the share of all parameters to keep")
        if how == "cuttlefish" and self.factorized:
            _refuse("rank_change", '"cuttlefish" only without ranks, which it finds', "ranks", "Leave them out")
        if how == "pufferfish" and not self.factorized:
            _refuse("rank_change", '"pufferfish" only with the ranks to switch to', "none", "Give a rank_scale")
        if how not in SWITCHES:
            return
        for name, taken in (("execution", "fastest"), ("decay", "normalized"), ("record_norms", True)):
            if getattr(self, name) == taken:
                _refuse(name, "another where layers are factorized on the way", repr(taken), "Choose another")

    @property
    def factorized(self) -> bool:
        """Whether layers are replaced by factors."""
        return (self.rank_scale, self.rank_ratio, self.plan) != (None, None, None)

    def as_dict(self) -> dict[str, Any]:
        """The choices as JSON's types."""
        return {**asdict(self), "milestones": list(self.milestones)}

    def as_resumed(self, recorded: dict[str, Any]) -> "Config":
        """This configuration, when it says what the recorded one says. ValueError names the first difference."""
        mine = self.as_dict()
        for field in fields(self):
            if field.name in recorded and field.name not in FREE and mine[field.name] != recorded[field.name]:
                _refuse(field.name, f"{recorded[field.name]!r} to resume the run {self.name}",
                        repr(mine[field.name]), "Use the choices it was started with, or another name")  # fmt: skip
        return self

    @classmethod
    def of_record(cls, recorded: Mapping[str, Any]) -> "Config":
        """The configuration in a run.json, also in one of an older or a newer version of lrexplore."""
        return cls(**{name: value for name, value in recorded.items() if name in kinds()})

    def with_name(self, name: str) -> "Config":
        """The same run by another name."""
        return replace(self, name=name)


@cache
def kinds() -> dict[str, type]:
    """The type of every choice, without the None of those that need not be made."""
    hints = typing.get_type_hints(Config)
    by_name = {}
    for field in fields(Config):
        kind = hints[field.name]
        if isinstance(kind, types.UnionType):
            kind = next(option for option in typing.get_args(kind) if option is not type(None))
        by_name[field.name] = kind
    return by_name


@cache
def _optional() -> set[str]:
    return {field.name for field in fields(Config) if field.default is None or field.name in ("epochs", "steps")}


def _checked(name: str, value: Any) -> Any:
    """A choice in plain types. ValueError where it is none that the field can have."""
    kind = kinds()[name]
    if value is None and name in _optional():
        return None
    if name in ("model", "data", "initializer") and callable(value):
        value = reference_of(value, name)
    if name == "initializer" and isinstance(value, str) and (is_reference(value) or value in _offered()):
        return value
    if name in CHOICES:
        if not isinstance(value, str) or value not in CHOICES[name]:
            _refuse(name, f"one of {', '.join(CHOICES[name])}", repr(value), "Choose one of them")
    elif kind is bool:
        if not isinstance(value, bool):
            _refuse(name, "True or False", repr(value), "Choose one of them")
    elif kind is int:
        low = SMALLEST[name]
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not is_whole or not low <= value < _BELOW:
            _refuse(name, f"a whole number in {low}..2^63-1", repr(value), "Choose one in that range")
        return int(value)
    elif kind is float:
        if not _lies_in(value, RANGES[name]):
            _refuse(name, f"a number in {RANGES[name]}", repr(value), "Choose one in that range")
        return value if isinstance(value, int) else float(value)
    elif name == "milestones":
        if not isinstance(value, tuple | list) or not value or not all(_lies_in(one, "[0, 1]") for one in value):
            _refuse(name, "fractions of the run, each a number in [0, 1]", repr(value), "Give such as (0.5, 0.75)")
        return tuple(map(float, value))
    else:
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            _refuse(name, "a text that is not empty", repr(value), "Write one, or leave it out")
    return value


def _offered() -> set[str]:
    """Names of the initializers that installed packages offer: a new process finds them too."""
    return {entry.name for entry in entry_points(group="lrexplore.initializers")}


def _lies_in(value: Any, interval: str) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number:
        return False
    low, high = map(float, interval[1:-1].split(","))
    return (low <= value if interval[0] == "[" else low < value) and (
        value <= high if interval[-1] == "]" else value < high
    )


def _refuse(field: str, rule: str, got: object, way_out: str) -> NoReturn:
    raise ValueError(f"`{field}` must be {rule}, got {got}. {way_out}.")
