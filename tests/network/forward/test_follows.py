from threading import Thread

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from lrexplore.network import find_layers


class Net(nn.Module):
    """A module whose forward is the given function of (self, x)."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._function = forward

    def forward(self, x):
        return self._function(self, x)


def follows(model, name):
    return {layer.name: layer.follows for layer in find_layers(model)}[name]


def after_conv(function, **layers):
    return follows(Net(lambda net, x: function(net, net.conv(x)), conv=nn.Conv2d(4, 4, 3), **layers), "conv")


def torchvision_model(name):
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None)


ACTIVATIONS = {
    "F.relu": (lambda net, x: F.relu(x), "relu", "ReLU"),
    "torch.relu": (lambda net, x: torch.relu(x), "relu", "ReLU"),
    "method relu": (lambda net, x: x.relu(), "relu", "ReLU"),
    "method relu_": (lambda net, x: x.relu_(), "relu", "ReLU"),
    "nn.ReLU": (lambda net, x: net.act(x), "relu", "ReLU", nn.ReLU()),
    "F.relu6": (lambda net, x: F.relu6(x), "relu6", "ReLU6"),
    "hardtanh from 0 to 6": (lambda net, x: F.hardtanh(x, 0.0, 6.0), "relu6", "ReLU6"),
    "nn.LeakyReLU": (lambda net, x: net.act(x), "leaky_relu", "LeakyReLU", nn.LeakyReLU()),
    "F.gelu": (lambda net, x: F.gelu(x, approximate="none"), "gelu", "GELU"),
    "F.gelu by tanh": (lambda net, x: F.gelu(x, approximate="tanh"), "gelu_tanh", "GELU(tanh)"),
    "nn.SiLU": (lambda net, x: net.act(x), "silu", "SiLU", nn.SiLU(inplace=True)),
    "x * sigmoid(x)": (lambda net, x: x * torch.sigmoid(x), "silu", "SiLU"),
    "sigmoid(x) * x": (lambda net, x: x.sigmoid().mul(x), "silu", "SiLU"),
    "F.hardswish": (lambda net, x: F.hardswish(x), "hardswish", "Hardswish"),
    "torch.tanh": (lambda net, x: torch.tanh(x), "tanh", "tanh"),
    "nn.Sigmoid": (lambda net, x: net.act(x), "sigmoid", "sigmoid", nn.Sigmoid()),
}


@pytest.mark.parametrize("case", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def test_an_activation_is_found_as_module_function_or_method(case):
    function, activation, text, *module = case
    found = after_conv(function, **({"act": module[0]} if module else {}))
    assert (found.activation, found.text, found.assumed) == (activation, text, False)


LINEAR = {
    "nothing": lambda net, x: x,
    "add": lambda net, x: x + 1,
    "max pool": lambda net, x: F.relu(F.max_pool2d(x, 2)),
    "average pool": lambda net, x: F.adaptive_avg_pool2d(x, 1).relu(),
    "concatenation": lambda net, x: torch.cat([x, x], 1).relu(),
    "multiply": lambda net, x: torch.mul(x, 2.0).relu(),
    "2 uses": lambda net, x: (x.relu(), x.tanh()),
}


@pytest.mark.parametrize("text", LINEAR)
def test_anything_but_an_activation_leaves_the_layer_linear_and_is_named(text):
    found = after_conv(LINEAR[text])
    assert (found.activation, found.batch_norm, found.text) == ("identity", None, text)


def test_a_residual_sum_beside_another_use_is_named():
    assert after_conv(lambda net, x: x + F.tanh(x)).text == "add"


def test_dropout_identity_and_shape_operations_are_looked_through():
    model = nn.Sequential(nn.Linear(4, 6), nn.Identity(), nn.Dropout(0.5), nn.Flatten(), nn.GELU())
    assert follows(model, "0").text == "GELU"
    found = after_conv(lambda net, x: F.relu(x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)))
    assert found.text == "ReLU"


def test_batch_norm_is_named_with_what_comes_after_it():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU())
    found = follows(nn.Sequential(body, nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)), "0.0")
    assert (found.activation, found.batch_norm, found.text) == ("silu", "0.1", "BN, SiLU")
    assert follows(nn.Sequential(body, nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)), "1").text == "BN"


def test_batch_norm_of_other_features_is_not_the_layers():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.BatchNorm1d(4 * 222 * 222), nn.ReLU())
    found = follows(model, "0")
    assert (found.activation, found.batch_norm, found.text) == ("identity", None, "batch norm")


def test_an_activation_has_its_own_dual_and_its_own_slope_and_several_slopes_are_said_to_be_taken_as_one():
    found = follows(nn.Sequential(nn.Linear(3, 4), nn.Hardsigmoid()), "0")
    assert (found.activation, found.text, found.assumed) == ("hardsigmoid", "Hardsigmoid", False)
    slope = follows(nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2)), "0")
    assert (slope.activation, slope.text, slope.assumed) == ("leaky_relu(0.2)", "LeakyReLU(0.2)", False)
    assert after_conv(lambda net, x: F.leaky_relu(x, 0.2)) == slope
    several = follows(nn.Sequential(nn.Linear(3, 4), nn.PReLU(4)), "0")
    assert several.assumed and several.assumption == "PReLU with 4 slopes is taken as leaky_relu(0.25), their mean"


def test_a_layer_called_twice_has_what_its_calls_agree_on():
    same = Net(lambda net, x: net.fc(net.fc(x).relu()).relu(), fc=nn.Linear(4, 4))
    other = Net(lambda net, x: net.fc(net.fc(x).relu()).tanh(), fc=nn.Linear(4, 4))
    assert follows(same, "fc").text == "ReLU"
    assert follows(other, "fc").activation == "identity"
    assert follows(other, "fc").text == "ReLU / tanh (differs between its calls)"


def test_resnet50_by_hand():
    found = {layer.name: layer.follows for layer in find_layers(torchvision_model("resnet50"))}
    blocks = {1: 3, 2: 4, 3: 6, 4: 3}
    expected = {"conv1": ("relu", "bn1", "BN, ReLU"), "fc": ("identity", None, "nothing")}
    for stage, num_blocks in blocks.items():
        expected[f"layer{stage}.0.downsample.0"] = (
            "identity",
            f"layer{stage}.0.downsample.1",
            "BN, then add",
        )
        for block in (f"layer{stage}.{index}" for index in range(num_blocks)):
            expected[f"{block}.conv1"] = ("relu", f"{block}.bn1", "BN, ReLU")
            expected[f"{block}.conv2"] = ("relu", f"{block}.bn2", "BN, ReLU")
            expected[f"{block}.conv3"] = ("identity", f"{block}.bn3", "BN, then add")
    assert {name: (f.activation, f.batch_norm, f.text) for name, f in found.items()} == expected
    assert len(found) == 54 and not any(f.assumed for f in found.values())


def test_efficientnet_b0_by_hand():
    found = {layer.name: layer.follows.text for layer in find_layers(torchvision_model("efficientnet_b0"))}
    num_blocks = (1, 2, 2, 3, 3, 4, 1)
    expected = {"features.0.0": "BN, SiLU", "features.8.0": "BN, SiLU", "classifier.1": "nothing"}
    for stage, blocks in enumerate(num_blocks, start=1):
        for index in range(blocks):
            name = f"features.{stage}.{index}.block"
            first = 0 if stage == 1 else 1  # the first stage has no expansion
            if first:
                expected[f"{name}.0.0"] = "BN, SiLU"
            expected[f"{name}.{first}.0"] = "BN, SiLU"
            expected[f"{name}.{first + 1}.fc1"] = "SiLU"
            expected[f"{name}.{first + 1}.fc2"] = "sigmoid"
            # Added to the block's input (index > 0), or itself the input of such a sum (index + 1 < blocks).
            residual = index > 0 or index + 1 < blocks
            expected[f"{name}.{first + 2}.0"] = "BN, then add" if residual else "BN"
    assert found == expected


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("vgg11", {"ReLU": 10, "nothing": 1}),
        ("vgg11_bn", {"BN, ReLU": 8, "ReLU": 2, "nothing": 1}),
        ("mobilenet_v2", {"BN, ReLU6": 35, "BN, then add": 15, "BN": 2, "nothing": 1}),
        ("densenet121", {"BN, ReLU": 59, "concatenation": 58, "average pool": 3, "nothing": 1}),
        ("vit_b_16", {"concatenation": 1, "not called": 12, "GELU": 12, "add": 12, "nothing": 1}),
    ],
)
def test_what_follows_counted_by_hand(name, texts):
    found = [layer.follows.text for layer in find_layers(torchvision_model(name))]
    assert {text: found.count(text) for text in set(found)} == texts


def test_timm_batch_norm_with_its_activation_inside_is_both():
    timm = pytest.importorskip("timm", reason="needs timm: pip install timm")
    layers = {layer.name: layer for layer in find_layers(timm.create_model("tf_efficientnet_lite0"))}
    found = {name: (layer.follows.text, layer.follows.batch_norm) for name, layer in layers.items()}
    assert found["conv_stem"] == ("BN, ReLU6", "bn1") and layers["conv_stem"].skip_reason is None
    assert found["blocks.1.0.conv_pw"] == ("BN, ReLU6", "blocks.1.0.bn1")
    assert found["blocks.1.0.conv_pwl"] == ("BN, then add", "blocks.1.0.bn3")
    assert found["blocks.1.1.conv_pwl"] == ("BN, then add", "blocks.1.1.bn3")
    assert found["blocks.6.0.conv_pwl"] == ("BN", "blocks.6.0.bn3")
    assert found["conv_head"] == ("BN, ReLU6", "bn2") and found["classifier"] == ("nothing", None)
    assert not any(layer.follows.assumed for layer in layers.values())


def depends_on_values(net, x):
    return net.head(net.body(x)) if x.sum() > 0 else net.head(x)


def test_what_cannot_be_traced_is_read_child_by_child_and_the_rest_assumed_with_its_reason():
    body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model = Net(depends_on_values, body=body, head=nn.Linear(4, 2))
    inner, last, head = (follows(model, name) for name in ("body.0", "body.2", "head"))
    assert (inner.activation, inner.assumed) == ("tanh", False)
    for found in (last, head):
        assert (found.activation, found.text, found.assumed) == ("relu", "ReLU (assumed)", True)
        assert found.assumption.startswith("ReLU is assumed: the forward pass of `Net` could not be traced (TraceError")


def test_the_linear_layers_of_a_pytorch_transformer_layer_are_known():
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
    assert follows(nn.Sequential(layer), "0.linear1").text == "GELU"
    assert follows(nn.Sequential(layer), "0.linear2").text == "add"
    assert [follows(layer, name).text for name in ("linear1", "linear2")] == ["GELU", "add"]


def test_a_model_that_is_one_layer_is_followed_by_nothing():
    assert follows(nn.Linear(3, 4), "").text == "nothing"


@pytest.mark.parametrize(("wrap", "prefix"), [(torch.compile, "_orig_mod"), (nn.DataParallel, "module")])
def test_a_wrapped_model_is_read_as_the_model_in_it(wrap, prefix):
    wrapped = wrap(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)))
    assert [follows(wrapped, f"{prefix}.{name}").text for name in (0, 2)] == ["tanh", "nothing"]
    assert not follows(wrapped, f"{prefix}.2").assumed


def test_operations_on_the_way_to_a_sum_do_not_hide_it():
    assert after_conv(lambda net, x: x.contiguous() + F.tanh(x)).text == "add"
    assert after_conv(lambda net, x: F.relu_(x)).text == "ReLU"
    assert after_conv(lambda net, x: 1 + x).text == "add"


def test_a_layer_that_is_given_something_else_than_the_models_input_is_read_too():
    net = Net(lambda net, x: x + net.fc(net.table).relu(), fc=nn.Linear(4, 4))
    net.register_buffer("table", torch.ones(2, 4))
    assert (follows(net, "fc").text, follows(net, "fc").assumed) == ("ReLU", False)


def test_batch_norm_on_flattened_tokens_belongs_to_the_linear_layer_before_it():
    # As timm's LinearNorm.
    net = Net(lambda net, x: net.bn(net.fc(x).flatten(0, 1)).reshape_as(net.fc(x)), fc=nn.Linear(4, 4))
    net.bn = nn.BatchNorm1d(4)

    def forward(net, x):
        x = net.fc(x)
        return F.hardswish(net.bn(x.flatten(0, 1)).reshape_as(x))

    net._function = forward
    found = {layer.name: layer.follows for layer in find_layers(net, torch.zeros(2, 5, 4))}["fc"]
    assert (found.text, found.batch_norm, found.shared_norm) == ("BN, Hardswish", "bn", False)


def test_a_batch_norm_of_two_layers_is_said_to_be_shared():
    layers = {"one": nn.Linear(4, 4), "two": nn.Linear(4, 4), "bn": nn.BatchNorm1d(4), "fc": nn.Linear(4, 4)}
    net = Net(lambda net, x: net.own(net.fc(net.bn(net.one(x)) + net.bn(net.two(x)))), **layers)
    net.own = nn.BatchNorm1d(4)
    found = {layer.name: (layer.follows.batch_norm, layer.follows.shared_norm) for layer in find_layers(net)}
    assert found == {"one": ("bn", True), "two": ("bn", True), "fc": ("own", False)}


def test_a_forward_that_reads_values_is_read_on_an_example():
    body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model = Net(depends_on_values, body=body, head=nn.Linear(4, 2))
    found = {layer.name: layer for layer in find_layers(model, torch.ones(3, 4))}
    assert [found[name].follows.text for name in ("body.0", "body.2", "head")] == ["tanh", "nothing", "nothing"]
    assert not any(layer.follows.assumed for layer in found.values())
    assert [layer.flops for layer in found.values()] == [16, 16, 8]


def test_patched_forwards_are_traced_without_a_call_of_the_original():
    model = Net(lambda net, x: net.body(x), body=nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
    calls, plain = [], model.body.forward
    model.body.forward = lambda x: plain(x)
    model.body[0].register_forward_pre_hook(lambda *seen: calls.append(seen))
    assert follows(model, "body.0").text == "tanh" and calls == []


class Chain(nn.Module):
    """Many layers, so that a trace takes long; its forward reads values, so that it is traced by symbols too."""

    def __init__(self, reads_values):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(60))
        self.reads_values = reads_values

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x if not self.reads_values or x.sum() >= 0 else -x


@pytest.mark.parametrize("reads_values", [False, True])
def test_layers_found_in_two_threads_leave_every_module_of_the_process_usable(reads_values):
    model, x, raised, patched = Chain(reads_values), torch.randn(2, 3), [], []
    call, read = nn.Module.__call__, nn.Module.__getattr__

    def run():
        try:
            for _ in range(4):
                find_layers(model)
                patched.append((nn.Module.__call__, nn.Module.__getattr__) != (call, read))
        except Exception as error:
            raised.append(error)

    threads = [Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):  # a person's own cell meanwhile
        assert isinstance(model(x), torch.Tensor) and nn.Module.__call__ is call
    for thread in threads:
        thread.join()
    assert raised == [] and not any(patched) and nn.Module.__getattr__ is read
    assert torch.equal(model(x), model(x)) and not any("forward" in vars(module) for module in model.modules())
