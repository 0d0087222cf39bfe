"""Which images train and which choose, and in what order they come."""

import torch

_SPLIT_SEED = 20210


def held_out_split(num_images: int, fraction: float) -> tuple[list[int], list[int]]:
    """Indices that train and indices held out, each ascending: the same for every run on these images.

    The held-out part chooses models; the test set is left for the end. Raises ValueError for a fraction
    outside [0, 1) or one that leaves nothing to train on.
    """
    num_held_out = round(num_images * fraction)
    if not 0 <= fraction < 1 or num_held_out >= num_images:
        raise ValueError(
            f"`held_out` must be a fraction in [0, 1) that leaves images to train on, got {fraction} of"
            f" {num_images}. Use 0.1."
        )
    order = torch.randperm(num_images, generator=torch.Generator().manual_seed(_SPLIT_SEED))
    return sorted(order[num_held_out:].tolist()), sorted(order[:num_held_out].tolist())


def epoch_order(num_images: int, seed: int, epoch: int) -> list[int]:
    """The order of an epoch (from 1): a permutation that depends on the seed and the epoch alone."""
    generator = torch.Generator().manual_seed(mix(seed, epoch))
    return torch.randperm(num_images, generator=generator).tolist()


def mix(*numbers: int) -> int:
    """One seed in 0..2^63-1 from several numbers; close numbers give unrelated seeds (splitmix64)."""
    state = 0
    for number in numbers:
        state = (state ^ (number & 0xFFFFFFFFFFFFFFFF)) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
