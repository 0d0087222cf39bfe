"""What a run is: every choice that its numbers depend on, and a few that they do not."""

import os
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

INITIALIZER_NAMES = ("independent", "spectral", "rescaled", "function", "sampled", "spectral-matched")
DECAY_NAMES = ("frobenius", "weight", "none", "normalized")
CHOICES: dict[str, tuple[str, ...]] = {
    "initializer": INITIALIZER_NAMES,
    "scheme": ("channel", "spatial"),
    "execution": ("factors", "product", "fastest"),
    "decay": DECAY_NAMES,
    "layers": ("inner", "convolutions", "all"),
    "rank_rule": ("smaller-side", "fnl"),
    "draw": ("default", "truncated-normal"),
    "optimizer": ("sgd", "adamw"),
    "schedule": ("cosine", "step"),
    "warmup": ("linear", "constant"),
    "device": ("auto", "cpu", "cuda"),
    "precision": ("32", "bf16", "16"),
    "corrupt": ("skip", "fail"),
}
# What a resumed run may change without its numbers changing.
FREE = ("runs", "name", "resume", "device", "workers", "checkpoint_steps", "tensorboard", "corrupt")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run. Without `rank_scale`, `rank_ratio` and `plan` the network stays unfactorized.

    `layers`: "inner" factorizes all but the first convolution and the last linear layer, "convolutions" every
    convolution, "all" everything that saves parameters. `rank_ratio` asks for the rank scale that keeps this
    fraction of all parameters. `initializer="spectral-matched"` is a control: spectral times one factor for
    the whole network, so that its norm is that of "function". `decay="none"` leaves the factors without decay;
    "normalized" also keeps every factorized layer at the norms that the run in `norms_from` had.
    `execution`: how factorized layers compute, see `lrexplore.nn.execution`; "fastest" measures that before the first
    step and keeps it in the run's description, so that a resumed run computes alike.

    `batch_size` counts the images of one optimizer step, all processes together; `micro_batch_size` those
    one process takes at once (default: its share). With the same `micro_batch_size` any number of processes
    gives the same numbers, batch norm included. `epochs` or `steps` says how long. `decay_norms`: whether
    batch norm and biases get weight decay too. `ema`: evaluations use an exponential average of the weights
    and running statistics that keeps this share of itself at every step. `milestones` are fractions of the
    run at which `schedule="step"` multiplies the rate by `step_factor`; `warmup_epochs` start at 0
    ("linear") or at a tenth of the rate ("constant").
    """

    model: str
    data: str = "fashion-mnist"
    num_images: int | None = None
    held_out: float = 0.1
    image_size: int = 224
    augment: bool = True
    rank_scale: float | None = None
    rank_ratio: float | None = None
    plan: str | None = None
    rank_rule: str = "smaller-side"
    rank_multiple: int = 1
    layers: str = "inner"
    initializer: str = "function"
    scheme: str = "channel"
    execution: str = "factors"
    draw: str = "default"
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
    tensorboard: bool = False
    runs: str = "runs"
    name: str | None = None
    resume: bool = False

    def __post_init__(self):
        for field in ("runs", "plan", "norms_from"):
            if isinstance(getattr(self, field), str):
                object.__setattr__(self, field, os.path.expanduser(getattr(self, field)))
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                _refuse(field, f"one of {', '.join(allowed)}", repr(getattr(self, field)), "Choose one of them")
        if sum(value is not None for value in (self.rank_scale, self.rank_ratio, self.plan)) > 1:
            _refuse("rank_scale", "the only one of `rank_scale`, `rank_ratio` and `plan`", "several", "Give one")
        if (self.epochs is None) == (self.steps is None):
            _refuse("epochs", "given, or `steps`", "both or neither", "Give one of them")
        for field, low, high in (
            *(("rank_scale", 0, 1), ("rank_ratio", 0, 1), ("decay_strength", -1e-300, 1e6), ("lr", 0, 1e6)),
            *(("epochs", 0, 1e6), ("clip_norm", 0, float("inf")), ("label_smoothing", -1e-300, 1), ("ema", 0, 1)),
        ):
            value = getattr(self, field)
            if value is not None and not low < value <= high:
                _refuse(field, f"a number in ({max(low, 0):g}, {high:g}]", value, "Choose one in that range")
        for field in ("steps", "batch_size", "micro_batch_size", "checkpoint_steps", "norms_steps", "rank_multiple"):
            value = getattr(self, field)
            if value is not None and (not isinstance(value, int) or value < 1):
                _refuse(field, "a whole number >= 1", repr(value), "Choose one")
        if self.rank_multiple > 1 and (self.rank_scale is None or self.rank_rule != "smaller-side"):
            _refuse("rank_multiple", "1 but with a `rank_scale` by the rule smaller-side", self.rank_multiple,
                    "Leave it out")  # fmt: skip
        if (self.decay == "normalized") != (self.norms_from is not None):
            _refuse("norms_from", 'the folder of a run for `decay="normalized"`, and for nothing else',
                    repr(self.norms_from), "Give both or neither")  # fmt: skip
        if self.name is not None and (not self.name or "/" in self.name or self.name.startswith(".")):
            _refuse("name", "the name of a folder", repr(self.name), "Put the place into `runs`")

    @property
    def factorized(self) -> bool:
        """Whether layers are replaced by factor pairs."""
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

    def with_name(self, name: str) -> "Config":
        """The same run by another name."""
        return replace(self, name=name)


def _refuse(field: str, rule: str, got, way_out: str) -> None:
    raise ValueError(f"`{field}` must be {rule}, got {got}. {way_out}.")
