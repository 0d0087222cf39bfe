"""Attention heads in the Network tab: allocated like layers, under one budget."""

import pytest
import torch
from explorer.whole_network import plot, readout, receive, shares_on_screen

import lrexplore as lr
from tests.attentions import NETWORKS


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return NETWORKS["timm ViT"]()[0].eval()


@pytest.fixture
def explorer(model):
    made = lr.Explorer(model, loader=list(torch.randn(6, 4, 3, 16, 16, generator=torch.Generator().manual_seed(3))))
    yield made
    made.close()


@pytest.fixture
def page(explorer):
    explorer.state.tab = "Network"
    made = explorer.page("Network")
    assert made.wait(120) and made.panel.error == ""
    return made


def test_bars_are_layers_and_heads_and_no_projection_of_these(explorer, page, model):
    names = plot(page, "ranks")["data"][0]["x"]
    heads = lr.heads(model)["name"].tolist()
    assert set(heads) <= set(names) and not any(name.endswith(("attn.qkv", "attn.proj")) for name in names)
    assert list(page.controls.layer.options) == names
    assert "layers and products of heads" in page.panel.frame["title"]


def test_the_plan_is_that_of_allocate_with_heads(explorer, page, model):
    page.state.ratio = 0.45
    plan = explorer.network_plan()
    expected = lr.allocate(model, parameter_ratio=0.45, heads=True, weights="plain", initializer="function")
    assert plan.heads and plan.ranks | plan.heads == expected.ranks | expected.heads
    shares, _ = shares_on_screen(page)
    names = plot(page, "ranks")["data"][0]["x"]
    for name, rank in plan.heads.items():
        assert shares[names.index(name)] == pytest.approx(rank / 4)
    small = lr.factorize(model, plan=plan)
    assert sum(p.numel() for p in small.parameters()) / plan.parameters[0] == readout(page, "parameters")["value"]


def test_a_head_is_pinned_by_dragging_its_bar_and_seen_in_the_layer_tab(explorer, page):
    names = plot(page, "ranks")["data"][0]["x"]
    head = "blocks.1.attn:ov.2"
    receive(page, plot="ranks", index=names.index(head), x=head, y=0.5, step=2)
    assert page.state.pinned == {head: 2} and explorer.network_plan().heads[head] == 2
    page.controls.buttons["see"].click()
    assert (explorer.state.tab, explorer.state.layer, explorer.state.rank) == ("Layer", head, 2)


def test_on_inputs_of_ones_own_heads_are_fitted_to_these(explorer, page):
    page.state.assign(inputs="yours", initializer="whitened")
    assert page.wait(120) and page.panel.error == ""
    assert explorer.network_plan().inputs == "your inputs"
    assert page._allocation.origin.calibrated(explorer.subject.model, lambda *told: None).heads
