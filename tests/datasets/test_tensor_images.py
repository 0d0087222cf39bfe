import torch

from lrexplore.datasets import Request, TensorImages, normalize
from lrexplore.datasets.tensor_images import cut_and_mirror


def numbered(count=6, size=8):
    images = torch.arange(1, count * size * size + 1, dtype=torch.int32).remainder(256).to(torch.uint8)
    return TensorImages(images.view(count, 1, size, size), torch.arange(count))


def test_a_request_without_a_seed_gives_the_images_as_they_are():
    images = numbered()
    batch = images[Request([4, 1])]
    assert batch.images.tolist() == images.images[[4, 1]].tolist()
    assert batch.labels.tolist() == [4, 1] and batch.corrupt == []


def test_a_request_gives_the_same_batch_whenever_it_is_asked():
    images = numbered()
    first = images[Request([0, 1, 2], seed=5)]
    images[Request([3, 4], seed=6)]
    torch.manual_seed(9)
    assert images[Request([0, 1, 2], seed=5)].images.equal(first.images)
    assert not images[Request([0, 1, 2], seed=7)].images.equal(first.images)


def test_every_augmented_image_is_a_shift_of_the_image_or_of_its_mirror_image():
    image = numbered(1).images
    padded = torch.nn.functional.pad(image, (4,) * 4)
    shifts = {
        tuple(side[0, 0, i : i + 8, j : j + 8].flatten().tolist())
        for side in (padded, torch.nn.functional.pad(image.flip(3), (4,) * 4))
        for i in range(9)
        for j in range(9)
    }
    found = cut_and_mirror(image.expand(400, -1, -1, -1), 4, torch.Generator().manual_seed(0))
    found = {tuple(one.flatten().tolist()) for one in found}
    assert found <= shifts
    assert len(found) > 100


def test_no_padding_leaves_the_image_or_its_mirror_image():
    images = numbered().images
    found = cut_and_mirror(images, 0, torch.Generator().manual_seed(0))
    for one, image in zip(found, images, strict=True):
        assert one.equal(image) or one.equal(image.flip(2))


def test_normalized_images_have_three_channels_mean_zero_and_variance_one():
    images = torch.randint(256, (50, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels = images.float() / 255
    found = normalize(images, (float(pixels.mean()),), (float(pixels.std()),))
    assert found.shape == (50, 3, 16, 16)
    torch.testing.assert_close(found.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(), torch.tensor(1.0), atol=1e-4, rtol=0)
    assert found[:, 0].equal(found[:, 2])
