import re
from collections import OrderedDict

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from lrexplore.network import batch_norm_of, batch_norms_of, find_layers, layers, weights_of
from lrexplore.network.layers import layers_table


def torchvision_model(name):
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None)


def reason(model, name):
    return {layer.name: layer.skip_reason for layer in find_layers(model)}[name]


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("resnet18", torchvision.models.ResNet18_Weights.IMAGENET1K_V1),
        ("resnet50", torchvision.models.ResNet50_Weights.IMAGENET1K_V1),
        ("efficientnet_b0", torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1),
    ],
)
def test_multiply_adds_are_those_that_torchvision_publishes(name, weights):
    total = sum(layer.flops for layer in find_layers(torchvision_model(name)))
    # torchvision prints billions with three digits.
    assert round(total / 1e9, 3) == pytest.approx(weights.meta["_ops"], abs=1.01e-3)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "vgg11"])
def test_parameters_are_those_of_the_modules(name):
    model = torchvision_model(name)
    for layer in find_layers(model):
        assert layer.num_parameters == sum(p.numel() for p in model.get_submodule(layer.name).parameters())


def test_layers_come_in_module_order_with_their_geometry_and_sizes():
    model = nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), stride=2, padding=(1, 2), dilation=1, groups=1, padding_mode="reflect"),
        nn.Flatten(),
        nn.Linear(8 * 16 * 16, 4, bias=False),
    )
    conv, linear = find_layers(model, torch.zeros(7, 3, 32, 32))
    assert (conv.name, conv.kind, conv.weight_shape, conv.kernel_size) == ("0", "conv", (8, 3, 3, 5), (3, 5))
    assert (conv.stride, conv.padding, conv.padding_mode, conv.bias) == ((2, 2), (1, 2), "reflect", True)
    assert (conv.input_size, conv.output_size) == ((32, 32), (16, 16))
    assert conv.flops == 16 * 16 * 8 * 3 * 3 * 5
    assert (linear.kind, linear.input_size, linear.flops, linear.bias) == ("linear", None, 8 * 256 * 4, False)
    assert conv.matrix_shape() == (8, 45) and conv.matrix_shape("spatial") == (24, 15)


def test_a_layer_called_twice_costs_twice_and_tokens_count():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(self.fc(x)[:, :3])

    (layer,) = find_layers(Twice(), torch.zeros(2, 5, 4))
    assert [call.output_size for call in layer.calls] == [(5, 1), (3, 1)]
    assert layer.flops == (5 + 3) * 16


def test_a_network_that_refuses_224_pixels_is_measured_at_a_size_it_takes():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 10))
    assert {layer.measured for layer in find_layers(model)} == {"input 1 x 1 x 28 x 28"}


def test_sizes_that_cannot_be_measured_are_none_with_the_reason():
    model = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (3, 3)))
    (layer,) = find_layers(model)
    assert layer.calls is None and layer.flops is None and layer.skip_reason is None
    assert layer.measured.startswith("unknown: the forward pass on input 1 x 4 failed (RuntimeError")
    assert layer.measured.endswith("Pass `example_input`.")


