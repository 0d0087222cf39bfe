"""Whether correcting the batch norms of a factorized network helps on inputs that the correction has not seen."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lrexplore.calibration.parts import Parts
from lrexplore.network.answers import Choice, answer_of, movements
from lrexplore.network.batch_norm import correct_batch_norms, has_statistics
from lrexplore.network.batches import Item, run_model
from lrexplore.network.private import private_copy

FEWEST_GROUPS, SURE = 4, 2.0
"""A correction is taken where, over groups held out, it helps by so many standard errors."""


def correct_if_better(model: nn.Module, factorized: nn.Module, items: list[Item], logits: Choice = None) -> str:
    """Corrects the batch norms of `factorized` in place on `items` if that helps; what was decided, in words.

    Judged on the groups of `items` that are held out, after a correction on the others: the answer's KL divergence
    from the original's, or its relative squared change where it is no logits. "" for a network without such norms.
    """
    if not has_statistics(factorized):
        return ""
    parts = Parts(items)
    num_groups = len(set(parts.judged_groups))
    if num_groups < FEWEST_GROUPS or not parts.fit:
        return f"batch norms as they were: {num_groups} independent inputs to judge a correction by"
    corrected = private_copy(factorized)
    correct_batch_norms(model, corrected, parts.fit)
    networks = [private_copy(model), private_copy(factorized), corrected]
    for network in networks:
        network.eval()
    with torch.no_grad():
        answers = [_answers(network, parts.judged, logits) for network in networks]
    if not all(bool(torch.isfinite(answer).all()) for answer in answers):
        return "batch norms as they were: the answers are not finite"
    plain, after = (movements(answers[0], answer) for answer in answers[1:])
    gained = by_group(plain - after, parts.judged_groups)
    mean, error = float(gained.mean()), float(gained.std() / len(gained) ** 0.5)
    seen = f"{float(plain.mean()):.3g} to {float(after.mean()):.3g} on {num_groups} independent inputs held out"
    if not mean > SURE * error:
        return f"batch norms as they were: a correction took the answer's change from {seen}"
    correct_batch_norms(model, factorized, [item.inputs for item in items])
    return f"batch norms corrected: the answer's change went from {seen}"


def by_group(values: Tensor, groups: Iterable[int]) -> Tensor:
    """The mean value of each group, in the order of their numbers."""
    numbers = torch.tensor(list(groups))
    return torch.stack([values[numbers == number].mean() for number in numbers.unique()])


def _answers(network: nn.Module, batches: list, logits: Choice) -> Tensor:
    return torch.cat([answer_of(run_model(network, batch), logits).double().cpu() for batch in batches])
