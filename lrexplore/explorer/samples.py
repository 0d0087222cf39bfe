"""Sample inputs of a network: those it was given, else crops of scikit-learn's photographs; and its classes' names.

Some are for calibration, others for judging: no input is both.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lrexplore.calibration import Calibration, calibrate, implied_inputs, run_model
from lrexplore.calibration.leaning import leaning
from lrexplore.datasets.loader import ImageLoader
from lrexplore.datasets.photographs import photographs
from lrexplore.explorer.own_images import OwnImages, Progress
from lrexplore.explorer.work.once import Once
from lrexplore.models import available_weights, categories, names, preprocess
from lrexplore.models.architectures import known_names
from lrexplore.network.attention import find_heads
from lrexplore.network.batches import as_example, check_loader, first_items
from lrexplore.network.grouping import Groups, check_groups, is_held_out, numbered
from lrexplore.network.private import private_copy

NUM_FIT, NUM_LOADED, BATCH_SIZE = 32, 128, 8
NUMS_JUDGED = (16, 32, 64, 128)
PICTURE_PX = 128
PREPARED_LIKE = "resnet50"  # images, for a network that has no preprocessing of its own
PHOTOGRAPHS = "crops of scikit-learn's two photographs"
NAMELESS = ("DEFAULT", "imagenet")
YOUR_LOADER, SAMPLE_PHOTOGRAPHS = "your loader", "sample photographs"


class RefusedImages(ValueError):
    """What a network says of images that it does not take."""


@dataclass(frozen=True)
class Samples:
    """`fit` and `judged`, batches as often as they are asked for; `num_judged` inputs are there to judge by.

    `pictures` (n, height, width, 3) uint8 are of the first judged inputs, if these are images. `source` says whose the
    inputs are. All batches but the last hold `BATCH_SIZE` inputs. `fit_groups` and `judged_groups` are the ids of the
    groups of the inputs (`lrexplore.network.grouping`); None where each is one.
    """

    fit: list[Tensor]
    judged: Iterable[Tensor]
    num_judged: int
    pictures: np.ndarray | None
    source: str
    fit_groups: tuple[Hashable, ...] | None = None
    judged_groups: tuple[Hashable, ...] | None = None

    def said(self, num_inputs: int) -> str:
        """So many of these inputs in words."""
        if self.source == PHOTOGRAPHS:
            return f"{num_inputs} {self.source}"
        grouped = "" if self.fit_groups is None else f" of {len(set(self.fit_groups))} groups"
        return f"{self.source} ({num_inputs} inputs{grouped})"

    @property
    def first_judged(self) -> Tensor:
        """The first batch to judge by."""
        return next(iter(self.judged))


@dataclass
class Origin:
    """Where a network came from: its name, if it has one, the weights and the loader given with it, with the groups of
    its inputs (`lrexplore.network.grouping`). A loader may be `OwnImages`, which say what they are.

    Other inputs are another origin (`with_images`): whoever works on the earlier ones has these to the end.

    Raises TypeError for a loader that cannot be iterated.
    """

    name: str | None = None
    weights: object = None
    loader: Iterable | None = None
    groups: Groups = None
    _samples: Samples | None = field(default=None, repr=False)
    _calibration: Once[Calibration] = field(default_factory=Once, repr=False)
    _implied: Once[Calibration] = field(default_factory=Once, repr=False)

    def __post_init__(self):
        check_groups(self.groups, has_loader=self.loader is not None)
        if self.loader is not None:
            check_loader(self.loader)

    @property
    def source(self) -> str:
        """Whose inputs the samples are, in two words."""
        if isinstance(self.loader, OwnImages):
            return self.loader.said
        return SAMPLE_PHOTOGRAPHS if self.loader is None else YOUR_LOADER

    def with_images(self, model: nn.Module, images: Callable[..., OwnImages], progress: Progress) -> "Origin":
        """This origin with images in the place of its loader, all read; what batch norms imply stays known.

        `images` is of `own_images`. Raises ValueError for images of which fewer than two can be read, and for a
        network that takes none.
        """
        name = self.architecture or PREPARED_LIKE
        try:
            loader = images(transform=partial(preprocess, name), progress=progress)
            other = replace(self, loader=loader, groups=None, _samples=None, _calibration=Once())
            other.samples(model)
        except RefusedImages as error:
            raise ValueError(
                f"`images` must be inputs of this network, got images prepared as for {name}, which it refused: "
                f"{error} Give batches of your own: `lr.explore(model, loader=batches)`."
            ) from None
        return other

    @property
    def architecture(self) -> str | None:
        """The name in `lr.load_model`; None for a checkpoint and for a module of one's own."""
        name = (self.name or "").lower()
        return name if name in names() else None

    @property
    def is_random(self) -> bool:
        """Whether the weights are known to be a random draw."""
        return self.architecture is not None and self.weights is None

    @property
    def weights_in_words(self) -> str:
        """Where the weights came from, in a few words."""
        if self.name is None:
            return "weights as given"
        if self.weights is None:
            return "random init" if self.name.lower() in known_names() else "checkpoint"
        published = str(getattr(self.weights, "name", self.weights)).rpartition(".")[2]
        if self.architecture and published in available_weights(self.architecture):
            return "ImageNet weights" if published in NAMELESS else f"ImageNet weights ({published})"
        return f"weights of {Path(str(self.weights)).name}"

    def samples(self, model: nn.Module) -> Samples:
        """The inputs for this model, gathered once.

        Raises ValueError where there are none that the model takes, ModuleNotFoundError without scikit-learn.
        """
        if self._samples is None:
            samples = self._photographs() if self.loader is None else _loaded(self.loader, self.groups, model)
            self._check(model, samples)
            self._samples = replace(samples, source=self.source) if self.loader is not None else samples
        return self._samples

    def calibrated(self, model: nn.Module, progress: Callable[[int, int, str], None]) -> Calibration:
        """The calibration of this model on `samples(model).fit`, made once.

        `progress(done, total, what)` counts inputs, and may raise to stop it.
        """
        samples = self.samples(model)
        total = sum(len(batch) for batch in samples.fit)
        what = f"calibrating on {samples.said(total)}"

        def make() -> Calibration:
            progress(0, total, what)
            heads = any(head.reason is None for head in find_heads(model))
            calibration = calibrate(
                model, samples.fit, groups=samples.fit_groups, lean=False, heads=heads,
                progress=lambda done, _, __: progress(done, total, what),
            )  # fmt: skip
            if self.loader is None:  # the photographs are asked for by name
                return calibration
            implied = partial(self.implied, model, progress)
            return leaning(model, calibration, example_input=as_example(samples.fit[0]), implied=implied)

        return self._calibration.get(make, lambda: progress(0, total, what))

    def implied(self, model: nn.Module, progress: Callable[[int, int, str], None]) -> Calibration:
        """What the batch norms of this model imply of the inputs of all layers, worked out once; progress by layer.

        Raises as `lr.implied_inputs`.
        """
        what = "what batch norms imply"

        def told(done: int, total: int, layer: str) -> None:
            progress(done, total, f"{what} of {layer}" if layer else what)

        return self._implied.get(lambda: implied_inputs(model, progress=told), lambda: progress(0, 1, what))

    def class_names(self) -> list[str] | None:
        """The names of the classes, in the order of the logits; None where they are not known."""
        name = self.architecture
        if name and isinstance(self.weights, str) and self.weights in available_weights(name):
            return categories()
        return None

    def _photographs(self) -> Samples:
        transform = partial(preprocess, self.architecture or PREPARED_LIKE)
        judged = photographs(NUMS_JUDGED[-1], part="held_out")
        shown = [image.resize((PICTURE_PX, PICTURE_PX)) for image in judged[: NUMS_JUDGED[0]]]
        fit = ImageLoader(photographs(NUM_FIT), transform, BATCH_SIZE)
        batches, pictures = ImageLoader(judged, transform, BATCH_SIZE), np.stack([np.asarray(x) for x in shown])
        groups = tuple(image.info["photograph"] for image in judged)
        return Samples(list(fit), batches, len(judged), pictures, PHOTOGRAPHS, judged_groups=groups)

    def _check(self, model: nn.Module, samples: Samples) -> None:
        try:
            with torch.no_grad():
                run_model(private_copy(model), samples.first_judged[:1])
        except ValueError as error:
            if isinstance(self.loader, OwnImages):
                raise RefusedImages(str(error)) from None
            if self.loader is not None:
                raise
            raise ValueError(
                f"`loader` must be given for this network, got none, and it does not take photographs: {error} "
                "Pass batches of your own: `lr.explore(model, loader=batches)`."
            ) from None


