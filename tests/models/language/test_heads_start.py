import pytest
import torch
from torch import nn

from lrexplore.models.language import LANGUAGE
from lrexplore.models.language.head_initialization import balanced_factors, initialize_heads
from lrexplore.models.language.separate_attention import PRODUCTS, MultiHead, attentions

BOTH = ("balanced", "balanced"), ("spectral", "spectral")


def network(name="translation", num_pieces=300, **choices):
    torch.manual_seed(0)
    return LANGUAGE[name](num_pieces, **choices).eval()


def test_full_heads_attend_as_torchs_own_attention_does():
    torch.manual_seed(0)
    ours, theirs = MultiHead(64, 4), nn.MultiheadAttention(64, 4, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.q.weight, ours.k.weight, ours.v.weight]))
        theirs.out_proj.weight.copy_(ours.o.weight)
    tokens, padding = torch.randn(3, 7, 64), torch.arange(7)[None] >= torch.tensor([7, 4, 2])[:, None]
    expected = theirs(tokens, tokens, tokens, key_padding_mask=padding)[0]
    torch.testing.assert_close(ours(tokens, ~padding[:, None, None]), expected, atol=1e-5, rtol=1e-5)
    later = torch.ones(7, 7, dtype=torch.bool).triu(1)
    expected = theirs(tokens, tokens, tokens, attn_mask=later)[0]
    torch.testing.assert_close(ours(tokens, causal=True), expected, atol=1e-5, rtol=1e-5)


def test_a_heads_products_are_its_logits_and_what_it_adds():
    torch.manual_seed(0)
    attention, x, y = MultiHead(32, 4, head_dim=5), torch.randn(1, 1, 32), torch.randn(1, 1, 32)
    left, right = attention.pairs("qk")
    keys, _ = attention.keys_values(y)
    queries = attention._heads(attention.q(x))
    torch.testing.assert_close((queries * keys).sum(-1)[0, :, 0], (x[0, 0] @ (left @ right)) @ y[0, 0])
    left, right = attention.pairs("ov")
    torch.testing.assert_close(
        attention.attend(x, attention.keys_values(y), None, False)[0, 0], (left @ right).sum(0) @ y[0, 0]
    )


@pytest.mark.parametrize("name", LANGUAGE)
def test_balancing_leaves_products_and_outputs_as_they_were_and_shares_the_singular_values(name):
    plain, balanced = network(name), network(name, qk_initializer="balanced", ov_initializer="balanced")
    for before, after in zip(attentions(plain).values(), attentions(balanced).values(), strict=True):
        for product in PRODUCTS:
            left, right = after.pairs(product)
            was = torch.matmul(*before.pairs(product))
            assert ((left @ right - was).norm() / was.norm()).item() < 1e-5
            values = torch.linalg.svdvals(was)[:, : after.head_dim]
            for gram in (left.mT @ left, right @ right.mT):
                torch.testing.assert_close(gram, torch.diag_embed(values), atol=1e-4, rtol=1e-4)
    pieces = torch.randint(4, 300, (2, 9), generator=torch.Generator().manual_seed(1))
    inputs = (pieces, pieces) if name == "translation" else (pieces,)
    torch.testing.assert_close(balanced(*inputs), plain(*inputs), atol=2e-4, rtol=1e-4)


def test_a_spectral_start_is_the_best_smaller_head_for_the_one_that_was_drawn():
    full, half = network(), network(head_scale=0.5, qk_initializer="spectral", ov_initializer="spectral")
    for before, after in zip(attentions(full).values(), attentions(half).values(), strict=True):
        assert after.head_dim == before.head_dim // 2
        for product in PRODUCTS:
            whole, part = torch.matmul(*before.pairs(product)), torch.matmul(*after.pairs(product))
            tail = torch.linalg.svdvals(whole.double())[:, after.head_dim :].square().sum(1).sqrt()
            torch.testing.assert_close((whole - part).double().flatten(1).norm(dim=1), tail, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head_scale", [0.25, 0.5, 1.0])
def test_each_start_begins_from_the_same_draw_and_touches_the_products_it_names_alone(head_scale):
    full = network()
    for qk, ov in (("drawn", "drawn"), ("spectral", "drawn"), ("drawn", "balanced")):
        other = network(head_scale=head_scale, qk_initializer=qk, ov_initializer=ov)
        mine = {id(p) for a in attentions(other).values() for kind in PRODUCTS for p in a.parameters_of(kind)}
        for (name, before), after in zip(full.named_parameters(), other.parameters(), strict=True):
            assert id(after) in mine or before.equal(after), name
        for before, after in zip(attentions(full).values(), attentions(other).values(), strict=True):
            for product, how in zip(PRODUCTS, (qk, ov), strict=True):
                left, right = before.pairs(product)
                d = after.head_dim
                same = after.pairs(product)[0].equal(left[:, :, :d]) and after.pairs(product)[1].equal(right[:, :d])
                assert same == (how == "drawn")


def test_balanced_factors_of_thin_matrices_are_those_of_the_svd_of_their_product():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 30, 6, generator=generator), torch.randn(2, 6, 40, generator=generator)
    new = balanced_factors(left, right, 3)
    u, s, vh = torch.linalg.svd(left @ right)
    torch.testing.assert_close(new[0] @ new[1], u[:, :, :3] * s[:, None, :3] @ vh[:, :3], atol=1e-4, rtol=1e-4)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="`num_heads` must divide the width 10, got 4. Use one of its divisors"):
        MultiHead(10, 4)


def test_no_head_loses_all_of_its_dimensions():
    model = MultiHead(16, 4)
    initialize_heads(model, 0.01, "spectral", "spectral")
    assert model.head_dim == 1 and model(torch.ones(1, 2, 16)).shape == (1, 2, 16)
