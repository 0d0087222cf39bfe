import math

import torch


def test_a_step_turns_the_weight_at_the_rate_over_its_squared_norm():
    """Khodak et al. 2021 (arXiv:2105.01029), claim 3.1: where the loss does not depend on the norm of W = U V^T, a
    step of size eta moves W / |W| by -(eta / |W|^2) (I - w w^T) vec(G V V^T + U U^T G) + O(eta^2), G the gradient
    with respect to W / |W|."""
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    u, v = torch.randn(6, 3, **draw), torch.randn(5, 3, **draw)
    target = torch.randn(6, 5, **draw)

    def loss(weight):
        direction = weight / weight.norm()
        return (direction * target).sum() + (direction**3 * target).sum()

    def direction(u, v):
        return u @ v.mT / (u @ v.mT).norm()

    norm = float((u @ v.mT).norm())
    what = direction(u, v).requires_grad_()
    (g,) = torch.autograd.grad(loss(what), what)
    u, v = u.requires_grad_(), v.requires_grad_()
    gradients = torch.autograd.grad(loss(u @ v.mT), (u, v))
    moved = g @ v @ v.mT + u @ u.mT @ g
    expected = -(moved - what * (what * moved).sum()) / norm**2
    errors = []
    for eta in (1e-2, 1e-3, 1e-4):
        change = (direction(u - eta * gradients[0], v - eta * gradients[1]) - what) / eta
        errors.append(float((change.detach() - expected.detach()).norm() / expected.detach().norm()))
    assert errors[-1] < 1e-4
    slopes = [math.log10(large / small) for large, small in zip(errors, errors[1:], strict=False)]
    assert all(abs(slope - 1) < 0.05 for slope in slopes)


def test_the_rate_of_turning_is_the_same_for_a_weight_and_a_rate_scaled_together():
    u, v = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    target = torch.ones(4, 4, dtype=torch.float64).triu()

    def turned(scale, lr):
        factors = [(factor * scale**0.5).requires_grad_() for factor in (u, v)]
        product = factors[0] @ factors[1].mT
        gradients = torch.autograd.grad((product / product.norm() * target).sum(), factors)
        stepped = [factor - lr * gradient for factor, gradient in zip(factors, gradients, strict=True)]
        product = stepped[0] @ stepped[1].mT
        return product / product.norm()

    # U and V grow by the root of the scale, and W = U V^T by the scale: its effective rate is lr / |W|^2 times
    # |U|^2, so a rate that grows with the scale turns both alike.
    torch.testing.assert_close(turned(1.0, 0.01), turned(9.0, 0.09))
