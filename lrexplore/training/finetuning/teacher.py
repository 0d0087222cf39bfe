"""Learning from another network's answers: their divergence, softened, mixed with what the labels say."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def divergence(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """temperature^2 KL(teacher || student) of each input, nats; both logits are divided by the temperature first.

    Hinton, Vinyals & Dean 2015 (arXiv:1503.02531): the square keeps the gradients' size. 0 exactly where they agree.
    """
    mine, theirs = (logits / temperature).log_softmax(-1), (answers / temperature).log_softmax(-1)
    return temperature**2 * F.kl_div(mine, theirs, log_target=True, reduction="none").sum(-1)


class Teacher:
    """A network that is asked and does not change."""

    def __init__(self, model: nn.Module, weight: float, temperature: float):
        self.model = model.eval().requires_grad_(False)
        self.weight, self.temperature = weight, temperature

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """Its logits."""
        return self.model(images).float()

    def mixed(self, losses: Tensor, logits: Tensor, answers: Tensor) -> Tensor:
        """Of every input its loss by the labels and its divergence from the teacher's answers, by `weight`."""
        divergences = divergence(logits, answers, self.temperature)
        if self.weight == 1:  # so that a label that means nothing cannot spoil it
            return divergences
        return (1 - self.weight) * losses + self.weight * divergences
