import copy
import subprocess
import sys

import pytest
import torch
from nn.test_conv import OPTIONS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import lrexplore as lr
from lrexplore.network import choose_execution, faster_execution
from lrexplore.nn import FactorizedConv2d, FactorizedLinear, set_execution


def small_network():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 40),
    )  # fmt: skip


class CountFlops(TorchDispatchMode):
    """Multiply-adds, twice, of everything run within, backward passes included."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


@pytest.fixture
def flops_for_times(monkeypatch):
    """Multiply-adds in the place of milliseconds, so that no test depends on the clock; the calls' lists of them."""
    seen = []

    def count(runs, device, num_rounds, *, num_calls, gradients):
        found = []
        with torch.set_grad_enabled(gradients):
            for run in runs:
                with CountFlops() as counter:
                    run()
                found.append(counter.total)
        seen.append(found)
        return found

    monkeypatch.setattr(faster_execution, "paired_latency_ms", count)
    return seen


def gradients(layer, x):
    x = x.clone().requires_grad_()
    out = layer(x)
    return out, torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_convolution_gives_equal_outputs_and_gradients_either_way(options, scheme):
    layer = FactorizedConv2d(6, 12, rank=2, scheme=scheme, **({"kernel_size": (3, 5)} | options)).double()
    x = torch.randn(2, 6, 13, 11, dtype=torch.float64)
    by_factors = gradients(layer, x)
    set_execution(nn.Sequential(layer), "product")
    torch.testing.assert_close(gradients(layer, x), by_factors)


def test_a_linear_layer_gives_equal_outputs_and_gradients_either_way():
    layer = FactorizedLinear(7, 5, 2).double()
    x = torch.randn(3, 4, 7, dtype=torch.float64)
    by_factors = gradients(layer, x)
    layer.execution = "product"
    torch.testing.assert_close(gradients(layer, x), by_factors)


@pytest.mark.parametrize("training", [True, False])
def test_the_cheaper_way_is_chosen_for_every_layer(flops_for_times, training):
    small = lr.factorize(small_network(), ranks={"0": 1, "3": 2, "5": 16, "9": 16}, initializer="independent")
    table = choose_execution(small, torch.randn(8, 3, 12, 12), training=training)
    chosen = dict(zip(table["name"], table["execution"], strict=True))
    # 5 has the rank of its matrix; so has 9, but for eight rows of inputs its product is not worth forming.
    assert chosen == {"0": "factors", "3": "factors", "5": "product", "9": "factors"}
    assert {name: small.get_submodule(name).execution for name in chosen} == chosen
    assert ((table["factors_ms"] > table["product_ms"]) == (table["execution"] == "product")).all()


def test_choosing_changes_nothing_else(flops_for_times):
    small = lr.factorize(small_network(), ranks={"0": 3, "3": 4}, initializer="independent").train()
    small[2].eval()
    before, drawn = copy.deepcopy(small.state_dict()), torch.get_rng_state()
    choose_execution(small, torch.zeros(2, 3, 12, 12))
    torch.testing.assert_close(dict(small.state_dict()), dict(before), rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(parameter.grad is None for parameter in small.parameters())
    assert small.training and not small[2].training and small[1].training
    assert not any(module._forward_pre_hooks for module in small.modules())


def test_a_forward_pass_that_fails_leaves_the_model_as_it_was():
    small = lr.factorize(small_network(), ranks={"3": 4}, initializer="independent").train()
    with pytest.raises(ValueError, match="`example_input` must be a batch that the model takes"):
        choose_execution(small, torch.zeros(2, 5, 12, 12))
    assert small.training and not any(module._forward_pre_hooks for module in small.modules())


def test_layers_of_equal_shape_are_measured_once_and_a_layer_called_twice_counts_twice(flops_for_times):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = FactorizedLinear(8, 8, 2), FactorizedLinear(8, 8, 2)
            self.third, self.unused = FactorizedLinear(8, 8, 3), FactorizedLinear(8, 8, 2)

        def forward(self, x):
            return self.third(self.second(self.second(self.first(x))))

    table = choose_execution(Twice(), torch.randn(4, 8)).set_index("name")
    assert len(flops_for_times) == 2
    assert list(table.index) == ["first", "second", "third"]
    assert table.loc["second", "factors_ms"] == 2 * table.loc["first", "factors_ms"]


def test_the_choice_is_copied_but_not_part_of_the_weights():
    layer = FactorizedConv2d(4, 6, 3, 2, padding=1)
    keys = list(layer.state_dict())
    layer.execution = "product"
    assert copy.deepcopy(layer).execution == "product" and list(layer.state_dict()) == keys
    assert "execution='product'" in repr(layer) and "execution" not in repr(FactorizedConv2d(4, 6, 3, 2))


def test_the_choice_is_compiled_and_exported():
    code = """
import torch
from lrexplore.nn import FactorizedConv2d
layer, x = FactorizedConv2d(4, 6, 3, 2, padding=1), torch.randn(1, 4, 5, 5)
layer.execution = "product"
compiled = torch.compile(layer, backend="eager", fullgraph=True)
torch.testing.assert_close(compiled(x), layer.collapse()(x))
exported = torch.export.export(layer, (x,)).module()
torch.testing.assert_close(exported(x), layer.collapse()(x))
"""  # by itself: the compiler does not see through the tests' shape checks
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "choice, words",
    [("fastest", "`execution` must be one of"), ({"0": "product", "1": "product"}, "must name factorized layers"),
     ({"0": "both"}, "`execution` must be one of")],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(choice, words):
    model = nn.Sequential(FactorizedLinear(4, 4, 1), nn.ReLU())
    with pytest.raises(ValueError, match=words):
        set_execution(model, choice)
    assert model[0].execution == "factors"
