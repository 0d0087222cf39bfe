import pytest
import torch

from lrexplore.datasets import Request, open_data


def test_the_first_run_needs_nothing():
    data = open_data("fashion-mnist")
    assert (len(data.train), len(data.held_out), len(data.test)) == (4500, 500, 1000)


def test_a_smaller_training_set_is_part_of_a_larger_one_and_keeps_the_held_out_images():
    small, large = (open_data("fashion-mnist", num_images=count) for count in (10, 200))
    assert small.train.images.equal(large.train.images[:10])
    assert small.held_out.images.equal(open_data("fashion-mnist").held_out.images)


def test_more_images_than_there_are_are_refused():
    with pytest.raises(ValueError, match="`num_images` must lie in 1..4500"):
        open_data("fashion-mnist", num_images=4501)


def test_synthetic_images_are_the_same_whenever_they_are_asked():
    data = open_data("synthetic", image_size=8, num_images=100)
    first = data.train[Request([1, 2, 3], seed=1)]
    data.train[Request([1], seed=1)]
    again = data.train[Request([1, 2, 3], seed=1)]
    assert first.images.shape == (3, 3, 8, 8)
    torch.testing.assert_close(first, again)
    assert len(data.train) == 100
