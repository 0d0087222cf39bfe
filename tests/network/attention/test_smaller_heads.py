"""Networks whose attention heads keep fewer dimensions, against the network and against dense products."""

from copy import deepcopy

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.network import find_layers
from lrexplore.network.attention import balance_heads, choose_head_ranks, find_heads, smaller_heads
from lrexplore.network.compare import network_flops
from lrexplore.nn.attention import attentions_of
from tests.attentions import GENERATING, IMAGES, NETWORKS, RELATIVES, TOKENS, network, output


def ragged(model):
    """Ranks that differ by head, even ones, with some heads left out."""
    heads = [head for head in find_heads(model) if head.reason is None]
    return {head.name: 2 for number, head in enumerate(heads) if number % 3} | (
        {heads[0].name: 1} if not heads[0].rotary else {}
    )


@pytest.mark.parametrize("name", [*NETWORKS, *RELATIVES])
def test_heads_of_full_rank_give_the_outputs_of_the_network_with_masks(name):
    model, run = network(name)
    before, state = output(model, run), deepcopy(model.state_dict())
    full = lr.factorize(model, heads=1.0)
    torch.testing.assert_close(output(full, run), before, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    small = lr.factorize(model, heads=ragged(model))
    torch.testing.assert_close(output(lr.collapse(small), run), output(small, run), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_with_smaller_heads_collapses_to_one_of_the_same_class_and_outputs(name):
    model, run = network(name)
    small = lr.factorize(model, heads=ragged(model))
    collapsed = lr.collapse(small)
    assert (output(small, run) - output(model, run)).abs().max() > 1e-3
    torch.testing.assert_close(output(collapsed, run), output(small, run), atol=1e-5, rtol=1e-5)
    kinds = [type(module) for module in model.modules()]
    assert [type(module) for module in collapsed.modules()] == kinds
    assert sum(map(torch.Tensor.numel, small.parameters())) < sum(map(torch.Tensor.numel, model.parameters()))


@pytest.mark.parametrize("name", NETWORKS)
def test_smaller_heads_train_copy_and_load_their_own_state(name):
    model, run = network(name)
    small = lr.factorize(model, heads=ragged(model))
    run(small).square().sum().backward()
    factors = {key: value for key, value in small.named_parameters() if key.split(".")[-1] in ("rows", "columns")}
    assert factors and all(value.grad is not None and value.grad.isfinite().all() for value in factors.values())
    twin = deepcopy(small)
    other = lr.factorize(model, heads={key: rank for key, rank in ragged(model).items()})
    other.load_state_dict(small.state_dict())
    for copy in (twin, other):
        torch.testing.assert_close(output(copy, run), output(small, run))


@pytest.mark.parametrize("name", GENERATING)
def test_generation_with_a_cache_gives_the_words_that_the_collapsed_network_gives(name):
    model, _ = network(name)
    small = lr.factorize(model, heads=0.5)
    options = {"max_new_tokens": 6, "do_sample": False, "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    words = [
        net.generate(TOKENS[:1, :4], use_cache=use_cache, **options).tolist()
        for net, use_cache in ((small, True), (small, False), (lr.collapse(small), True))
    ]
    assert words[0] == words[1] == words[2]


def test_a_narrower_head_narrows_the_keys_in_the_cache():
    model, _ = network("GPT-2")
    small = lr.factorize(model, heads=0.5)
    with torch.no_grad():
        cache = small(TOKENS, use_cache=True).past_key_values
    assert cache.layers[0].keys.shape[-1] == 2
    assert lr.collapse(small).transformer.h[0].attn.split_size == 16


def dense_qk(attention, group):
    """(queries' inputs and 1, keys' inputs) of a key head, the query heads that share it one under the other."""
    q = attention.grouped(attention.q.read().double())[group]
    bias = attention.q.read_bias()
    if bias is not None:
        q = torch.cat([q, attention.grouped(bias.double())[group][..., None]], -1)
    return q.transpose(0, 1).flatten(1).mT @ attention.k.read().double()[group]


def dense_ov(attention, group):
    """(outputs of the query heads, values' inputs) of a key head."""
    o = attention.grouped(attention.o.read().double())[group]
    return o.transpose(0, 1).flatten(1).mT @ attention.v.read().double()[group]


PRODUCTS = [(name, kind) for name in ("torch attention", "BERT", "GPT-2", "timm ViT", "T5") for kind in ("qk", "ov")]


@pytest.mark.parametrize("name, kind", [*PRODUCTS, ("Llama", "ov"), ("Qwen2", "ov")])
def test_a_smaller_head_is_the_best_matrix_of_its_rank(name, kind):
    dense = dense_qk if kind == "qk" else dense_ov
    model, _ = network(name)
    attentions = attentions_of(model)
    at, attention = next(iter(attentions.items()))
    small = smaller_heads(model, {f"{at}:{kind}.1": 2})
    u, s, vh = torch.linalg.svd(dense(attention, 1), full_matrices=False)
    best = (u[:, :2] * s[:2]) @ vh[:2]
    twin = attentions_of(small)[at]
    torch.testing.assert_close(dense(twin, 1), best, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(dense(twin, 0), dense(attention, 0), atol=1e-6, rtol=1e-5)


def test_rotary_heads_keep_the_planes_that_lose_most_where_they_were():
    model, run = network("Llama")
    at, attention = next(iter(attentions_of(model).items()))
    small = smaller_heads(model, {f"{at}:qk.0": 2})
    q, k = attention.grouped(attention.q.read())[0], attention.k.read()[0]
    weight = [
        float(q[:, [plane, plane + 2]].square().sum() * k[[plane, plane + 2]].square().sum()) for plane in range(2)
    ]
    kept = 0 if weight[0] > weight[1] else 1
    assert small.get_submodule(f"{at}.k_proj").places[0] == (kept, kept + 2)
    twin = attentions_of(small)[at]
    grams = [
        torch.linalg.matrix_norm(side) for side in (twin.grouped(twin.q.read())[0].flatten(0, 1), twin.k.read()[0])
    ]
    assert float(grams[0]) == pytest.approx(float(grams[1]), rel=1e-5)
    # The rotation commutes with what was done: dropping the plane by hand gives the same network.
    by_hand = deepcopy(model)
    with torch.no_grad():
        for head in range(2):
            by_hand.get_submodule(f"{at}.q_proj").weight.view(4, 4, 16)[head, [1 - kept, 3 - kept]] = 0
    torch.testing.assert_close(output(small, run), output(by_hand, run), atol=1e-5, rtol=1e-5)


def test_the_value_bias_is_kept_whole_by_the_bias_of_the_output():
    layer = nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        layer.in_proj_weight[32:] = 0  # all that a value is then is its bias
        layer.in_proj_bias.normal_()
    small = lr.factorize(layer, heads={f":ov.{head}": 1 for head in range(4)})
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(small(x, x, x)[0], layer(x, x, x)[0], atol=1e-5, rtol=1e-5)


def test_the_key_bias_changes_no_attention_and_no_choice():
    layer = nn.MultiheadAttention(16, 4, batch_first=True)
    other = deepcopy(layer)
    with torch.no_grad():
        other.in_proj_bias[16:32] = torch.randn(16) * 3
    x = torch.randn(2, 5, 16)
    outputs = [lr.factorize(net, heads=0.5)(x, x, x)[0] for net in (layer, other)]
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_balancing_in_place_leaves_products_and_outputs_and_equals_norms(name):
    model, run = network(name)
    balanced = balance_heads(deepcopy(model))
    torch.testing.assert_close(output(balanced, run), output(model, run), atol=1e-5, rtol=1e-5)
    for at, attention in attentions_of(balanced).items():
        before = attentions_of(model)[at]
        for group in range(attention.num_groups):
            if attention.qk_reason is None and attention.planes is None:
                torch.testing.assert_close(dense_qk(attention, group), dense_qk(before, group), atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(dense_ov(attention, group), dense_ov(before, group), atol=1e-5, rtol=1e-5)
            o, v = attention.grouped(attention.o.read())[group].transpose(0, 1).flatten(1), attention.v.read()[group]
            torch.testing.assert_close(o @ o.mT, v @ v.mT, atol=1e-4, rtol=1e-4)
            gram = v @ v.mT
            assert (gram - torch.diag(gram.diagonal())).abs().max() < 1e-4 * gram.max()


def test_a_network_with_smaller_heads_is_exported_and_compiled_whole(tmp_path):
    model, run = network("timm ViT")
    small = lr.factorize(model, heads=ragged(model))
    compiled = torch.compile(small, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(output(compiled, run), output(small, run))
    lr.export(small, tmp_path / "small.pt2", IMAGES)
    program = torch.export.load(tmp_path / "small.pt2").module()
    torch.testing.assert_close(output(program, run), output(small, run))


@pytest.mark.parametrize("name, example", [("torchvision ViT", IMAGES[:1]), ("BERT", TOKENS[:1])])
def test_multiplications_of_smaller_heads_are_counted(name, example):
    model, _ = network(name)
    layer = find_layers(model, example)
    before, after = network_flops(model, lr.factorize(model, heads=0.5), example)
    positions, size = (5 if name == "torchvision ViT" else 7), 16
    # Half of the four projections and of the two products of the attention, in two layers.
    assert before - after == 2 * (4 * positions * size * size + 2 * positions * positions * size) // 2
    assert before == layer.flops


def test_torchs_attention_is_exported_whole_with_smaller_heads():
    small = lr.factorize(nn.MultiheadAttention(16, 4, batch_first=True), heads={":qk.0": 1, ":ov.2": 3}).eval()
    x, mask = torch.randn(2, 5, 16), torch.zeros(2, 5, dtype=torch.bool)
    mask[1, 3:] = True
    program = torch.export.export(small, (x, x, x), {"key_padding_mask": mask}).module()
    torch.testing.assert_close(program(x, x, x, key_padding_mask=mask)[0], small(x, x, x, key_padding_mask=mask)[0])


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 6, "vdim": 5}, {"add_zero_attn": True}])
def test_torchs_attention_has_its_arguments_and_shapes(options):
    layer = nn.MultiheadAttention(16, 4, batch_first=True, **options).eval()
    small = lr.factorize(layer, heads=1.0)
    q, k, v = torch.randn(2, 5, 16), torch.randn(2, 6, layer.kdim), torch.randn(2, 6, layer.vdim)
    masks = [
        {},
        {"need_weights": False},
        {"attn_mask": torch.ones(5, 6).triu(1).bool(), "average_attn_weights": False},
        {"attn_mask": torch.randn(8, 5, 6), "need_weights": False},
        {"key_padding_mask": torch.tensor([[False] * 6, [False] * 4 + [True] * 2])},
    ]
    for arguments in masks:
        expected, got = layer(q, k, v, **arguments), small(q, k, v, **arguments)
        torch.testing.assert_close(got[0], expected[0], atol=1e-5, rtol=1e-5)
        assert (got[1] is None) == (expected[1] is None)
        if expected[1] is not None:
            torch.testing.assert_close(got[1], expected[1], atol=1e-5, rtol=1e-5)
    single = small(q[0], k[0], v[0])
    torch.testing.assert_close(single[0], layer(q[0], k[0], v[0])[0], atol=1e-5, rtol=1e-5)


def test_dropout_of_weights_acts_in_training_only():
    small = lr.factorize(nn.MultiheadAttention(16, 4, dropout=0.5, batch_first=True), heads=0.5)
    x = torch.randn(1, 5, 16)
    for need_weights in (True, False):
        small.train()
        assert not torch.equal(*(small(x, x, x, need_weights=need_weights)[0] for _ in range(2)))
        small.eval()
        assert torch.equal(*(small(x, x, x, need_weights=need_weights)[0] for _ in range(2)))


def test_heads_and_layers_are_factorized_together_and_reported():
    model, run = network("torch encoder")
    small = lr.factorize(model, heads=0.5, rank_scale=0.25)
    table = lr.report(small).set_index("name")
    assert table.loc["layers.0.self_attn:qk.3", "rank"] == 2
    assert table.loc["layers.1.linear1", "rank"] == 4
    counted = table["parameters_before"].sum() - table["parameters_after"].sum()
    before, after = (sum(map(torch.Tensor.numel, net.parameters())) for net in (model, small))
    assert counted == before - after
    assert output(small, run).isfinite().all()


def test_float16_heads_keep_their_type():
    layer = nn.MultiheadAttention(16, 4).half()
    assert {value.dtype for value in lr.factorize(layer, heads=0.5).parameters()} == {torch.float16}


@pytest.mark.parametrize(
    "heads, said",
    [
        (0, "share in (0, 1]"),
        (1.5, "share in (0, 1]"),
        (True, "share in (0, 1]"),
        ({":qk.0": 5}, "1..4, got 5"),
        ({":qk.0": 0}, "got 0"),
        ({":qk.0": 1.5}, "got 1.5"),
        ({":qk.9": 2}, "Nearest: :qk."),
    ],
)
def test_a_bad_choice_of_heads_is_refused_in_words(heads, said):
    with pytest.raises(ValueError, match="`heads`") as error:
        choose_head_ranks(nn.MultiheadAttention(16, 4), heads)
    assert said in str(error.value)


def test_heads_with_normalized_queries_are_refused_with_the_reason():
    model, _ = network("Qwen3")
    with pytest.raises(ValueError, match="`q_norm`"):
        lr.factorize(model, heads={"model.layers.0.self_attn:qk.0": 2})
    with pytest.raises(ValueError, match="must be even"):
        lr.factorize(network("Llama")[0], heads={"model.layers.0.self_attn:qk.0": 1})


def test_layers_of_smaller_heads_are_not_factorized_twice():
    model, _ = network("timm ViT")
    with pytest.raises(ValueError, match="`ranks` must leave out"):
        lr.factorize(model, heads=0.5, ranks={"blocks.0.attn.qkv": 2})


def test_heads_with_nan_weights_are_refused_with_their_name():
    layer = nn.MultiheadAttention(16, 4)
    with torch.no_grad():
        layer.in_proj_weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        lr.factorize(layer, heads=0.5)
