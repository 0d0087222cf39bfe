"""Which activation follows a layer is read from what a module or a function is, and with its own parameters."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lrexplore as lr
from lrexplore.dual import ACTIVATIONS
from lrexplore.network import find_layers


class Net(nn.Module):
    def __init__(self, forward, **parts):
        super().__init__()
        self.conv, self._function = nn.Conv2d(4, 4, 3), forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        return self._function(self, self.conv(x))


def after(forward, **parts):
    [layer] = find_layers(Net(forward, **parts))
    return layer.follows


MODULES = {
    "leaky_relu(0.2)": nn.LeakyReLU(0.2), "leaky_relu": nn.LeakyReLU(), "relu": nn.LeakyReLU(0),
    "elu(0.5)": nn.ELU(0.5), "elu": nn.ELU(), "celu(2)": nn.CELU(2.0), "selu": nn.SELU(),
    "softplus(2)": nn.Softplus(2), "mish": nn.Mish(),
    "hardsigmoid": nn.Hardsigmoid(), "hardtanh(-2, 2.5)": nn.Hardtanh(-2, 2.5), "relu6": nn.Hardtanh(0, 6),
    "softsign": nn.Softsign(), "tanhshrink": nn.Tanhshrink(), "hardshrink(0.3)": nn.Hardshrink(0.3),
    "softshrink": nn.Softshrink(), "threshold(0.1, 20)": nn.Threshold(0.1, 20), "logsigmoid": nn.LogSigmoid(),
    "gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh"), "silu": nn.SiLU(inplace=True), "hardswish": nn.Hardswish(),
    "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "leaky_relu(0.25)": nn.PReLU(),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_followed_as_what_it_is_with_its_own_parameters(name):
    module = MODULES[name]
    found = after(lambda net, x: net.act(x), act=module)
    assert (found.activation, found.assumed) == (name, False)
    points = torch.linspace(-4, 4, 41)
    with torch.no_grad():
        torch.testing.assert_close(ACTIVATIONS[name].function(points), module(points.clone()))


@pytest.mark.parametrize("name", MODULES)
def test_a_name_with_parameters_is_read_back_as_the_same_activation(name):
    record = ACTIVATIONS[name]
    assert (record.name, ACTIVATIONS[record.name].parameters) == (name, record.parameters)
    assert torch.equal(ACTIVATIONS[record.name].values, record.values)


TIMM = {
    "Swish": "silu", "Mish": "mish", "Sigmoid": "sigmoid", "Tanh": "tanh", "HardSwish": "hardswish",
    "HardSigmoid": "hardsigmoid", "HardMish": "hard_mish", "GELU": "gelu", "GELUTanh": "gelu_tanh",
    "QuickGELU": "quick_gelu", "PReLU": "leaky_relu(0.25)", "SwishMe": "silu", "MishMe": "mish",
    "HardSigmoidMe": "hardsigmoid", "HardSwishMe": "hardswish", "HardMishMe": "hard_mish",
}  # fmt: skip


@pytest.mark.parametrize("kind", TIMM)
def test_those_of_timm_are_known_too(kind):
    pytest.importorskip("timm", reason="needs timm: pip install timm")
    from timm.layers import activations, activations_me

    module = getattr(activations, kind, None) or getattr(activations_me, kind)
    assert after(lambda net, x: net.act(x), act=module()).activation == TIMM[kind]


CALLS = {
    "by place": (lambda net, x: F.leaky_relu(x, 0.2), "leaky_relu(0.2)"),
    "by name": (lambda net, x: F.leaky_relu(x, negative_slope=0.2), "leaky_relu(0.2)"),
    "elu": (lambda net, x: F.elu(x, alpha=0.5), "elu(0.5)"),
    "clamp from 0 to 6": (lambda net, x: x.clamp(0, 6), "relu6"),
    "clamp from 0": (lambda net, x: x.clamp(min=0), "relu"),
    "clamp up to 6": (lambda net, x: x.clamp(max=6), "hardtanh(-inf, 6)"),
    "torch.clamp": (lambda net, x: torch.clamp(x, -1, max=2.5), "hardtanh(-1, 2.5)"),
    "clip": (lambda net, x: torch.clip(x, -0.5, 2), "hardtanh(-0.5, 2)"),
    "a method": (lambda net, x: x.hardshrink(0.3), "hardshrink(0.3)"),
    "threshold": (lambda net, x: F.threshold(x, 0.1, 2.0), "threshold(0.1, 2)"),
    "logsigmoid": (lambda net, x: F.logsigmoid(x), "logsigmoid"),
    "expit": (lambda net, x: torch.special.expit(x), "sigmoid"),
    "its parts": (lambda net, x: x * torch.tanh(F.softplus(x)), "mish"),
    "parts of quick gelu": (lambda net, x: x * torch.sigmoid(1.702 * x), "quick_gelu"),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_is_read_with_its_arguments(case):
    forward, name = CALLS[case]
    assert after(forward).activation == name


def test_what_an_attribute_is_called_says_nothing():
    assert after(lambda net, x: net.sigmoid(x), sigmoid=nn.Tanh()).activation == "tanh"
    assert after(lambda net, x: x * net.sigmoid(x), sigmoid=nn.Tanh()).activation == "identity"
    assert after(lambda net, x: x * net.tanh(x), tanh=nn.Sigmoid()).activation == "silu"


def test_a_class_with_a_forward_of_its_own_is_not_its_parent():
    class Other(nn.ReLU):
        def forward(self, x):
            return x.tanh()

    class Same(nn.Tanh):
        pass

    assert after(lambda net, x: net.act(x), act=Other()).activation == "tanh"
    assert after(lambda net, x: net.act(x), act=Same()).activation == "tanh"


@pytest.mark.parametrize("module", [nn.Softmax(1), nn.GLU(1)])
def test_what_is_no_function_of_one_number_stays_unknown(module):
    assert after(lambda net, x: net.act(x), act=module).activation == "identity"


def test_the_learned_slope_of_a_prelu_is_its_own():
    module = nn.PReLU()
    nn.init.constant_(module.weight, 0.3)
    assert after(lambda net, x: net.act(x), act=module).activation == "leaky_relu(0.3)"


def test_an_explorer_offers_what_was_registered_before_and_takes_parameters():
    lr.activation("doubled", lambda u: 2 * torch.tanh(u))
    model = nn.Sequential(nn.Linear(12, 10), nn.LeakyReLU(0.2), nn.Linear(10, 6))
    explorer = lr.explore(model)
    try:
        assert explorer.state.activation == "leaky_relu(0.2)"
        explorer.state.activation = "doubled"
        assert explorer.state.activation == "doubled"
        with pytest.raises(Exception, match="`activation` must be one of"):
            explorer.state.activation = "swoosh"
        assert explorer.state.activation == "doubled"
    finally:
        explorer.close()