def _loaded(loader: Iterable, groups: Groups, model: nn.Module) -> Samples:
    """One in four groups of the first inputs is for judging, the others for calibration; others that follow judge too.

    Of a single group one in four inputs is for judging.
    """
    most = NUM_LOADED + NUMS_JUDGED[-1] - NUM_LOADED // 4
    items, _ = first_items(loader, most, model, groups)
    batches = [item.inputs for item in items]
    shapes = {tuple(batch.shape[1:]) if isinstance(batch, Tensor) else type(batch).__name__ for batch in batches}
    if len(shapes) > 1 or not all(isinstance(batch, Tensor) for batch in batches):
        raise ValueError(
            f"`loader` must give tensors of one shape for the Network tab, got {', '.join(map(str, shapes))}. "
            "Use `lr.allocate` and `lr.compare`, which take any inputs."
        )
    inputs = torch.cat(batches)[:most]
    if len(inputs) < 2:
        raise ValueError(f"`loader` must give two inputs or more, got {len(inputs)}. One is kept for judging.")
    said = items[0].groups is not None
    ids = [one for item in items for one in item.groups or ()][:most] if said else list(range(len(inputs)))
    numbers = numbered({}, ids)
    if max(numbers) == 0:
        numbers = list(range(len(inputs)))
    fitted = {number for number in numbers[:NUM_LOADED] if not is_held_out(number)}
    judged = torch.tensor([number not in fitted for number in numbers])
    # What follows the first inputs is for judging, unless it belongs to what is fitted to.
    fits = ~judged & (torch.arange(len(inputs)) < NUM_LOADED)
    held_out = inputs[judged]
    kept = [tuple(one for one, there in zip(ids, part.tolist(), strict=True) if there) for part in (fits, judged)]
    return Samples(
        list(inputs[fits].split(BATCH_SIZE)), list(held_out.split(BATCH_SIZE)), len(held_out),
        _pictures(held_out[: NUMS_JUDGED[0]]), YOUR_LOADER, *(kept if said else ()),
    )  # fmt: skip


def _pictures(inputs: Tensor) -> np.ndarray | None:
    """Images stretched to their own range, (n, height, width, 3) uint8; None for inputs that are none."""
    if inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
        return None
    low, high = inputs.amin((1, 2, 3), keepdim=True), inputs.amax((1, 2, 3), keepdim=True)
    shades = 255 * (inputs - low) / (high - low).clamp_min(1e-12)
    step = -(-max(inputs.shape[2:]) // PICTURE_PX)
    shades = shades[:, :, ::step, ::step].expand(-1, 3, -1, -1)
    return shades.permute(0, 2, 3, 1).round().to(torch.uint8).cpu().numpy()
