import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn

import lrexplore as lr
from lrexplore.nn import FACTORIZED, Factorized, FactorizedConv2d, FactorizedLinear
from lrexplore.optim import FrobeniusDecay, add_frobenius_decay, frobenius_penalty, parameter_groups

LAYERS = {
    "linear": lambda: FactorizedLinear(7, 5, 3),
    "linear of full rank": lambda: FactorizedLinear(4, 6, 4),
    "channel": lambda: FactorizedConv2d(4, 6, 3, 2, scheme="channel"),
    "spatial": lambda: FactorizedConv2d(4, 6, (3, 2), 5, scheme="spatial"),
    "channel in groups": lambda: FactorizedConv2d(4, 6, 3, 2, scheme="channel", groups=2),
    "spatial in groups": lambda: FactorizedConv2d(6, 3, 3, 2, scheme="spatial", groups=3),
    "one by one": lambda: FactorizedConv2d(4, 6, 1, 2, scheme="spatial"),
}


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        FactorizedConv2d(8, 8, 3, 3, scheme="spatial", stride=2),
        nn.ReLU(),
        FactorizedConv2d(8, 4, 3, 2, groups=2),
        nn.Flatten(),
        FactorizedLinear(4, 6, 2),
        nn.Linear(6, 3),
    )


def batches(num_steps, size=8):
    generator = torch.Generator().manual_seed(1)
    for _ in range(num_steps):
        yield torch.randn(size, 1, 10, 10, generator=generator), torch.randint(3, (size,), generator=generator)


def optimizer_of(kind, model, decay="frobenius", strength=0.05):
    groups = parameter_groups(model, decay=decay, decay_strength=strength, decay_norms=True)
    if kind == "sgd":
        optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(groups, lr=0.01)
    if decay == "frobenius":
        FrobeniusDecay(model, strength).attach(optimizer)
    return optimizer


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_the_closed_form_is_the_gradient_that_autograd_finds_through_the_product(make):
    torch.manual_seed(0)
    layer = make().double()
    (0.15 * layer.weight.square().sum()).backward()
    expected = layer.left.grad.clone(), layer.right.grad.clone()
    layer.left.grad.zero_(), layer.right.grad.zero_()
    add_frobenius_decay([layer], 0.3)
    torch.testing.assert_close((layer.left.grad, layer.right.grad), expected)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_the_penalty_from_grams_is_the_squared_norm_of_the_weight(make):
    layer = make().double()
    torch.testing.assert_close(frobenius_penalty(layer), layer.weight.square().sum())


def test_decay_reaches_the_factors_and_nothing_else():
    model = small_network()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    add_frobenius_decay(FrobeniusDecay(model, 1.0).modules, 1.0)
    factors = {id(p) for m in model.modules() if isinstance(m, FACTORIZED) for p in (m.left, m.right)}
    assert len(factors) == 6
    for parameter in model.parameters():
        assert bool(parameter.grad.any()) == (id(parameter) in factors)


def test_frozen_factors_and_factors_without_a_gradient_are_left_alone():
    layer = FactorizedLinear(4, 4, 2)
    layer.left.requires_grad_(False)
    layer.right.grad = torch.zeros_like(layer.right)
    add_frobenius_decay([layer], 1.0)
    assert layer.left.grad is None and layer.right.grad.any()
    layer.right.grad = None
    add_frobenius_decay([layer], 1.0)
    assert layer.right.grad is None


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("frozen", ["left", "right"])
def test_a_frozen_factor_stays_and_its_partner_decays(kind, frozen):
    model = small_network()
    layer = model[6]
    factors = {"left": layer.left, "right": layer.right}
    still, moving = factors.pop(frozen), factors.popitem()[1]
    still.requires_grad_(False)
    optimizer = optimizer_of(kind, model)
    moving.grad = torch.zeros_like(moving)
    before = still.clone(), moving.detach().clone()
    optimizer.step()
    assert torch.equal(still, before[0])
    assert moving.norm() < before[1].norm()


