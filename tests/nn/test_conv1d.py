"""transformers' Conv1D, whose weight is a linear layer's transposed, factorized as any other matrix."""

import pytest
import torch

import lrexplore as lr
from lrexplore.nn.linear import FactorizedConv1D
from tests.attentions import TOKENS, network, output

INNER = "transformer.h.1.mlp.c_fc"


def test_a_conv1d_is_listed_outputs_first_with_what_follows_it():
    model, _ = network("GPT-2")
    table = lr.layers(model, TOKENS).set_index("name")
    assert table.loc[INNER, ["kind", "shape", "factorizable"]].tolist() == ["linear", "64 x 16", True]
    assert table.loc["transformer.h.0.attn.c_attn", "shape"] == "48 x 16"
    assert "GELU" in table.loc[INNER, "follows"]


def test_a_factorized_conv1d_is_the_best_matrix_of_its_rank_and_collapses_to_a_conv1d():
    from transformers.pytorch_utils import Conv1D

    model, run = network("GPT-2")
    small = lr.factorize(model, ranks={INNER: 3}, initializer="spectral")
    layer, weight = small.get_submodule(INNER), model.get_submodule(INNER).weight
    u, s, vh = torch.linalg.svd(weight.detach().mT, full_matrices=False)
    torch.testing.assert_close(layer.left @ layer.right, (u[:, :3] * s[:3]) @ vh[:3], atol=1e-5, rtol=1e-5)
    again = lr.collapse(small)
    assert isinstance(layer, FactorizedConv1D) and isinstance(again.get_submodule(INNER), Conv1D)
    assert again.get_submodule(INNER).weight.is_contiguous()
    torch.testing.assert_close(output(again, run), output(small, run), atol=1e-5, rtol=1e-5)
    again.load_state_dict(model.state_dict())


def test_all_of_a_gpt_2_is_factorized_at_full_rank_with_its_outputs():
    model, run = network("GPT-2")
    full = lr.factorize(model, ranks={f"transformer.h.{place}.{name}": 16 for place in (0, 1) for name in
                                      ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")})  # fmt: skip
    torch.testing.assert_close(output(full, run), output(model, run), atol=1e-4, rtol=1e-4)


def test_real_inputs_of_a_conv1d_are_calibrated_and_planned(tmp_path):
    model, run = network("GPT-2")
    batches = [torch.randint(3, 12, (4, 6), generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    calibration = lr.calibrate(model, batches)
    assert calibration[INNER].second_moment.shape == (16, 16)
    plan = lr.allocate(model, parameter_ratio=0.9, calibration=calibration, example_input=TOKENS, use_cache=False)
    small = lr.factorize(model, plan=plan, calibration=calibration)
    assert output(small, run).isfinite().all()
    both = lr.factorize(model, heads=0.5, ranks={INNER: 4}, calibration=calibration)
    assert isinstance(both.get_submodule(INNER), FactorizedConv1D)


@pytest.mark.parametrize("way", ["lrexplore", "transformers"])
def test_a_factorized_conv1d_is_saved_and_loaded(way, tmp_path):
    model, run = network("GPT-2")
    small = lr.factorize(model, rank_scale=0.25, heads=0.5)
    if way == "lrexplore":
        lr.save(small, tmp_path / "small.safetensors")
        again = lr.load(tmp_path / "small.safetensors", model)
    else:
        small.save_pretrained(tmp_path)
        again = type(model).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(output(again, run), output(small, run))
    assert type(lr.collapse(again).get_submodule(INNER)).__name__ == "Conv1D"