def test_finding_layers_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    find_layers(model)
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Summing(nn.Module):
    """Its forward reads what a hook of its own kept."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.kept = nn.Linear(6, 6), nn.Linear(6, 4), []
        self.first.register_forward_hook(self.keep)

    def keep(self, module, args, output):
        self.kept.append(output)

    def forward(self, x):
        self.first(x)
        return self.second(self.kept.pop())


def test_hooks_of_others_hear_nothing_of_it_and_the_models_own_work():
    heard, model = [], Summing()
    for module in model.modules():
        module.register_forward_hook(lambda *seen: heard.append(seen))
        module.register_forward_pre_hook(lambda *seen: heard.append(seen))
    layers = find_layers(model)
    assert [layer.flops for layer in layers] == [36, 24]
    assert heard == [] and model.kept == []
    model(torch.randn(2, 6))
    assert len(heard) == 6


def test_what_cannot_be_factorized_says_why():
    shared = nn.Linear(8, 8)
    tied = nn.Linear(8, 8)
    tied.weight = shared.weight
    model = nn.ModuleDict(
        {
            "depthwise": nn.Conv2d(8, 8, 3, groups=8),
            "doubled": nn.Conv2d(8, 16, 3, groups=8),
            "tiny": nn.Linear(8, 1),
            "one": nn.Conv1d(3, 4, 3),
            "up": nn.ConvTranspose2d(3, 4, 3),
            "shared": shared,
            "tied": tied,
            "normed": weight_norm(nn.Linear(8, 8)),
            "attention": nn.MultiheadAttention(8, 2),
            "gray": nn.Conv2d(1, 16, 3),
        }
    )
    assert reason(model, "depthwise").startswith("depthwise: each of its 8 groups has one input channel, so its")
    assert "matrix is only 1 x 9" in reason(model, "depthwise")
    assert "matrix is only 2 x 9" in reason(model, "doubled")
    assert reason(model, "tiny") == "too small: even rank 1 of its 1 x 8 matrix saves no parameters"
    assert reason(model, "one") == "Conv1d: only nn.Linear and nn.Conv2d are factorized"
    assert reason(model, "up").startswith("ConvTranspose2d:")
    assert "shared" in reason(model, "shared") and "shared" in reason(model, "tied")
    assert "weight norm" in reason(model, "normed")
    assert reason(model, "attention.out_proj").startswith("inside nn.MultiheadAttention")
    assert reason(model, "gray") is None


def test_a_subclass_that_computes_something_else_is_skipped():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    assert reason(nn.Sequential(Scaled(8, 8)), "0") == "its class Scaled computes something else than Linear"


def test_a_layer_that_is_never_called_is_skipped():
    found = {layer.name: layer for layer in find_layers(torchvision_model("swin_t"))}
    # Swin reads the weights of qkv and proj in its own attention function.
    assert "never calls it" in found["features.1.0.attn.qkv"].skip_reason
    assert found["features.1.0.attn.qkv"].follows.text == "not called"
    assert found["features.1.0.mlp.0"].skip_reason is None


def test_the_batch_norm_of_a_layer_gives_its_scale_and_shift():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5, affine=False))
    nn.init.normal_(model[1].weight)
    first, second = find_layers(model)
    assert torch.equal(batch_norm_of(model, first).gamma, model[1].weight)
    assert torch.equal(batch_norm_of(model, first).beta, model[1].bias)
    assert torch.equal(batch_norm_of(model, second).gamma, torch.ones(5))
    assert batch_norm_of(nn.Linear(3, 3), find_layers(nn.Linear(3, 3))[0]) is None


def test_weights_come_one_kernel_a_group():
    model = nn.Conv2d(6, 9, 3, groups=3)
    kernels = weights_of(model, find_layers(model)[0])
    assert [tuple(kernel.shape) for kernel in kernels] == [(3, 2, 3, 3)] * 3
    assert torch.equal(torch.cat(kernels), model.weight)


def test_the_table_has_one_row_a_layer():
    table = layers(torchvision_model("resnet18"))
    assert list(table.columns) == [
        "name", "kind", "shape", "kernel", "groups", "parameters", "MFLOP", "follows", "break_even_rank",
        "factorizable", "reason",
    ]  # fmt: skip
    assert len(table) == 21 and table["factorizable"].all()
    row = table.set_index("name").loc["layer1.0.conv1"]
    assert (row["shape"], row["kernel"], row["follows"]) == ("64 x 576", "3 x 3", "BN, ReLU")
    # 64 * 576 / (64 + 576) = 57.6
    assert row["break_even_rank"] == 57
    assert table.attrs["measured"] == "input 1 x 3 x 224 x 224"


def test_a_model_without_layers_gives_an_empty_table_with_its_columns():
    assert len(layers(nn.ReLU())) == 0 and "follows" in layers(nn.ReLU()).columns


def test_anything_but_a_module_is_refused():
    with pytest.raises(TypeError, match="`model` must be an nn.Module, got str"):
        find_layers("resnet50")


def test_a_lazy_layer_is_named():
    with pytest.raises(ValueError, match="got `0` that is lazy and has none yet. Run the model once first"):
        find_layers(nn.Sequential(nn.LazyLinear(4)))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_batch_norm_with_neither_scale_nor_statistics_is_one_all_the_same(groups):
    import lrexplore as lr

    norm = nn.BatchNorm2d(16, affine=False, track_running_stats=False)
    net = nn.Sequential(nn.Conv2d(8, 16, 3, groups=groups, bias=False), norm, nn.ReLU(), nn.Conv2d(16, 16, 3)).eval()
    layer = find_layers(net)[0]
    assert (layer.follows.text, layer.follows.batch_norm) == ("BN, ReLU", "1")
    assert torch.equal(batch_norm_of(net, layer).gamma, torch.ones(16))
    assert torch.equal(batch_norm_of(net, layer).beta, torch.zeros(16))
    assert [len(part.gamma) for part in batch_norms_of(net, layer)] == [16 // groups] * groups
    loader = [torch.randn(6, 8, 9, 9)]
    plan = lr.allocate(net, parameter_ratio=0.6, loader=loader, use_cache=False)
    small = lr.factorize(net, plan=plan, loader=loader)
    assert small(loader[0]).shape == net(loader[0]).shape
    assert list(lr.layers(net)["follows"]) == ["BN, ReLU", "nothing"]
    assert lr.explore(net).state is not None


class Adapted(nn.Module):
    """A linear layer with matrices beside it, which are added to its weight later, as LoRA's are."""

    def __init__(self):
        super().__init__()
        self.base_layer = nn.Linear(8, 8)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(8, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, 8, bias=False)})

    def forward(self, x):
        return self.base_layer(x) + self.lora_B["default"](self.lora_A["default"](x))


