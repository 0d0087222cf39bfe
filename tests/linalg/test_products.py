"""Products of thin factors, against the dense product in float64."""

import time

import pytest
import torch

from lrexplore.linalg import balance_product, gram_factors, plane_losses, product_svd, product_values


def thin(heads=3, m=40, d=6, n=30, decay=0.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(heads, m, d, generator=generator, dtype=torch.float64)
    right = torch.randn(heads, d, n, generator=generator, dtype=torch.float64)
    scale = 10 ** (-decay * torch.arange(d, dtype=torch.float64))
    return (left * scale).to(dtype), right.to(dtype)


def test_the_values_of_a_product_are_those_of_the_dense_matrix():
    left, right = thin()
    dense = torch.linalg.svdvals(left.double() @ right.double())[..., :6]
    torch.testing.assert_close(product_values(left, right), dense, rtol=3e-6, atol=0)


@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 1e-12), (torch.float64, 1e-12)])
def test_exact_values_keep_their_digits_down_to_a_millionth_of_the_largest(dtype, rtol):
    left, right = thin(decay=1.2, dtype=dtype)
    core = torch.linalg.qr(left.double()).R @ torch.linalg.qr(right.double().mT).R.mT
    values = product_values(left, right, exact=True)
    assert float(values[0, -1] / values[0, 0]) < 1e-5
    torch.testing.assert_close(values, torch.linalg.svdvals(core), rtol=rtol, atol=0)
    dense = torch.linalg.svdvals(left.double() @ right.double())[..., :6]
    torch.testing.assert_close(values, dense, rtol=1e-8, atol=0)  # the dense SVD errs by eps of its largest value


def test_gram_values_lose_digits_by_the_square_of_the_condition_and_no_faster():
    left, right = thin(decay=0.4)  # the smallest value is about 1e-2 of the largest
    dense = torch.linalg.svdvals(left.double() @ right.double())[..., :6]
    relative = (product_values(left, right) / dense - 1).abs().max()
    condition = float((dense[:, 0] / dense[:, -1]).max())
    assert float(relative) < 10 * torch.finfo(torch.float32).eps * condition**2


def test_a_product_of_singular_factors_has_zeros_at_its_end():
    left, right = thin()
    left[..., -1] = left[..., 0]
    values = product_values(left, right)
    assert bool((values[..., -1] < 1e-3 * values[..., 0]).all())
    dense = torch.linalg.svdvals(left.double() @ right.double())[..., :5]
    torch.testing.assert_close(values[..., :5], dense, rtol=2e-5, atol=0)


def test_the_svd_of_a_product_multiplies_back_to_it():
    left, right = thin()
    u, s, vh = product_svd(left, right)
    torch.testing.assert_close((u * s[..., None, :]) @ vh, left @ right, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(u.mT @ u, torch.eye(6).expand(3, 6, 6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_balanced_factors_are_the_best_of_their_rank_and_have_equal_diagonal_grams(rank):
    left, right = thin(dtype=torch.float64)
    a, b = balance_product(left, right, rank)
    u, s, vh = torch.linalg.svd(left @ right, full_matrices=False)
    best = (u[..., :rank] * s[..., None, :rank]) @ vh[..., :rank, :]
    torch.testing.assert_close(a @ b, best, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(a.mT @ a, torch.diag_embed(s[..., :rank]), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(b @ b.mT, torch.diag_embed(s[..., :rank]), atol=1e-9, rtol=1e-9)


def test_balancing_leaves_the_product_of_singular_factors_alone():
    left, right = thin()
    left[..., -1] = 0
    right[..., 0, :] = 0
    a, b = balance_product(left, right)
    torch.testing.assert_close(a @ b, left @ right, atol=1e-5, rtol=1e-5)


def test_in_the_metric_of_moments_no_other_rank_is_better():
    generator = torch.Generator().manual_seed(1)
    roots = torch.randn(2, 5, 5, generator=generator, dtype=torch.float64)
    left_moment, right_moment = roots[0] @ roots[0].mT, roots[1] @ roots[1].mT
    to_left, s, to_right = gram_factors(left_moment, right_moment, 2)

    def loss(core):
        away = torch.eye(5, dtype=torch.float64) - core
        return float(torch.trace(away.mT @ left_moment @ away @ right_moment))

    best = loss(to_left @ to_right)
    assert best == pytest.approx(float(s[2:].square().sum()), rel=1e-9)
    for _ in range(50):
        change = 1e-2 * torch.randn(5, 2, generator=generator, dtype=torch.float64)
        assert loss((to_left + change) @ to_right) > best
        assert loss(to_left @ (to_right + change.mT)) > best


def test_the_loss_of_planes_is_the_mean_over_their_angles():
    left, right = thin(heads=1, d=4, dtype=torch.float64)
    left, right = left[0], right[0]
    planes = torch.tensor([[0, 2], [1, 3]])
    angles = torch.arange(16, dtype=torch.float64) * (2 * torch.pi / 16)  # exact for squares of cosines
    total = 0.0
    for first in angles:
        for second in angles:
            turned = right.clone()
            for (i, j), angle in zip(planes.tolist(), (first, second), strict=True):
                turned[i] = angle.cos() * right[i] - angle.sin() * right[j]
                turned[j] = angle.sin() * right[i] + angle.cos() * right[j]
            total += float((left @ turned).square().sum())
    losses = plane_losses(left.mT @ left, right @ right.mT, planes)
    assert float(losses.sum()) == pytest.approx(total / 256, rel=1e-12)


def test_all_heads_of_gpt_2_small_take_a_fraction_of_the_time_of_qr():
    query, key = torch.randn(2, 144, 64, 768, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def seconds(exact):
        start = time.perf_counter()
        product_values(query.mT, key, exact=exact)
        return time.perf_counter() - start

    try:
        seconds(False)
        assert min(seconds(False) for _ in range(3)) < 0.7 * min(seconds(True) for _ in range(2))
    finally:
        torch.set_num_threads(threads)
