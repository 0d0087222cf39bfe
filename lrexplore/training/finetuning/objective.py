"""What a fine-tuning minimizes on an item of a loader: by its labels, by a teacher's answers, or by both."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrexplore.network.answers import Choice, answer_of, class_numbers
from lrexplore.network.batches import Item, batch_size, run_model
from lrexplore.network.private import private_copy
from lrexplore.training.finetuning.teacher import divergence


class Objective:
    """Calling it on a model and an item gives the mean of what is minimized, differentiable, how many inputs are named
    rightly (by the labels; without them as the teacher names them), and how many there are.

    Raises ValueError for an item without labels where there is no teacher, and for answers of another shape.
    """

    def __init__(self, teacher: nn.Module | None, weight: float | None, temperature: float, logits: Choice):
        self._teacher = None if teacher is None else private_copy(teacher)
        self._weight, self._temperature, self._logits = weight, temperature, logits

    def __call__(self, model: nn.Module, item: Item) -> tuple[Tensor, Tensor, int]:
        own = _classes_last(answer_of(run_model(model, item.inputs), self._logits)).float()
        classes, labels = own.shape[-1], None
        weight = self._weight if self._weight is not None else (0.5 if item.labels is not None else 1.0)
        if self._teacher is None:
            weight = 0.0
        if weight < 1:
            labels = _labels(item, own)
        loss = own.new_zeros(())
        answers = None
        if self._teacher is not None and weight > 0:
            with torch.no_grad():
                answers = _classes_last(answer_of(run_model(self._teacher, item.inputs), self._logits))
            if answers.shape != own.shape:
                raise ValueError(
                    f"`teacher` must answer like `small`, got logits {tuple(answers.shape)} beside {tuple(own.shape)}."
                    " Pass the network that it was cut from."
                )
            answers = answers.to(own)
            loss = loss + weight * divergence(own, answers, self._temperature).mean()
        if labels is not None:
            loss = loss + (1 - weight) * F.cross_entropy(own.reshape(-1, classes), labels.reshape(-1))
        target = labels if labels is not None else answers.argmax(-1)
        right = (own.detach().argmax(-1) == target).float()
        number = batch_size(item.inputs)
        return loss, right.mean() * number, number


def _labels(item: Item, own: Tensor) -> Tensor:
    if item.labels is None:
        raise ValueError(
            "`teacher` must be given where the loader has no labels, got none. Pass the network before it was cut, or"
            " (input, label) pairs."
        )
    if own.ndim == 2:
        return class_numbers(item.labels, *own.shape).to(own.device)
    labels = torch.as_tensor(item.labels).to(own.device)
    if labels.shape != own.shape[:-1]:
        raise ValueError(
            f"`loader` must give a label for each answer {tuple(own.shape[:-1])}, got {tuple(labels.shape)}. Pass"
            " inputs alone and a teacher."
        )
    return labels.long()


def _classes_last(logits: Tensor) -> Tensor:
    """Of one answer an input or a token the classes are last already; of one a pixel they come second."""
    return logits.movedim(1, -1) if logits.ndim == 4 else logits
