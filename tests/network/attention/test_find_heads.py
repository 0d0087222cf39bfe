"""Which heads are found, what the table says of them, and how an unknown class is made known."""

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.network import find_layers
from lrexplore.network.attention import find_heads
from lrexplore.nn.attention import attentions_of
from tests.attentions import NETWORKS, network, output


class OwnAttention(nn.Module):
    """A person's own class: projections under other names, and half as many key heads as query heads."""

    def __init__(self, key_heads=2):
        super().__init__()
        self.count, self.key_heads = 4, key_heads
        self.ask, self.tell = nn.Linear(16, 16), nn.Linear(16, 4 * key_heads)
        self.give, self.back = nn.Linear(16, 4 * key_heads), nn.Linear(16, 16)

    def forward(self, x):
        q = self.ask(x).unflatten(-1, (4, -1)).transpose(1, 2)
        k, v = (
            part(x).unflatten(-1, (self.key_heads, -1)).transpose(1, 2).repeat_interleave(4 // self.key_heads, 1)
            for part in (self.tell, self.give)
        )
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=0.5)
        return self.back(out.transpose(1, 2).flatten(2))


class OwnNetwork(nn.Module):
    def __init__(self, key_heads=2):
        super().__init__()
        self.mix, self.last = OwnAttention(key_heads), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(self.mix(x))