class Merging(nn.Module):
    """Its method writes into one layer's weight, in one of these ways; the other layer is set up only."""

    def __init__(self):
        super().__init__()
        self.written, self.stored, self.free = (nn.Linear(8, 8) for _ in range(3))
        nn.init.normal_(self.free.weight)

    def reset_parameters(self):
        self.free.weight.data.zero_()

    def merge(self):
        self.written.weight.data += 1

    def swap(self, weight):
        self.stored.weight = weight

    def forward(self, x):
        return self.written(x) + self.stored(x) + self.free(x).type(self.free.weight.dtype)


class Reading(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        return self.fc(x) @ self.fc.weight.T


class Doubled(nn.Linear):
    def __call__(self, x):
        return 2 * super().__call__(x)


class SelfMerging(nn.Linear):
    def merge(self):
        self.weight.data.add_(1)


class Initialized(nn.Linear):
    def reset_parameters(self):
        self.weight.data.fill_(1)


def shifted(module, args, output):
    return output + 1


def printed(module, args, output):
    print(output.shape)


def test_what_a_layer_computes_is_more_than_its_class():
    plain = {name: nn.Linear(8, 8) for name in ("patched", "hooked", "looked at", "biased", "more")}
    old = plain["patched"].forward
    plain["patched"].forward = lambda x: 2 * old(x)
    plain["hooked"].register_forward_hook(shifted)
    plain["looked at"].register_forward_hook(printed)
    parametrize.register_parametrization(plain["biased"], "bias", nn.Tanh())
    plain["more"].register_buffer("mask", torch.ones(8, 8))
    others = {
        "adapted": Adapted(), "merging": Merging(), "reading": Reading(), "doubled": Doubled(8, 8),
        "self merging": SelfMerging(8, 8), "initialized": Initialized(8, 8),
    }  # fmt: skip
    found = {layer.name: layer.skip_reason for layer in find_layers(nn.Sequential(OrderedDict(plain | others)))}
    assert {name for name, text in found.items() if text is None} == {"looked at", "merging.free", "initialized"}
    for name, words in {
        "patched": "its `forward` was replaced on this module",
        "hooked": "its forward hook `shifted` may change what it computes",
        "biased": "its bias is computed",
        "more": "it has more than weight and bias (mask)",
        "adapted.base_layer": "Adapted adapts its weight, and may merge into it",
        "adapted.lora_A.default": "a matrix of the adapter Adapted",
        "merging.written": "Merging, which holds it, writes into its weight later",
        "merging.stored": "Merging, which holds it, writes into its weight later",
        "reading.fc": "its weight is also read by other code in the forward pass",
        "doubled": "its class Doubled is called in another way than Linear",
        "self merging": "its class SelfMerging writes into its weight later",
    }.items():
        assert found[name].startswith(words), name


def test_a_network_that_calls_its_first_part_a_base_layer_is_no_adapter():
    net = nn.Sequential(OrderedDict(base_layer=nn.Sequential(nn.Conv2d(3, 9, 3)), body=nn.Conv2d(9, 9, 3)))
    assert [layer.skip_reason for layer in find_layers(net)] == [None, None]
    nested = nn.Sequential(OrderedDict(base_layer=Adapted(), lora_A=nn.Linear(8, 8)))
    assert "adapter" in reason(nested, "lora_A") and "adapts" in reason(nested, "base_layer.base_layer")


CLASSIFIERS = {
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet1_0", "mobilenet_v3_large", "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_0", "swin_t", "swin_v2_t",
    "vit_b_16", "wide_resnet50_2",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
def test_multiply_adds_of_a_whole_network_are_those_that_torchvision_publishes(name):
    weights = next(iter(torchvision.models.get_model_weights(name)))
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None, **options)
    size = weights.transforms().crop_size[0]
    flops = find_layers(model, torch.empty(2, 3, size, size, device="meta")).flops
    assert flops / 1e9 == pytest.approx(weights.meta["_ops"], rel=0.02)


def test_recurrent_layers_and_products_of_activations_count_as_what_stays():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lstm = nn.Linear(6, 6), nn.LSTM(6, 5, batch_first=True)

        def forward(self, x):
            x = self.fc(x)
            return self.lstm(torch.einsum("bij,bkj->bik", x, x) @ x)

    layers = find_layers(Mixed(), torch.zeros(3, 7, 6))
    # einsum 7 x 7 x 6, product 7 x 7 x 6; the four gates of the LSTM, from 6 inputs and 5 states, at 7 times
    assert layers.other_flops == 2 * 7 * 7 * 6 + 7 * 4 * 5 * (6 + 5)
    assert layers.flops == layers.other_flops + 7 * 36
    table = layers_table(Mixed(), torch.zeros(3, 7, 6))
    assert table.attrs["other_MFLOP"] == layers.other_flops / 1e6


@pytest.mark.parametrize("as_dict", [False, True])
def test_a_forward_that_reads_values_has_the_sizes_of_a_real_run(as_dict):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head, self.norm = nn.Linear(4, 4), nn.Linear(4, 2), nn.BatchNorm1d(4)

        def forward(self, x, mask=None):
            return self.head(self.norm(self.body(x[: int(mask.sum())])))

    model = Masked().train()
    example = {"x": torch.randn(4, 4), "mask": torch.ones(4, dtype=torch.bool)}
    before = model.norm.running_mean.clone()
    layers = find_layers(model, example if as_dict else tuple(example.values()))
    assert [layer.flops for layer in layers] == [16, 8] and layers[0].measured == "input 4 x 4 and 4"
    assert layers[0].follows.batch_norm == "norm"
    assert model.training and torch.equal(model.norm.running_mean, before)


def test_a_compiled_network_has_the_layers_of_the_network_in_it():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    (plain,), (compiled,) = find_layers(model), find_layers(torch.compile(model))
    assert compiled.name == "_orig_mod.0" and compiled.follows.batch_norm == "_orig_mod.1"
    assert (compiled.calls, compiled.follows.text) == (plain.calls, plain.follows.text)


def test_a_list_of_images_is_a_batch_of_them():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, images):
            return [self.conv(images[0][None]), self.conv(images[1][None])] if images[0].max() > -1 else None

    (layer,) = find_layers(Detector(), ([torch.rand(3, 8, 8), torch.rand(3, 10, 10)],))
    assert layer.measured == "input 3 x 8 x 8 and 3 x 10 x 10"
    assert [call.output_size for call in layer.calls] == [(6, 6), (8, 8)]


