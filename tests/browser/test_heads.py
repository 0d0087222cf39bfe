"""Attention heads in a real JupyterLab: unfolded in the table, chosen there and on the map, moved by the slider."""

import pytest
from browser.accessibility import violations

pytestmark = pytest.mark.browser

CELL = """
import torch, lrexplore as lr
from torchvision.models import VisionTransformer
torch.manual_seed(0)
explorer = lr.explore(VisionTransformer(32, 8, 3, 4, 64, 128, num_classes=10))
explorer
"""
ATTENTION = "encoder.layers.encoder_layer_1.self_attention"
HEAD = f"{ATTENTION}:qk.2"
TITLE = "words => document.querySelector('.lrx-title')?.textContent.includes(words)"
Z = "Array.from(document.querySelector('[data-plot-id=heads]').data[0].z, (row) => Array.from(row))"


def test_a_head_is_unfolded_chosen_and_moved_and_the_map_leads_to_another(watched):
    notebook = watched("heads", [CELL], "explorer.panel")
    page = notebook.page
    page.wait_for_function(TITLE, arg="conv_proj")
    fold = page.locator(f"tr[data-name='{ATTENTION}:heads']")
    head = page.locator(f"tr[data-name='{HEAD}']")
    assert fold.get_attribute("aria-expanded") == "false" and not head.is_visible()
    fold.click()
    assert fold.get_attribute("aria-expanded") == "true" and head.is_visible()
    assert notebook.kernel_value("explorer.state.layer") == "conv_proj"

    head.click()
    page.wait_for_function(TITLE, arg="head 2 · query-key product")
    notebook.wait_for_value("explorer.state.layer", HEAD)
    assert page.get_by_label("initializer", exact=True).is_disabled()
    page.locator(".lrx-slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    notebook.wait_for_value("explorer.state.rank", 15)
    error = notebook.kernel_value(f"lr.head_error(explorer.subject.model, '{HEAD}', 15).logits")
    shown = page.locator("[data-readout-id=head_error] .lrx-value").inner_text()
    assert float(shown.strip("<≈ ")) == pytest.approx(error, rel=0.02, abs=5e-4)

    page.get_by_label("map of heads", exact=True).select_option("error at the rank")
    notebook.wait_for_value("explorer.state.heads_by", "error at the rank")
    page.wait_for_function(f"error => {{ const z = {Z}; return Math.abs(z[2][1] - error) < 1e-3; }}", arg=error)
    page.locator(".lrx-slider").focus()
    page.keyboard.press("Home")
    notebook.wait_for_value("explorer.state.rank", 1)
    page.wait_for_function(f"error => {Z}[2][1] > 0.5", arg=None)  # the map follows the slider

    plot = page.locator("[data-plot-id=heads] .nsewdrag")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 5 / 6, box["y"] + box["height"] / 8)  # third attention, head 0
    notebook.wait_for_value("explorer.state.layer", "encoder.layers.encoder_layer_2.self_attention:qk.0")
    page.wait_for_function(TITLE, arg="head 0 · query-key product")
    assert page.locator("tr[data-name='encoder.layers.encoder_layer_2.self_attention:qk.0']").is_visible()
    assert violations(page) == []
