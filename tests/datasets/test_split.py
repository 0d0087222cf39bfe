import pytest

from lrexplore.datasets import epoch_order, held_out_split
from lrexplore.datasets.split import mix


def test_training_and_held_out_images_are_all_of_them_and_share_none():
    train, held_out = held_out_split(100, 0.1)
    assert sorted(train + held_out) == list(range(100))
    assert len(held_out) == 10
    assert held_out_split(100, 0.1) == (train, held_out)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 0.999])
def test_a_fraction_that_leaves_nothing_to_train_on_is_refused(fraction):
    with pytest.raises(ValueError, match="`held_out` must be a fraction"):
        held_out_split(100, fraction)


def test_every_epoch_is_another_permutation_that_depends_on_seed_and_epoch_alone():
    orders = {(seed, epoch): tuple(epoch_order(50, seed, epoch)) for seed in (0, 1) for epoch in (1, 2, 3)}
    assert len(set(orders.values())) == 6
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert list(orders[1, 2]) == epoch_order(50, 1, 2)


def test_mixed_seeds_are_different_and_in_the_range_that_torch_takes():
    seeds = {mix(*numbers) for numbers in ((0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1), (2**63, 5), (1, 2, 3))}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
