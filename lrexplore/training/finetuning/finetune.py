"""Fine-tuning in a notebook: in the background, judged on inputs that it does not train on, never to the worse."""

import math
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lrexplore.network.answers import Choice
from lrexplore.network.batches import Item, check_loader, read_item
from lrexplore.network.private import copy_with, private_copy
from lrexplore.nn.kinds import check_module
from lrexplore.optim import FrobeniusDecay, parameter_groups
from lrexplore.training.finetuning.held_out import set_aside
from lrexplore.training.finetuning.objective import Objective

if TYPE_CHECKING:
    import pandas as pd

_EVALUATIONS, _PATIENCE, _STEPS_UNKNOWN = 10, 5, 50  # an epoch; without a better one; between two where none is known


@dataclass(frozen=True)
class _Judged:
    """Means over the held-out inputs: what is minimized, and percent of them whose first class is right."""

    loss: float
    top1: float


def finetune(
    small: nn.Module,
    loader: Iterable,
    *,
    teacher: nn.Module | None = None,
    epochs: float = 1,
    held_out: Iterable | None = None,
    lr: float = 0.01,
    momentum: float = 0.9,
    decay_strength: float = 1e-4,
    teacher_weight: float | None = None,
    temperature: float = 2.0,
    logits: Choice = None,
    seed: int = 0,
    progress: bool | Callable[[int, int | None, str], None] = True,
) -> "Finetuning":
    """A handle on a fine-tuning of `small` that goes on in the background: `wait()`, `stop()`, `model`, `history`.

    `small` itself is not changed, a copy is trained: SGD with momentum, a warm-up and a cosine, Frobenius decay on the
    factors. It is judged before the first step and ten times an epoch on inputs that do not train: those of `held_out`,
    or some of the loader's (`lrexplore.training.finetuning.held_out`). `model` is the best so far by what is minimized
    there, among those that name no fewer of these inputs rightly than `small`: it is never worse than `small` on them,
    and is `small` as long as nothing is better. Without a better one in half an epoch it ends early.

    `loader` gives inputs or (input, label) pairs, as everywhere (`lrexplore.network.batches`), anew every epoch. With a
    `teacher`, such as the network before it was cut, what is minimized is (1 - teacher_weight) of the labels'
    cross-entropy and teacher_weight (default .5, without labels 1) of the divergence from its answers, softened by the
    `temperature`; without labels rightly means as the teacher does. `logits` says where they are in an answer
    (`lr.compare`). `progress`: whether a bar is shown, or a function of (steps done, all steps or None, words).
    What dropout draws comes from torch's global generator. Raises ValueError for what makes no sense, before it starts.

    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> inputs = [torch.randn(32, 8) for _ in range(20)]
    >>> work = lr.finetune(lr.factorize(model, rank_scale=0.5), inputs, teacher=model, progress=False)
    >>> better = work.wait()
    >>> work.state, bool(work.held_out_loss[1] <= work.held_out_loss[0])
    ('done', True)
    """
    check_module(small, "small")
    if teacher is not None:
        check_module(teacher, "teacher")
    _check_number("epochs", epochs, 0, 1e6)
    _check_number("lr", lr, 0, 1e6)
    _check_number("temperature", temperature, 0, 1e3)
    if teacher_weight is not None and not (isinstance(teacher_weight, Real) and 0 <= teacher_weight <= 1):
        raise ValueError(f"`teacher_weight` must be a number in [0, 1], got {teacher_weight!r}. Use 1 for no labels.")
    if not any(parameter.requires_grad for parameter in small.parameters()):
        raise ValueError("`small` must have parameters to train, got a network that is frozen. Unfreeze some.")
    if held_out is not None:
        check_loader(loader)
        check_loader(held_out)
        judged = list(held_out) if iter(held_out) is held_out else held_out
        if epochs > 1 and iter(loader) is loader:
            raise ValueError(
                f"`loader` must give its batches anew every epoch, got a {type(loader).__name__} that is used up after"
                " one. Pass a DataLoader or a list."
            )
    else:
        loader, judged = set_aside(loader, epochs=epochs, seed=seed)
    loss = Objective(teacher, teacher_weight, temperature, logits)
    work = Finetuning(small, loader, judged, loss, epochs=epochs, lr=lr, progress=progress)
    work._prepare(momentum, decay_strength)
    return work._start()


