"""The network with its optimizer: one training step, evaluation, and everything that a checkpoint must hold."""

import gc
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lrexplore.datasets import Batch, Data, normalize
from lrexplore.datasets.split import mix
from lrexplore.datasets.tensor_images import cut_out
from lrexplore.network.files import described_layers
from lrexplore.nn import FACTORIZED, Factorized
from lrexplore.optim import (
    FrobeniusDecay,
    Lamb,
    NuclearDecay,
    parameter_groups,
    without_weight_decay,
)
from lrexplore.recipes.config import Config
from lrexplore.training.finetuning.movable import freeze, with_rates
from lrexplore.training.finetuning.teacher import Teacher
from lrexplore.training.forms.rewiring import Rewiring
from lrexplore.training.layer_norms import parameters_left, product_norms, watched_layers
from lrexplore.training.non_finite import NonFiniteLoss, first_non_finite
from lrexplore.training.processes import Processes, own_buffers
from lrexplore.training.rank_change.carried_state import carry_state
from lrexplore.training.rank_change.moved_layers import Moved, put_in_place, shrink, switch
from lrexplore.training.rank_change.rank_changes import Change
from lrexplore.training.tasks import task_of
from lrexplore.training.tasks.head_products import head_switches, head_weights

_HALF = {"bf16": torch.bfloat16, "16": torch.float16}