ODD_WEIGHTS = {
    "sparse": (lambda x: x.to_sparse(), r"its weight is sparse \(torch.sparse_coo\): `.to_dense\(\)`"),
    "compressed": (lambda x: x.to_sparse_csr(), r"its weight is sparse \(torch.sparse_csr\)"),
    "float8": (lambda x: x.to(torch.float8_e4m3fn), r"its weight is quantized \(torch.float8_e4m3fn\): a float16"),
    "int8": (lambda x: x.to(torch.int8), r"its weight is quantized \(torch.int8\)"),
    "complex": (lambda x: x.to(torch.complex64), r"its weight is complex \(torch.complex64\)"),
    "meta": (lambda x: x.to("meta"), "its weight is on the meta device and has no values: load it first"),
    "quantized": (
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        r"its weight is quantized \(torch.qint8",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD_WEIGHTS)
def test_a_weight_that_cannot_be_computed_with_is_listed_with_the_reason_and_the_others_factorized(kind, tmp_path):
    import lrexplore as lr

    change, words = ODD_WEIGHTS[kind]
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    net[0].weight = nn.Parameter(change(net[0].weight.detach()), requires_grad=False)
    for given in (None, torch.randn(2, 8)):
        table = lr.layers(net, given).set_index("name")
        assert re.match(words, table.loc["0", "reason"]) and table.loc["2", "factorizable"]
    assert list(lr.allocate(net, parameter_ratio=0.9, use_cache=False).ranks) == ["2"]
    small = lr.factorize(net, rank_scale=0.3)
    assert lr.report(small)["rank"].isna().tolist() == [True, False]
    if kind in ("sparse", "compressed", "meta", "quantized"):
        with pytest.raises(
            ValueError, match="`0.weight` (of `model` must be a plain tensor to be saved, got one|without any)"
        ):
            lr.save(net, tmp_path / "net.safetensors")


@pytest.mark.filterwarnings("ignore")
def test_quantized_modules_are_listed_with_the_reason(tmp_path):
    import lrexplore as lr

    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    net = nn.Sequential(torch.ao.quantization.quantize_dynamic(net[:1], {nn.Linear}, torch.qint8), *net[1:])
    found = {layer.name: layer for layer in find_layers(net)}
    assert found["0.0"].skip_reason.startswith("Linear: it is quantized") and found["0.0"].weight_shape == (16, 8)
    assert found["2"].skip_reason is None
    with pytest.raises(ValueError, match="must be a tensor or plain values to be saved.*save the network from before"):
        lr.save(net, tmp_path / "net.safetensors")


class Experts(nn.Module):
    """All matrices of a mixture in one weight, and the router's own."""

    def __init__(self):
        super().__init__()
        self.stacked, self.body = nn.Parameter(torch.randn(4, 6, 6)), nn.Linear(6, 6)
        self.position, self.table = nn.Parameter(torch.randn(1, 5, 6)), nn.Parameter(torch.randn(9, 6))

    def forward(self, x):
        return self.body(x) @ self.stacked.sum(0)


def test_matrices_that_no_linear_layer_holds_are_listed_with_the_reason():
    class Router(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 6))

    class Conv1D(Router):  # as transformers' GPT-2 has it
        pass

    net = nn.ModuleDict(
        {"experts": Experts(), "router": Router(), "cell": nn.GRU(4, 5), "gpt": Conv1D(), "norm": nn.LayerNorm((4, 6)),
         "embed": nn.Embedding(4, 6)}
    )  # fmt: skip
    found = {layer.name: layer for layer in find_layers(net)}
    assert {name: layer.weight_shape for name, layer in found.items()} == {
        "experts": (4, 6, 6), "experts.body": (6, 6), "router": (4, 6), "cell": (15, 4), "gpt": (4, 6)
    }  # fmt: skip
    assert found["experts"].skip_reason.startswith("Experts: 4 matrices in one weight")
    assert found["router"].skip_reason == "Router: only nn.Linear and nn.Conv2d are factorized"
    assert "transposed: put an nn.Linear" in found["gpt"].skip_reason
    assert [layer.flops for layer in found.values()] == [None] * 5
    assert layers(net)["kind"].tolist() == ["Experts", "linear", "Router", "GRU", "Conv1D"]


def test_multiply_adds_of_grouped_products_count_as_what_stays():
    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.Parameter(torch.randn(2, 16, 8, dtype=torch.bfloat16))
            self.body = nn.Linear(16, 16, dtype=torch.bfloat16)

        def forward(self, x):
            ends = torch.tensor([4, 8], dtype=torch.int32, device=x.device)
            return nn.functional.grouped_mm(self.body(x), self.experts, offs=ends)

    found = find_layers(Grouped(), torch.randn(8, 16, dtype=torch.bfloat16))
    assert (found.other_flops, found.flops) == (16 * 8, 16 * 8 + 16 * 16)


def test_a_network_of_tokens_is_measured_on_some():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.body = nn.Embedding(9, 6), nn.Linear(6, 4)

        def forward(self, tokens):
            return torch.relu(self.body(self.embed(tokens)))

    (layer,) = find_layers(Tokens())
    assert layer.measured == "input 1 x 16" and layer.flops == 16 * 24 and layer.follows.text == "ReLU"