class Finetuning:
    """A fine-tuning under way; see `lrexplore.finetune`. `state`: "running", "done", "stopped" or "failed".

    `said` is why it ended where that is no matter of course. Closing the kernel ends it.
    """

    def __init__(self, small, loader, judged, loss, *, epochs, lr, progress):
        self._small, self._loader, self._judged_items, self._loss = small, loader, judged, loss
        self._epochs, self._lr = epochs, lr
        self._progress: Callable | None = progress if callable(progress) else None
        self._shows_bar = progress is True
        self._student = copy_with(small, {})
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._rows: list[dict] = []
        self._error: Exception | None = None
        self._best: dict[str, Tensor] | None = None  # None: what it got
        self._first = self._best_judged = _Judged(math.inf, 0.0)
        self._idle = self._step = 0
        self.state, self.said = "running", ""

    def __repr__(self) -> str:
        total = "" if self._num_steps is None else f" of {self._num_steps}"
        loss = f", held-out loss {self._first.loss:.4f} -> {self._best_judged.loss:.4f}" if self._rows else ""
        return f"Finetuning({self.state}, step {self._step}{total}{loss}{f', {self.said}' if self.said else ''})"

    @property
    def model(self) -> nn.Module:
        """The best network so far, a copy in evaluation mode; `small` as it was where nothing is better yet."""
        twin = copy_with(self._small, {})
        with self._lock:
            if self._best is not None:
                twin.load_state_dict(self._best)
        return twin.eval()

    @property
    def history(self) -> "pd.DataFrame":
        """One row an evaluation: step, epoch, lr, loss (mean of the steps before), held_out_loss, held_out_top1, best.

        The first row, step 0, is the network that it got.
        """
        import pandas as pd

        with self._lock:
            columns = ["step", "epoch", "lr", "loss", "held_out_loss", "held_out_top1", "best"]
            return pd.DataFrame([dict(row) for row in self._rows], columns=columns)

    @property
    def held_out_loss(self) -> tuple[float, float]:
        """What is minimized, on the held-out inputs: of the network that it got, and of `model`."""
        return self._first.loss, self._best_judged.loss

    @property
    def held_out_top1(self) -> tuple[float, float]:
        """Percent of the held-out inputs named rightly: by the network that it got, and by `model`."""
        return self._first.top1, self._best_judged.top1

    def wait(self, time_limit_s: float | None = None) -> nn.Module:
        """The `model`, once it has ended. Raises what went wrong; TimeoutError after `time_limit_s`, and it goes on."""
        self._thread.join(time_limit_s)
        if self._thread.is_alive():
            raise TimeoutError(
                f"`time_limit_s` of {time_limit_s} s must suffice for the fine-tuning, got one at step {self._step}."
                " Wait longer, or call `stop()`: `model` is the best so far."
            )
        if self._error is not None:
            raise self._error
        return self.model

    def stop(self) -> None:
        """Asks it to end after the step that it is in; `wait()` returns when it did, with the best so far."""
        self._stop.set()

    def _prepare(self, momentum: float, decay_strength: float) -> None:
        """Reads the first held-out batch, so that what does not fit is said before anything starts."""
        for given in self._judged_items:
            with torch.no_grad():
                self._loss(private_copy(self._small), read_item(given, self._small))
            break
        groups = parameter_groups(self._student, decay_strength=decay_strength, decay_norms=True)
        self._optimizer = torch.optim.SGD(groups, lr=self._lr, momentum=momentum)
        FrobeniusDecay(self._student, decay_strength).attach(self._optimizer)
        try:
            self._an_epoch: int | None = len(self._loader)
        except TypeError:
            self._an_epoch = None
        self._num_steps = None if self._an_epoch is None else max(1, math.ceil(self._epochs * self._an_epoch))

    def _start(self) -> "Finetuning":
        self._thread = threading.Thread(target=self._run, name="lrexplore finetune", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        bar = tqdm(total=self._num_steps, desc="fine-tuning", disable=not self._shows_bar, file=sys.stderr)
        try:
            with bar:
                self._train(bar)
        except Exception as error:  # raised where the person waits for it
            self._error, self.said, self.state = error, str(error), "failed"
        else:
            self.state = "stopped" if self._stop.is_set() else "done"

    def _train(self, bar: tqdm) -> None:
        self._judge(0, [])
        every = max(1, (self._an_epoch or _STEPS_UNKNOWN * _EVALUATIONS) // _EVALUATIONS)
        losses: list[float] = []
        epoch = 0
        while not self._is_over() and epoch < self._epochs:
            epoch, before = epoch + 1, self._step
            for given in self._loader:
                if self._stop.is_set() or self._is_over():
                    break
                losses.append(self._one_step(read_item(given, self._small)))
                self._step += 1
                bar.update()
                if self._progress is not None:
                    self._progress(self._step, self._num_steps, f"loss {losses[-1]:.4f}")
                if not math.isfinite(losses[-1]):
                    self.said = f"ended at step {self._step}: the loss is no number. Use a lower lr"
                    break
                if self._step % every == 0:
                    losses = self._judge(epoch, losses)
                    bar.set_postfix_str(f"held-out loss {self._first.loss:.4f} -> {self._best_judged.loss:.4f}")
            if self._stop.is_set() or self.said:
                break
            if self._step == before:
                raise ValueError(
                    f"`loader` must give batches in every epoch, got none in epoch {epoch}. Pass a DataLoader or a"
                    " list."
                )
        if losses and not self.said.startswith("ended at") and not self._stop.is_set():
            self._judge(epoch, losses)

    def _is_over(self) -> bool:
        return bool(self.said) or (self._num_steps is not None and self._step >= self._num_steps)

    def _one_step(self, item: Item) -> float:
        student = self._student.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            loss, _, _ = self._loss(student, item)
            loss.backward()
        if math.isfinite(value := float(loss.detach())):
            self._optimizer.step()
        return value

    def _rate(self) -> float:
        warm = max(1, round(0.1 * (self._an_epoch or 10 * _STEPS_UNKNOWN)))
        rising = min(1.0, (self._step + 1) / warm)
        if self._num_steps is None:
            return self._lr * rising
        progress = max(0, self._step - warm) / max(1, self._num_steps - warm)
        return self._lr * rising * 0.5 * (1 + math.cos(math.pi * progress))

    @torch.no_grad()
    def _judge(self, epoch: int, losses: list[float]) -> list[float]:
        """Evaluates, and keeps the weights where they are the best so far; an empty list, for the losses to come."""
        student, sums, count = self._student.eval(), torch.zeros(2, dtype=torch.float64), 0
        for given in self._judged_items:
            if self._stop.is_set() and self._rows:
                return []  # what is not judged to its end is not known to be better
            item = read_item(given, self._small)
            loss, right, number = self._loss(student, item)
            sums += torch.tensor([float(loss) * number, float(right)], dtype=torch.float64)
            count += number
        if not count:
            raise ValueError("`held_out` must give inputs, got none. Pass some that do not train.")
        judged = _Judged(float(sums[0]) / count, 100 * float(sums[1]) / count)
        first = not self._rows
        better = not first and judged.loss < self._best_judged.loss and judged.top1 >= self._first.top1
        state = None
        if better:
            state = {
                name: value.detach().clone() if isinstance(value, Tensor) else value
                for name, value in student.state_dict().items()
            }
        with self._lock:
            if first:
                self._first = self._best_judged = judged
            if better:
                self._best, self._best_judged = state, judged
            mean = sum(losses) / len(losses) if losses else float("nan")
            self._rows.append({
                "step": self._step, "epoch": epoch, "lr": 0.0 if first else self._optimizer.param_groups[0]["lr"],
                "loss": mean, "held_out_loss": judged.loss, "held_out_top1": judged.top1, "best": first or better,
            })  # fmt: skip
        self._idle = 0 if better or first else self._idle + 1
        if self._idle >= _PATIENCE:
            self.said = f"ended early: {_PATIENCE} evaluations without a better one"
        return []


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not low < value <= high:
        raise ValueError(f"`{name}` must be a number in ({low}, {high:g}], got {value!r}. Choose one in that range.")