def test_every_factor_decays_by_the_rate_of_its_own_group_under_adamw():
    layer = FactorizedLinear(4, 6, 2)
    groups = [{"params": [layer.left], "lr": 0.5}, {"params": [layer.right], "lr": 0.0}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    FrobeniusDecay(layer, 0.1).attach(optimizer)
    layer.left.grad, layer.right.grad = torch.zeros_like(layer.left), torch.zeros_like(layer.right)
    left, right = layer.left.detach().clone(), layer.right.detach().clone()
    optimizer.step()
    torch.testing.assert_close(layer.left.detach(), left - 0.05 * left @ right @ right.mT)
    assert torch.equal(layer.right, right)


def test_half_precision_factors_get_the_gradient_in_their_own_dtype():
    layer = FactorizedLinear(8, 8, 4)
    reference = copy.deepcopy(layer)
    layer.bfloat16()
    for module in (layer, reference):
        module.left.grad, module.right.grad = torch.zeros_like(module.left), torch.zeros_like(module.right)
        add_frobenius_decay([module], 1.0)
    assert layer.left.grad.dtype == torch.bfloat16
    torch.testing.assert_close(layer.left.grad.float(), reference.left.grad, rtol=0.05, atol=0.01)


def test_under_sgd_it_is_the_penalty_in_the_loss():
    model, reference = small_network(), small_network()
    optimizer, plain = optimizer_of("sgd", model), optimizer_of("sgd", reference, decay="none")
    for x, y in batches(5):
        optimizer.zero_grad(), plain.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        penalty = sum(m.weight.square().sum() for m in reference.modules() if isinstance(m, FACTORIZED))
        (nn.functional.cross_entropy(reference(x), y) + 0.05 / 2 * penalty).backward()
        plain.step()
    for mine, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_under_adamw_it_is_decoupled_as_its_weight_decay_is():
    model = small_network()
    before = copy.deepcopy(model)
    optimizer = optimizer_of("adamw", model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for layer, old in zip(model.modules(), before.modules(), strict=True):
        if isinstance(layer, FACTORIZED):
            (old.weight.square().sum() / 2).backward()
            torch.testing.assert_close(layer.left, old.left - 0.01 * 0.05 * old.left.grad)
    torch.testing.assert_close(model[7].weight, before[7].weight * (1 - 0.01 * 0.05))


def test_the_loss_scale_does_not_scale_the_decay():
    model, reference = small_network(), small_network()
    optimizer, plain = optimizer_of("sgd", model), optimizer_of("sgd", reference)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for x, y in batches(3):
        optimizer.zero_grad(), plain.zero_grad()
        scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        nn.functional.cross_entropy(reference(x), y).backward()
        plain.step()
    for mine, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_scaled_gradients_are_refused_with_the_way_out():
    optimizer = optimizer_of("sgd", small_network())
    optimizer.grad_scale = torch.tensor(2.0)
    with pytest.raises(ValueError, match="unscale_"):
        optimizer.step()


def test_accumulated_micro_batches_decay_once():
    model, reference = small_network(), small_network()
    optimizer, plain = optimizer_of("sgd", model), optimizer_of("sgd", reference)
    for x, y in batches(3):
        optimizer.zero_grad(), plain.zero_grad()
        for part, labels in zip(x.chunk(4), y.chunk(4), strict=True):
            (nn.functional.cross_entropy(model(part), labels) / 4).backward()
        optimizer.step()
        nn.functional.cross_entropy(reference(x), y).backward()
        plain.step()
    for mine, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match="`strength`.*got -1"):
        FrobeniusDecay(small_network(), -1)


def _train(kind, model, index=0, num_processes=1):
    optimizer = optimizer_of(kind, getattr(model, "module", model))
    for x, y in batches(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x.chunk(num_processes)[index]), y.chunk(num_processes)[index]).backward()
        optimizer.step()


def _one_of_two(index, address, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=index, world_size=2)
    for kind in ("sgd", "adamw"):
        model = nn.parallel.DistributedDataParallel(small_network())
        _train(kind, model, index, 2)
        torch.save(model.module.state_dict(), f"{results}/{kind}-{index}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_weights_of_one_after_twenty_steps(tmp_path):
    multiprocessing.spawn(_one_of_two, (f"file://{tmp_path}/rendezvous", str(tmp_path)), nprocs=2)
    for kind in ("sgd", "adamw"):
        model = small_network()
        _train(kind, model)
        for index in range(2):
            found = torch.load(tmp_path / f"{kind}-{index}.pt")
            for name, value in model.state_dict().items():
                assert (found[name] - value).abs().max() <= 1e-6, (kind, index, name)


class Three(Factorized):
    """A kind of its own: U M V, as somebody else might write one."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = (nn.Parameter(torch.randn(3, 3)) for _ in range(3))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return x @ self.product().T + self.bias

    def product(self):
        return self.first @ self.middle @ self.last

    def factor_parameters(self):
        return self.first, self.middle, self.last

    def frobenius_penalty(self):
        return self.product().square().sum()

    def penalty_gradients(self):
        with torch.enable_grad():
            return torch.autograd.grad(self.frobenius_penalty() / 2, self.factor_parameters())

    def collapse(self):
        layer = nn.Linear(3, 3)
        layer.weight.data, layer.bias.data = self.product().detach(), self.bias.detach().clone()
        return layer


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_a_new_kind_of_factors_is_decayed_grouped_and_collapsed_like_ours(optimizer):
    torch.manual_seed(0)
    model = nn.Sequential(Three(), nn.Linear(3, 2))
    groups = parameter_groups(model, decay="frobenius", decay_strength=0.1, decay_norms=False)
    assert [len(group["params"]) for group in groups if group["name"] == "factors"] == [3]
    x = torch.randn(5, 3)
    torch.testing.assert_close(lr.collapse(model)(x), model(x))
    plain = copy.deepcopy(model)
    steps = []
    for network in (model, plain):
        again = optimizer(parameter_groups(network, decay="none", decay_strength=0.1, decay_norms=False), lr=0.01)
        if network is model:
            FrobeniusDecay(network, 0.1).attach(again)
        (network(x).sum() * 0).backward()
        expected = torch.autograd.grad(network[0].frobenius_penalty() / 2, network[0].factor_parameters())
        before = [factor.detach().clone() for factor in network[0].factor_parameters()]
        again.step()
        steps.append([new - old for new, old in zip(network[0].factor_parameters(), before, strict=True)])
    for decayed, free, gradient in zip(*steps, expected, strict=True):
        torch.testing.assert_close(decayed - free, -0.01 * 0.1 * gradient, rtol=1e-4, atol=5e-7)