NAMES = {
    "torch attention": ("", 4, 4, 16),
    "torch encoder": ("layers.1.self_attn", 4, 4, 16),
    "torchvision ViT": ("encoder.layers.encoder_layer_1.self_attention", 4, 4, 16),
    "torchvision Swin": ("features.3.1.attn", 4, 8, 32),
    "timm ViT": ("blocks.1.attn", 4, 4, 16),
    "BERT": ("encoder.layer.1.attention", 4, 4, 16),
    "GPT-2": ("transformer.h.1.attn", 4, 4, 16),
    "GPT-2 with cross attention": ("transformer.h.0.crossattention", 4, 4, 16),
    "T5": ("decoder.block.1.layer.1.EncDecAttention", 4, 4, 16),
    "ViT": ("layers.1.attention", 4, 4, 16),
    "Llama": ("model.layers.1.self_attn", 2, 4, 16),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_head_of_a_known_attention_is_listed_by_name(name):
    model, _ = network(name)
    at, num_heads, head_dim, size = NAMES[name]
    found = {head.name: head for head in find_heads(model)}
    for kind in ("qk", "ov"):
        names = [key for key in found if key.startswith(f"{at}:{kind}.")]
        assert names == [f"{at}:{kind}.{place}" for place in range(num_heads)]
        assert {found[key].dimension for key in names} == {head_dim}
        assert {found[key].model_dimension for key in names} == {size}
    assert list(lr.heads(model)["name"]) == list(found)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parameters_of_heads_are_those_of_their_projections(name):
    model, _ = network(name)
    counted = sum(head.parameters for head in find_heads(model))
    held = set()
    for attention in attentions_of(model).values():
        for stack in (attention.q, attention.k, attention.v, attention.o):
            held |= {value for value in (stack.weight, stack.bias) if value is not None}
    assert counted == sum(value.numel() for value in held)


def test_the_table_has_the_ranks_of_the_dense_products():
    layer = nn.MultiheadAttention(16, 2)
    table = lr.heads(layer).set_index("name")
    w, b = layer.in_proj_weight.double(), layer.in_proj_bias.double()
    query, key = torch.cat([w[8:16], b[8:16, None]], 1), w[24:32]
    values = torch.linalg.svdvals(query.mT @ key)[:8].detach()
    share = values / values.sum()
    assert table.loc[":qk.1", "stable_rank"] == pytest.approx(float(values.square().sum() / values[0] ** 2), rel=1e-4)
    assert table.loc[":qk.1", "effective_rank"] == pytest.approx(
        float(torch.exp(-(share * share.log()).sum())), rel=1e-3
    )


def test_heads_of_a_network_on_the_meta_device_are_listed_without_ranks():
    table = lr.heads(nn.MultiheadAttention(16, 2, device="meta"))
    assert len(table) == 4 and table["stable_rank"].isna().all()


def test_an_unknown_attention_is_named_with_what_makes_it_known():
    table = lr.heads(OwnNetwork())
    assert list(table["name"]) == ["mix:qk", "mix:ov"]
    assert "lr.register_attention(OwnAttention" in table["reason"][0]
    with pytest.raises(ValueError, match="OwnAttention"):
        lr.factorize(OwnNetwork(), heads=0.5)
    with pytest.raises(ValueError, match="OwnAttention"):
        lr.factorize(OwnNetwork(), heads={"mix:qk": 2})


def test_a_registered_attention_is_factorized_and_collapsed_as_any_other(tmp_path):
    lr.register_attention(OwnAttention, q="ask", k="tell", v="give", o="back", heads="count")
    model, x = OwnNetwork().eval(), torch.randn(2, 5, 16)
    assert list(lr.heads(model)["name"]) == ["mix:qk.0", "mix:qk.1", "mix:ov.0", "mix:ov.1"]
    torch.testing.assert_close(lr.factorize(model, heads=1.0)(x), model(x), atol=1e-5, rtol=1e-5)
    small = lr.factorize(model, heads={"mix:qk.0": 1, "mix:ov.1": 3})
    torch.testing.assert_close(lr.collapse(small)(x), small(x), atol=1e-5, rtol=1e-5)
    lr.save(small, tmp_path / "own.safetensors")
    torch.testing.assert_close(lr.load(tmp_path / "own.safetensors", model)(x), small(x))


def test_a_class_whose_forward_is_overridden_is_no_longer_the_known_one():
    class OtherAttention(nn.MultiheadAttention):
        def forward(self, x):
            return x

    class Same(nn.MultiheadAttention):
        pass

    assert "register_attention" in lr.heads(OtherAttention(16, 2))["reason"][0]
    assert lr.heads(Same(16, 2))["reason"][0] == ""


def test_key_heads_that_do_not_divide_the_query_heads_are_refused_with_the_name():
    lr.register_attention(OwnAttention, q="ask", k="tell", v="give", o="back", heads="count")
    with pytest.raises(ValueError, match="`mix`.*must divide its 4 query heads, got 3"):
        lr.heads(OwnNetwork(key_heads=3))


@pytest.mark.parametrize("change", [{"q": ""}, {"rotary": "both"}, {"heads": 4}])
def test_a_record_that_cannot_be_is_refused(change):
    record = {"q": "ask", "k": "tell", "v": "give", "o": "back", "heads": "count"} | change
    with pytest.raises(ValueError, match=f"`{next(iter(change))}`"):
        lr.register_attention(OwnAttention, **record)
    with pytest.raises(TypeError, match="`cls`"):
        lr.register_attention(OwnAttention(), **record)


def test_what_acts_between_the_heads_and_the_output_refuses_only_that_product():
    from timm.layers import Attention

    layer = Attention(16, 4, gated=True)
    reasons = lr.heads(layer).set_index("name")["reason"]
    assert reasons[":qk.0"] == "" and "`gate`" in reasons[":ov.0"]
    x = torch.randn(1, 5, 16)
    torch.testing.assert_close(lr.factorize(layer, heads=1.0)(x), layer(x), atol=1e-5, rtol=1e-5)


def test_projections_that_are_adapted_or_pruned_are_refused_with_their_class():
    layer = nn.MultiheadAttention(16, 2, add_bias_kv=True)
    assert "add_bias_kv" in lr.heads(layer)["reason"][0]
    model, _ = network("timm ViT")
    model = lr.collapse(lr.factorize(model, heads=1.0))
    nn.utils.parametrizations.weight_norm(model.blocks[0].attn.qkv)
    assert "no plain linear layer" in lr.heads(model)["reason"][0]


@pytest.mark.parametrize(
    "name", ["torch encoder", "torchvision ViT", "torchvision Swin", "timm ViT", "BERT", "GPT-2", "Llama"]
)
def test_smaller_heads_are_saved_and_loaded(name, tmp_path):
    model, run = network(name)
    heads = [head for head in find_heads(model) if head.reason is None]
    ranks = {
        layer.name: 2 for layer in find_layers(model) if layer.name.split(".")[-1] in ("linear1", "fc1", "up_proj")
    }
    small = lr.factorize(model, heads={head.name: 2 for head in heads[::2]}, ranks=ranks)
    path = tmp_path / "small.safetensors"
    lr.save(small, path)
    torch.testing.assert_close(output(lr.load(path, model), run), output(small, run))
    with pytest.raises(ValueError, match="attention|layer"):
        lr.load(path, nn.Sequential(nn.Linear(16, 16)))


def test_heads_of_another_size_are_refused_at_loading(tmp_path):
    lr.save(lr.factorize(nn.MultiheadAttention(16, 4), heads=0.5), tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="with other heads"):
        lr.load(tmp_path / "small.safetensors", nn.MultiheadAttention(16, 2))


@pytest.mark.parametrize("name", ["BERT", "GPT-2", "T5", "Llama", "ViT"])
def test_smaller_heads_come_back_from_a_folder_of_transformers(name, tmp_path):
    model, run = network(name)
    heads = [head for head in find_heads(model) if head.reason is None]
    for number, ranks in enumerate(({head.name: 2 for head in heads[::2]}, 0.5)):  # padded, and of one width
        small = lr.factorize(model, heads=ranks)
        small.save_pretrained(tmp_path / str(number))
        again = type(model).from_pretrained(tmp_path / str(number)).eval()
        torch.testing.assert_close(output(again, run), output(small, run))
    assert getattr(lr.collapse(again).config, "quantization_config", None) is None
    assert getattr(model.config, "quantization_config", None) is None
