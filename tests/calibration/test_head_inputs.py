"""Real inputs of attention heads: what is recorded, and what it is good for, against whole forward passes."""

from copy import deepcopy

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.network.attention import find_heads, smaller_heads
from lrexplore.nn.attention import attentions_of
from tests.attentions import IMAGES, NETWORKS, TOKENS, network, output


class Encoder(nn.Module):
    """One attention over tokens whose features lie mostly in a few directions, about a mean that is not 0."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        nn.init.normal_(self.attention.in_proj_bias, std=0.3)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


def tokens(seed, num=64):
    generator = torch.Generator().manual_seed(seed)
    scale = 2.0 * 0.8 ** torch.arange(32)
    turn = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(9))).Q
    return (torch.randn(num, 12, 32, generator=generator) * scale + 0.5) @ turn


MODEL = Encoder().eval()
CALIBRATION = lr.calibrate(MODEL, [tokens(seed) for seed in range(4)], heads=True)


def queries_and_keys(model, x):
    layer = model.attention
    q, k, v = (x.double() @ layer.in_proj_weight.double().mT + layer.in_proj_bias.double()).detach().chunk(3, -1)
    return (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in (q, k, v))


def test_the_moments_are_those_of_queries_and_centred_keys_of_inputs_that_are_not_held_out():
    x = torch.cat([tokens(seed) for seed in range(4)])
    fitted = x[torch.arange(256) % 4 != 1]
    q, k, v = queries_and_keys(MODEL, fitted)
    inputs = CALIBRATION.heads["attention"]
    torch.testing.assert_close(
        inputs.queries, torch.einsum("bhld,bhle->hde", q, q) / q[:, 0, :, 0].numel(), rtol=1e-4, atol=1e-4
    )
    k = k - k.mean(2, keepdim=True)
    torch.testing.assert_close(
        inputs.keys, torch.einsum("bhld,bhle->hde", k, k) / q[:, 0, :, 0].numel(), rtol=1e-4, atol=1e-4
    )
    z = ((q @ (k.mT)) * 8**-0.5).softmax(-1) @ v
    torch.testing.assert_close(inputs.mean, z.mean((0, 2)), rtol=1e-4, atol=1e-4)
    centred = (z - z.mean((0, 2), keepdim=True)).transpose(0, 1).flatten(1, 2)
    torch.testing.assert_close(inputs.attended, centred.mT @ centred / centred.shape[1], rtol=1e-3, atol=1e-4)


def dense_logit_error(model, small, x, head):
    """Relative squared error of logits of independent queries and keys, all pairs of two sets of tokens."""

    def logits(attention):
        q = x.flatten(0, 1).double() @ attention.q.read()[head].double().mT + attention.q.read_bias()[head]
        y = (x - x.mean(1, keepdim=True)).flatten(0, 1).double()
        return q @ (y @ attention.k.read()[head].double().mT).mT

    before, after = (logits(attentions_of(net)["attention"]) for net in (model, small))
    return float((before - after).square().sum() / before.square().sum())


@pytest.mark.parametrize("rank", [1, 4, 7])
def test_the_error_of_logits_is_that_of_all_pairs_of_held_out_tokens(rank):
    x = torch.cat([tokens(seed) for seed in range(4)])[1::4]
    name = "attention:qk.2"
    small = lr.factorize(MODEL, heads={name: rank}, calibration=CALIBRATION)
    error = lr.head_error(MODEL, name, rank, calibration=CALIBRATION)
    assert error.logits == pytest.approx(dense_logit_error(MODEL, small, x, 2), rel=1e-3)
    plain = smaller_heads(MODEL, {name: rank})
    assert error.logits < dense_logit_error(MODEL, plain, x, 2)
    assert error.weights > 0 and error.output > 0


def test_the_divergence_is_that_of_the_attention_weights_on_held_out_sequences():
    x = torch.cat([tokens(seed) for seed in range(4)])[1::4][:16]
    name = "attention:qk.1"
    error = lr.head_error(MODEL, name, 3, calibration=CALIBRATION)
    small = lr.factorize(MODEL, heads={name: 3}, calibration=CALIBRATION)
    with torch.no_grad():
        before, after = (net.attention(x, x, x, average_attn_weights=False)[1][:, 1].double() for net in (MODEL, small))
    divergence = (before * (before.log() - after.log())).sum(-1).mean()
    assert error.weights == pytest.approx(float(divergence), rel=1e-3)


def test_the_error_of_the_output_is_that_of_the_layer_on_held_out_sequences():
    x = torch.cat([tokens(seed) for seed in range(4)])[1::4]
    name = "attention:ov.0"
    small = lr.factorize(MODEL, heads={name: 3}, calibration=CALIBRATION)
    lost = (output(small, lambda m: m(x)) - output(MODEL, lambda m: m(x))).double().square().sum()
    alone = deepcopy(MODEL)
    with torch.no_grad():
        alone.attention.out_proj.weight[:, 8:] = 0
    whole = output(alone, lambda m: m(x)).double()
    whole = (whole - whole.mean((0, 1))).square().sum()
    assert lr.head_error(MODEL, name, 3, calibration=CALIBRATION).output == pytest.approx(float(lost / whole), rel=1e-3)


def test_half_the_dimensions_lose_much_less_of_the_output_with_the_inputs_known():
    x = tokens(100)
    whole = output(MODEL, lambda m: m(x))
    errors = [
        float((output(lr.factorize(MODEL, heads=0.5, calibration=given), lambda m: m(x)) - whole).square().sum())
        for given in (None, CALIBRATION)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_white_errors_are_the_tails_of_the_dense_spectrum():
    layer = MODEL.attention
    q = torch.cat([layer.in_proj_weight[8:16], layer.in_proj_bias[8:16, None]], 1).double().detach()
    values = torch.linalg.svdvals(q.mT @ layer.in_proj_weight[40:48].double().detach())[:8].square()
    for rank in range(1, 9):
        expected = float(values[rank:].sum() / values.sum())
        assert lr.head_error(MODEL, "attention:qk.1", rank).logits == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert lr.head_error(MODEL, "attention:ov.1", 2).logits is None


def test_rotary_errors_are_those_of_whole_planes():
    model, _ = network("Llama")
    name = "model.layers.0.self_attn:qk.0"
    assert 0 < lr.head_error(model, name, 2).logits < 1 and lr.head_error(model, name, 4).logits == 0
    calibration = lr.calibrate(model, [TOKENS] * 4, heads=True)
    error = lr.head_error(model, name, 2, calibration=calibration)
    assert 0 < error.logits < 1 and error.weights is None


ONE_INPUT = [
    name for name in NETWORKS if name not in ("torch attention", "T5") and "and" not in name and "cross" not in name
]


@pytest.mark.parametrize("name", ONE_INPUT)
def test_every_known_attention_is_recorded_in_a_pass_and_its_outputs_keep_better(name):
    model, _ = network(name)
    generator = torch.Generator().manual_seed(3)
    if name == "torch encoder":
        batches = [torch.randn(8, 5, 16, generator=generator) for _ in range(2)]
    elif "ViT" in name or "Swin" in name:
        batches = [torch.randn(8, *IMAGES.shape[1:], generator=generator) for _ in range(2)]
    else:
        batches = [torch.randint(3, 12, (8, 6), generator=generator) for _ in range(2)]
    calibration = lr.calibrate(model, batches, layers=[], heads=True)
    assert set(calibration.heads) == set(attentions_of(model))
    for head in find_heads(model):
        if head.reason is None:
            error = lr.head_error(model, head.name, head.dimension, calibration=calibration)
            known = [value for value in (error.logits, error.weights, error.output) if value is not None]
            assert known and max(known) < 1e-9
    full = lr.factorize(model, heads=1.0, calibration=calibration)
    run = network(name)[1]
    torch.testing.assert_close(output(full, run), output(model, run), atol=1e-5, rtol=1e-5)


def test_heads_are_factorized_on_a_loader_that_reads_once():
    small = lr.factorize(MODEL, heads=0.5, loader=(tokens(seed) for seed in range(4)))
    by_hand = lr.factorize(MODEL, heads=0.5, calibration=CALIBRATION)
    x = tokens(5)
    torch.testing.assert_close(output(small, lambda m: m(x)), output(by_hand, lambda m: m(x)), atol=1e-4, rtol=1e-4)


def test_heads_that_are_small_already_are_left_out_of_a_calibration():
    small = lr.factorize(MODEL, heads=0.5)
    assert lr.calibrate(small, [tokens(0)], heads=True).heads == {}


def test_a_calibration_of_heads_is_saved_and_loaded(tmp_path):
    CALIBRATION.save(tmp_path / "inputs.safetensors")
    again = lr.Calibration.load(tmp_path / "inputs.safetensors")
    assert lr.head_error(MODEL, "attention:qk.0", 3, calibration=again) == lr.head_error(
        MODEL, "attention:qk.0", 3, calibration=CALIBRATION
    )


def test_a_calibration_of_other_heads_is_refused():
    with pytest.raises(ValueError, match="heads=True"):
        lr.head_error(MODEL, "attention:qk.0", 3, calibration=lr.calibrate(MODEL, [tokens(0)]))
    other = Encoder()
    other.attention = nn.MultiheadAttention(32, 8, batch_first=True)
    with pytest.raises(ValueError, match="4 heads of 8"):
        lr.factorize(other, heads=0.5, calibration=CALIBRATION)
    with pytest.raises(ValueError, match="1..8, got 9"):
        lr.head_error(MODEL, "attention:qk.0", 9)