class Learner:
    """Trains a model. Its numbers depend on the configuration, the step and the images, not on what ran before:
    dropout is seeded by the step."""

    def __init__(
        self, model: nn.Module, config: Config, data: Data, processes: Processes, teacher: nn.Module | None = None
    ):
        self.config, self.data, self.processes = config, data, processes
        self.task = task_of(config)
        self._layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.model = model.to(processes.device, memory_format=self._layout)
        self.frozen = freeze(model, config.freeze)
        self.teacher = None
        if teacher is not None:
            asked = teacher.to(processes.device, memory_format=self._layout)
            self.teacher = Teacher(asked, config.teacher_weight, config.temperature)
        self._make_optimizer()
        if processes.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
        self.average = None
        if config.ema is not None:
            average = get_ema_multi_avg_fn(config.ema)
            self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self._example: Tensor | None = None
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=config.precision == "16")
        self._make_forward()

    def _make_optimizer(self) -> None:
        """The optimizer of the parameters that there are, with its decays."""
        model, config = self.model, self.config
        self.factorized = [module for module in model.modules() if isinstance(module, Factorized)]
        decay = {"normalized": "none", "nuclear": "weight", "scaled": "weight"}.get(config.decay, config.decay)
        strength = config.decay_strength
        groups = parameter_groups(model, decay=decay, decay_strength=strength, decay_norms=config.decay_norms)
        if config.decay == "scaled":
            scale_factors_decay(groups, parameters_left(model))
        self.rewiring: Rewiring | None = None
        groups = without_weight_decay(groups, head_weights(model, config, "frobenius", "none"))
        self.nuclear = None
        if config.decay == "nuclear" and not self.factorized:
            watched = [model.get_submodule(name) for name in watched_layers(model, config.layers)]
            self.nuclear = NuclearDecay(watched, strength, scheme=config.scheme)
            groups = self.nuclear.without_decay(groups)
        groups = with_rates(groups, model, config.layer_lr)
        if config.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
        else:
            kind = Lamb if config.optimizer == "lamb" else torch.optim.AdamW
            self.optimizer = kind(groups, lr=config.lr)
        switches = head_switches(model, config)
        if decay == "frobenius" or any(switches.values()):
            FrobeniusDecay(model, strength, linear=decay == "frobenius", **switches).attach(self.optimizer)

    def _make_forward(self) -> None:
        """The network as steps call it. It begins alike on all processes: the statistics of each stay its own."""
        self._forward = self.model
        if self.processes.count > 1:
            gc.collect()  # of an earlier one: its hooks would add up gradients a second time
            options = {"broadcast_buffers": False, "gradient_as_bucket_view": True}
            own = [(buffer, buffer.clone()) for buffer in own_buffers(self.model).values()]
            self._forward = DistributedDataParallel(self.model, **options)
            for buffer, value in own:
                buffer.copy_(value)
        if self.config.compile:
            self._forward = torch.compile(self._forward)

    def change_ranks(self, changes: list[Change]) -> None:
        """Gives layers other ranks and schemes, alike on all processes; what the optimizer remembers is carried over.

        Averages of weights go the way of the weights.
        """
        self.optimizer.zero_grad(set_to_none=True)
        moved = [one for change in changes for one in _moved(self.model, change)]
        if self.average is not None:
            self._carry_average(changes, moved)
        self._set_execution(self.model, changes)
        before = self.optimizer
        self._make_optimizer()
        carry_state(before, self.optimizer, moved)
        self._make_forward()

    def _carry_average(self, changes: list[Change], moved: list[Moved]) -> None:
        average = self.average.module
        values = {change.layer: _factors_of(average, change.layer) for change in changes}
        for change, pair in zip(changes, zip(moved[::2], moved[1::2], strict=True), strict=True):
            mine = put_in_place(average, change.layer, change.new_rank, change.scheme)
            left, right = values[change.layer]
            with torch.no_grad():
                mine.left.copy_(pair[0].average(left))
                mine.right.copy_(pair[1].average(right))
        self._set_execution(average, changes)

    def _set_execution(self, model: nn.Module, changes: list[Change]) -> None:
        for change in changes:
            if change.old_rank is None:
                model.get_submodule(change.layer).execution = self.config.execution

    def _take_layers(self, layers: dict[str, dict]) -> None:
        """Gives layers the ranks of a checkpoint, to be filled."""
        has = described_layers(self.model)
        changes = [
            Change(name, has[name]["rank"] if name in has else None, options["rank"], options["scheme"])
            for name, options in layers.items() if has.get(name) != options
        ]  # fmt: skip
        for model in (self.model, *([] if self.average is None else [self.average.module])):
            for change in changes:
                put_in_place(model, change.layer, change.new_rank, change.scheme)
            self._set_execution(model, changes)
        if changes:
            self._make_optimizer()
            self._make_forward()

    def step(self, batches: list[Batch], step: int, lr: float, stop: bool) -> dict[str, float]:
        """Trains on the micro-batches of step number `step` (from 0); means over all processes' images.

        `stopped` comes back true on every process as soon as `stop` is true on one. `corrupt` counts images.
        Raises, before the weights change, NonFiniteLoss where the loss is NaN or infinite, and ValueError where no
        image of the step can be read.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_share"]
        self._train_mode()
        self.optimizer.zero_grad(set_to_none=True)
        if self.rewiring is not None:
            self.rewiring.before_backward(step)
        totals = torch.zeros(6, dtype=torch.float64, device=self.processes.device)
        num_labels = self.task.num_labels(self.config, batches)
        for k, batch in enumerate(batches):
            with ExitStack() as stack:
                if self.processes.count > 1 and k + 1 < len(batches):
                    stack.enter_context(self._forward.no_sync())
                if not len(batch.labels):
                    self._pass_over(last=k + 1 == len(batches))
                    totals[4] += len(batch.corrupt)
                    continue
                if isinstance(batch, Batch):
                    self._example = batch.images[:1]
                logits, labels = self._logits(self._forward, batch, step, k)
                losses = self._loss(batch, logits, labels)
                self.scaler.scale(losses * (self.processes.count / num_labels)).backward()
            totals[:4] += _counts(losses.detach(), logits.detach(), labels)
            totals[4] += len(batch.corrupt)
        totals[5] = float(stop)
        # Reading them waits for the forward pass only: the device is still busy with the backward pass.
        losses, top1, top5, count, corrupt, stopped = self.processes.sum(totals).tolist()
        if losses - losses != 0:
            self._explain(batches, step)
        if not count:
            raise ValueError(
                f"`data` must hold images that can be read, got none at step {step + 1}: all {int(corrupt)} are broken."
                " Replace them."
            )
        if self.rewiring is not None:
            self.rewiring.after_backward(step, self.optimizer)
        self._update()
        if self.nuclear is not None:
            self.nuclear.after_step(step + 1, self.optimizer)
        if self.average is not None:
            self.average.update_parameters(self.model)
        scale = 100 / max(count, 1)
        return {
            "loss": losses / max(count, 1), "top1": top1 * scale, "top5": top5 * scale,
            "corrupt": int(corrupt), "stopped": stopped > 0,
        }  # fmt: skip

    @property
    def judged(self) -> nn.Module:
        """The network that evaluations use: its average where there is one."""
        return self.model if self.average is None else self.average.module

    @torch.no_grad()
    def evaluate(self, batches: Iterator[Batch], stop, model: nn.Module | None = None) -> dict[str, float] | None:
        """Mean loss, top-1 and top-5 in percent over all processes' batches; None where it was stopped.

        Of the network, of its average where there is one, or of another `model`.
        """
        model = model or self.judged
        totals = torch.zeros(6, dtype=torch.float64, device=self.processes.device)
        with self._mean_statistics(model.eval()):
            for batch in batches:
                if stop():
                    totals[5] = 1.0
                    break
                totals[4] += len(batch.corrupt)
                if len(batch.labels):
                    logits, labels = self._logits(model, batch)
                    totals[:4] += _counts(F.cross_entropy(logits, labels, reduction="sum"), logits, labels)
        losses, top1, top5, count, corrupt, stopped = self.processes.sum(totals).tolist()
        if stopped:
            return None
        scale = 100 / max(count, 1)
        metrics = {"loss": losses / max(count, 1), "top1": top1 * scale, "top5": top5 * scale}
        return metrics | ({"corrupt": int(corrupt)} if corrupt else {})

    @torch.no_grad()
    def set_norms(self, norms: list[float]) -> None:
        """Scales both factors of every factorized layer alike, so that their products have these Frobenius norms."""
        targets = torch.tensor(norms, dtype=torch.float64, device=self.processes.device)
        scales = (targets / product_norms(self.factorized)).sqrt().tolist()
        for module, scale in zip(self.factorized, scales, strict=True):
            module.left.mul_(scale)
            module.right.mul_(scale)

    def state_dict(self) -> dict[str, Any]:
        """Weights, running statistics (means over processes, and each process's own), their average, optimizer and
        loss scale. Every process must ask, and none of them changes by it."""
        modules = {"model": self.model, **({} if self.average is None else {"average": self.average})}
        states, own = {}, {}
        for name, module in modules.items():
            states[name] = {**module.state_dict(), **self.processes.mean_buffers(module)}
            own[name] = {key: buffer.cpu() for key, buffer in own_buffers(module).items()}
        if self.processes.count > 1:
            states["own_buffers"] = self.processes.gather(own)
        if self.config.rank_change is not None:
            states["layers"] = described_layers(self.model)
        return {
            **states,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from such a state."""
        if self.config.rank_change is not None:
            self._take_layers(state["layers"])
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        own = state.get("own_buffers", [])
        if len(own) == self.processes.count:  # else each goes on from the means
            self.model.load_state_dict(own[self.processes.index]["model"], strict=False)
            if self.average is not None:
                self.average.load_state_dict(own[self.processes.index]["average"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def _logits(self, model: nn.Module, batch: Batch, step: int | None = None, k: int = 0) -> tuple[Tensor, Tensor]:
        device = self.processes.device
        if step is not None:
            torch.manual_seed(mix(self.config.seed, step, k * self.processes.count + self.processes.index))
        labels = batch.labels.to(device, non_blocking=True)
        inputs = self.task.inputs(batch, self)
        if step is not None and self.config.cutout:
            inputs = (cut_out(inputs[0], self.config.cutout, torch.default_generator), *inputs[1:])
        with self.autocast():
            logits = model(*inputs)
        expected = (len(labels), self.data.num_classes)
        if not isinstance(logits, Tensor) or logits.shape != expected:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
            raise ValueError(
                f"`model` must give one number for each image and class, shape {expected}, got {got}."
                " Change its last layer, or the number of classes in the data."
            )
        return logits.float(), labels

    def _loss(self, batch: Batch, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum over the batch of what is minimized."""
        smoothing = self.config.label_smoothing
        if self.teacher is None:
            return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
        with self.autocast():
            answers = self.teacher.answers(*self.task.inputs(batch, self))
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        return self.teacher.mixed(losses, logits, answers).sum()

    def _train_mode(self) -> None:
        self._forward.train()
        for module in self.frozen:
            module.eval()

    def _pass_over(self, last: bool) -> None:
        """A micro-batch without images: nothing, but for the gradients that all processes add up with their last."""
        if self.processes.count == 1 or not last:
            return
        size = (1, 3, self.config.image_size, self.config.image_size)
        example = torch.zeros(size, dtype=torch.uint8) if self._example is None else self._example
        self._forward.eval()  # so that no statistic changes
        (self._forward(self.images(example)).sum() * 0).backward()
        self._train_mode()

    @contextmanager
    def _mean_statistics(self, model: nn.Module) -> Iterator[None]:
        """In it the running statistics are their means over all processes; then again this process's own."""
        mine = own_buffers(model)
        kept = {}
        for name, mean in self.processes.mean_buffers(model).items():
            kept[name] = mine[name].clone()
            mine[name].copy_(mean)
        try:
            yield
        finally:
            for name, value in kept.items():
                mine[name].copy_(value)

    def images(self, images: Tensor) -> Tensor:
        """What the network gets for uint8 images: on the device, normalized, in the run's memory format."""
        images = images.to(self.processes.device, non_blocking=True)
        return normalize(images, self.data.mean, self.data.std).contiguous(memory_format=self._layout)

    def autocast(self):
        """The context of forward passes in the run's precision."""
        half = _HALF.get(self.config.precision)
        return torch.autocast(self.processes.device.type, half or torch.bfloat16, enabled=half is not None)

    def _update(self) -> None:
        self.scaler.unscale_(self.optimizer)
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _explain(self, batches: list[Batch], step: int) -> None:
        """Repeats the step's forward passes to find where it began."""
        place = ""
        for k, batch in enumerate(batches):
            torch.manual_seed(mix(self.config.seed, step, k * self.processes.count + self.processes.index))
            with self.autocast():
                place = place or first_non_finite(self.model, *self.task.inputs(batch, self))
        where = next((words for words in self.processes.gather(place) if words), "in the loss itself")
        raise NonFiniteLoss(
            f"`loss` must stay finite, got NaN or infinity at step {step + 1}, first {where}."
            " Lower `lr`, lengthen the warm-up, clip gradients, or use precision bf16 or 32."
        )


def scale_factors_decay(groups: list[dict], share: float) -> None:
    """Multiplies the factors' weight decay by the share of parameters that is left (an arm of Khodak et al. 2021)."""
    for group in groups:
        if group["name"] == "factors":
            group["weight_decay"] *= share


def _moved(model: nn.Module, change: Change) -> list[Moved]:
    if change.old_rank is None:
        return switch(model, change.layer, change.new_rank, change.scheme)
    return shrink(model.get_submodule(change.layer), change.new_rank)


def _factors_of(model: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """What the two factors of a layer come of: its factors, or its weight both."""
    module = model.get_submodule(name)
    if isinstance(module, FACTORIZED):
        return module.left.detach(), module.right.detach()
    return module.weight.detach(), module.weight.detach()


def _counts(loss: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of losses, hits among the first one and five, and images."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = best == labels[:, None]
    count = torch.tensor(float(len(labels)), device=logits.device, dtype=torch.float64)
    return torch.stack([loss.double(), hits[:, :1].sum().double(), hits.sum().double(), count])


def learning_rate(config: Config, step: int, num_steps: int, steps_per_epoch: int) -> float:
    """The rate of step number `step`, from 0.

    Linear warm-up reaches `lr` with its last step; the cosine then ends just above 0 with the last step, the inverse
    square root falls from there on.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup_steps:
        return config.lr * ((step + 1) / warmup_steps if config.warmup == "linear" else 0.1)
    if config.schedule == "step":
        passed = sum(step >= round(milestone * num_steps) for milestone in config.milestones)
        return config.lr * config.step_factor**passed
    if config.schedule == "inverse-sqrt":
        return config.lr * math.sqrt(max(1, warmup_steps) / (step + 1))
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))
