"""Attention heads in the Layer tab: their rows, their frame, the map of all, and the network that comes of them."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

import lrexplore as lr
from lrexplore.explorer.head_spectra import rank_for_energy
from lrexplore.explorer.layer.heads.head_map import ENERGY, ERROR, STABLE, short_names
from lrexplore.explorer.panel.arrays import unpack
from lrexplore.network import find_layers
from lrexplore.network.attention import find_heads
from lrexplore.network.attention.find_heads import head_values
from tests.attentions import NETWORKS

FIRST = "encoder.layers.encoder_layer_0.self_attention"
QK, OV = f"{FIRST}:qk.2", f"{FIRST}:ov.1"


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return NETWORKS["torchvision ViT"]()[0].eval()


@pytest.fixture
def explorer(vit):
    with lr_explorer(vit) as made:
        yield made


class lr_explorer:
    def __init__(self, model, **options):
        self.made = lr.Explorer(model, **options)

    def __enter__(self):
        return self.made

    def __exit__(self, *error):
        self.made.close()


def plot(explorer, name):
    return next(plot for plot in explorer.panel.frame["plots"] if plot["id"] == name)


def values(explorer, name):
    return unpack(next(one for one in explorer.panel.frame["readouts"] if one["id"] == name)["values"])


def test_heads_fold_under_their_attention_in_the_table(explorer):
    rows = explorer.panel.table["rows"]
    names = [row["name"] for row in rows]
    place = names.index(f"{FIRST}:heads")
    assert rows[place]["fold"] and rows[place]["shown"] == f"{FIRST}: 4 heads"
    below = [row for row in rows if row.get("under") == f"{FIRST}:heads"]
    assert [row["name"] for row in below] == names[place + 1 : place + 9]
    assert [row["shown"] for row in below[2:5]] == ["head 2 · query-key", "head 3 · query-key", "head 0 · output-value"]
    assert below[0]["shape"] == "4 x 16" and not below[0]["disabled"]


def test_a_head_has_its_spectrum_and_the_error_of_every_rank(explorer, vit):
    explorer.panel.set_state({"layer": QK})
    assert (explorer.state.layer, explorer.state.rank, explorer.state.max_rank) == (QK, 1, 4)
    head = next(head for head in find_heads(vit) if head.name == QK)
    shown = unpack(plot(explorer, "spectrum")["data"][0]["y"])
    assert shown == pytest.approx(head_values(vit, head).numpy(), rel=1e-5)
    errors = [lr.head_error(vit, QK, rank).logits for rank in range(1, 5)]
    assert values(explorer, "head_error") == pytest.approx(errors, abs=1e-6)
    assert values(explorer, "parameters") == pytest.approx([0.25, 0.5, 0.75, 1])
    assert values(explorer, "saved")[1] == head.parameters / 2
    assert explorer.panel.frame["title"].startswith(
        f"{QK} · head 2 · query-key product of {FIRST} · 4 dimensions of 16"
    )
    assert explorer.wait(60) and explorer.panel.error == ""


@pytest.mark.parametrize("shown", [STABLE, ENERGY, ERROR])
def test_the_map_of_all_heads_shows_what_is_chosen(explorer, vit, shown):
    explorer.state.layer = OV
    explorer.controls.heads_by.value = shown
    heat = plot(explorer, "heads")["data"][0]
    assert heat["x"] == ["encoder_layer_0", "encoder_layer_1"] and heat["y"][-1] == "head 3"
    table, by_rank = unpack(heat["z"]), plot(explorer, "heads")["by_rank"]
    heads = lr.heads(vit).query("kind == 'OV'")
    for number, name in enumerate(heads["name"]):
        cell = table[number % 4, number // 4]
        assert heat["text"][number % 4][number // 4] == name
        if shown == STABLE:
            assert cell == pytest.approx(heads["stable_rank"].iloc[number], rel=1e-3)
        elif shown == ERROR:
            at_three = unpack(by_rank[0]["values"])[2, number % 4, number // 4]
            assert at_three == pytest.approx(lr.head_error(vit, name, 3).output, abs=1e-4)
        else:
            assert lr.head_error(vit, name, int(cell)).output <= 0.1
    assert bool(by_rank) == (shown == ERROR)


def test_a_click_on_the_map_chooses_its_head(explorer):
    explorer.state.layer = QK
    explorer.panel._handle_custom_msg(
        {"type": "point", "plot": "heads", "trace": 0, "index": [3, 1], "x": "encoder_layer_1", "y": "head 3"}, []
    )
    assert explorer.state.layer == "encoder.layers.encoder_layer_1.self_attention:qk.3"


def test_what_means_nothing_for_a_head_cannot_be_chosen_while_one_is_on_screen(explorer):
    controls = explorer.controls
    assert controls.heads_by.layout.display == "none" and not controls.initializer.disabled
    explorer.state.layer = QK
    assert controls.heads_by.layout.display is None
    assert all(getattr(controls, name).disabled for name in ("initializer", "scheme", "activation", "batch_norm"))
    explorer.state.layer = "conv_proj"
    assert not controls.initializer.disabled and controls.heads_by.layout.display == "none"


def test_heads_set_by_hand_are_in_the_network_that_comes_of_it(explorer, vit):
    assert not any(":" in name for name in explorer.ranks())
    explorer.state.layer = OV
    explorer.state.rank = 3
    assert explorer.ranks()[OV] == 3
    small = explorer.factorized_model()
    made = lr.report(small).set_index("name")["rank"]
    assert (
        made[OV] == 3
        and made["encoder.layers.encoder_layer_0.mlp.0"] == explorer.ranks()["encoder.layers.encoder_layer_0.mlp.0"]
    )
    assert np.isfinite(small(torch.zeros(1, 3, 16, 16)).detach().numpy()).all()


def test_a_head_by_hand_takes_the_place_of_the_projections_of_its_attention():
    torch.manual_seed(0)
    model = NETWORKS["timm ViT"]()[0].eval()
    with lr_explorer(model) as explorer:
        assert {"blocks.0.attn.qkv", "blocks.1.attn.qkv"} <= explorer.ranks().keys()
        explorer.state.layer = "blocks.0.attn:qk.1"
        explorer.state.rank = 2
        ranks = explorer.ranks()
        assert "blocks.0.attn.qkv" not in ranks and ranks["blocks.0.attn:qk.1"] == 2 and "blocks.1.attn.qkv" in ranks
        explorer.factorized_model()


@pytest.mark.parametrize("name", [QK, OV])
def test_the_factors_of_a_head_multiply_to_its_product_up_to_its_error(explorer, vit, name):
    explorer.state.layer = name
    head = next(head for head in find_heads(vit) if head.name == name)
    explorer.state.rank = 4
    whole = explorer.factors()
    assert torch.linalg.svdvals(whole.left @ whole.right)[:4].numpy() == pytest.approx(
        head_values(vit, head).numpy(), rel=1e-4
    )
    explorer.state.rank = 2
    part = explorer.factors()
    lost = (whole.left @ whole.right - part.left @ part.right).square().sum() / (
        whole.left @ whole.right
    ).square().sum()
    error = lr.head_error(vit, name, 2)
    assert float(lost) == pytest.approx(error.logits if head.kind == "QK" else error.output, rel=1e-3)


def test_on_real_inputs_the_best_factors_stand_beside_the_truncated_svd(vit):
    batches = list(torch.randn(8, 4, 3, 16, 16, generator=torch.Generator().manual_seed(3)))
    calibration = lr.calibrate(vit, batches, heads=True)
    with lr_explorer(vit, calibration=calibration) as explorer:
        explorer.state.assign(layer=QK, inputs="yours")
        traces = [trace["name"] for trace in plot(explorer, "error")["data"]]
        assert traces == ["best factors", "truncated SVD"]
        expected = lr.head_error(vit, QK, 2, calibration=calibration).logits
        assert values(explorer, "head_error")[1] == pytest.approx(expected, rel=1e-4)
        assert values(explorer, "head_error")[1] < values(explorer, "plain_error")[1]
        assert "held-out ones of your calibration" in explorer.panel.frame["title"]


def test_what_is_on_screen_can_be_taken_along(explorer, tmp_path):
    explorer.state.layer = QK
    table = explorer.table()
    assert set(table["layer"]) == {QK} and set(table["scheme"]) == {"qk"} and len(table) == 4
    assert explorer.figure().data and explorer.layer_tab.picture().startswith(b"\x89PNG")
    page = explorer.to_html(tmp_path / "heads.html", layers=[OV, "conv_proj"])
    said = page.read_text(encoding="utf-8")
    assert OV in said and "output-value product of" in said


def test_a_model_without_attention_has_no_rows_to_fold():
    with lr_explorer(nn.Sequential(nn.Linear(8, 6), nn.ReLU())) as explorer:
        assert not any(row.get("fold") for row in explorer.panel.table["rows"])


def test_one_attention_alone_is_explored_by_its_heads():
    with lr_explorer(nn.MultiheadAttention(16, 4)) as explorer:
        assert explorer.state.layer == ":qk.0"
        assert explorer.wait(60) and explorer.panel.error == ""


def test_a_rotary_head_has_whole_planes():
    torch.manual_seed(0)
    with lr_explorer(NETWORKS["Llama"]()[0]) as explorer:
        name = next(name for name in explorer.subject.names if ":qk." in name)
        explorer.state.layer = name
        explorer.state.rank = 3
        assert explorer.ranks()[name] == 2 and "rotary" in explorer.panel.frame["title"]
        explorer.factorized_model()


def test_short_names_are_what_tells_attentions_apart():
    assert short_names(["enc.0.attn", "enc.1.attn", "enc.2.attn"]) == ["0", "1", "2"]
    assert short_names(["one"]) == ["one"]
    assert short_names(["a.attn", "a.attn.more"]) == ["attn", "attn.more"]


def test_the_rank_for_an_energy_is_the_least_that_keeps_it():
    assert rank_for_energy(np.array([3.0, 1.0, 0.0])) == 1
    assert rank_for_energy(np.array([2.0, 1.0])) == 2
    assert rank_for_energy(np.array([1.0, 1.0, 1.0]), 2 / 3) == 2
    assert rank_for_energy(np.zeros(3)) == 1


def test_a_head_takes_away_what_the_curves_before_it_had_said(explorer):
    assert explorer.wait(120)
    explorer.state.tell("function: 18 of 64 ranks", 0.28)
    explorer.state.layer = QK
    assert explorer.wait(120)
    assert (explorer.state.status, explorer.state.progress) == ("", 1.0)


def test_the_network_is_said_with_the_multiply_adds_of_its_attention():
    torch.manual_seed(0)
    vit = VisionTransformer(224, 112, 1, 2, 16, 32, num_classes=5).eval()
    layers = find_layers(vit)
    with lr_explorer(vit) as explorer:
        assert f"{layers.flops / 1e9:.2f} G multiply-adds" in explorer.controls.title.value
        assert explorer.subject.flops == layers.flops == sum(layer.flops for layer in layers) + layers.other_flops
    assert layers.other_flops > 4 * 5 * 16 * 16  # the projections of the attention
