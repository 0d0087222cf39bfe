"""Real inputs in a real JupyterLab: chosen in their picker, calibrated in the background, said on screen."""

import pytest

pytestmark = pytest.mark.browser

CELL = """
import torch, lrexplore as lr
from explorer.networks import small_network
torch.manual_seed(0)
explorer = lr.explore(small_network(), loader=[torch.randn(8, 3, 24, 24) + 0.5 for _ in range(4)])
explorer
"""
TITLE = "words => document.querySelector('.lrx-title')?.textContent.includes(words)"
CURVE = """name => {
    const shown = document.querySelector('[data-plot-id=error]').data.filter((trace) => trace.name === name);
    return shown.length > 0 && shown[0].visible && shown[0].y.length > 0;
}"""


def test_real_inputs_are_chosen_calibrated_on_and_said_beside_every_number(watched):
    notebook = watched("real", [CELL], "explorer.panel")
    page = notebook.page
    page.wait_for_function(TITLE, arg="Gaussian inputs")
    pick = page.get_by_label("initializer", exact=True)
    assert "whitened" not in pick.locator("option").all_inner_texts()
    page.get_by_label("inputs", exact=True).select_option("yours: your loader")
    words = "held-out vectors of your loader (24 inputs)"
    page.wait_for_function(TITLE, arg=words)
    notebook.wait_for_value("explorer.state.calibrated", True)
    assert notebook.kernel_value("explorer.wait(100)")
    for name in ("spectral", "function", "whitened"):
        page.wait_for_function(CURVE, arg=name)
    names = page.locator("[data-plot-id=error]").evaluate("node => node.data.map((trace) => trace.name)")
    assert "floor" not in names
    pick.select_option("whitened")
    notebook.wait_for_value("explorer.state.initializer", "whitened")
    assert notebook.kernel_value("explorer.wait(100)")
    note = page.locator("[data-readout-id=function_error] .lrx-note")
    page.wait_for_function("words => document.querySelector('.lrx-note').textContent.startsWith(words)", arg="whitened")
    assert "real inputs" in note.inner_text()
    assert page.locator(".lrx", has_text=words).count() == 1
    assert page.locator(".lrx").inner_text().count(words) == 1, "what is long is said once"
    expected = notebook.kernel_value(
        "float(explorer.table().set_index(['initializer', 'rank']).function_error['whitened', explorer.state.rank])"
    )
    exact = "() => !document.querySelector('[data-readout-id=function_error] .lrx-value').textContent.includes('≈')"
    page.wait_for_function(exact)
    shown = page.locator("[data-readout-id=function_error] .lrx-value").inner_text()
    assert float(shown.split()[0]) == pytest.approx(expected, rel=5e-3)
    page.get_by_label("inputs", exact=True).select_option("gaussian")
    page.wait_for_function(TITLE, arg="Gaussian inputs")
    notebook.wait_for_value("explorer.state.initializer", "function")
