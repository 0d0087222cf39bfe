"""Beginning and end of an explorer, and what it hands out."""

import base64
import json
import subprocess
import sys
import textwrap
import threading
from io import BytesIO

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from explorer.networks import HEAD, STEM, linear_network, small_network
from explorer.on_screen import curve_on_screen
from PIL import Image
from torch import nn

import lrexplore as lr
from lrexplore.nn import FactorizedConv2d, FactorizedLinear

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def test_the_table_is_what_is_on_screen(explorer):
    table = explorer.table()
    for name in ("independent", "spectral", "rescaled", "function"):
        ranks, errors = curve_on_screen(explorer, name)
        shown = table[table.initializer == name]
        np.testing.assert_array_equal(shown["rank"], ranks)
        np.testing.assert_allclose(shown.function_error, errors, rtol=1e-6)
    assert set(table.layer) == {explorer.state.layer}


def test_the_figure_is_a_plain_one_at_the_current_rank(explorer):
    explorer.state.rank = 5
    figure = explorer.figure()
    assert type(figure) is go.Figure
    assert "rank 5" in figure.layout.title.text


def test_factors_can_be_trained(explorer):
    factors = explorer.factors()
    right = factors.right.requires_grad_()
    (factors.left @ right).square().sum().backward()
    assert right.grad.abs().max() > 0


def test_the_page_holds_frame_and_layers_asked_for(explorer, tmp_path):
    path = explorer.to_html(tmp_path / "page.html", layers=[HEAD])
    text = path.read_text(encoding="utf-8")
    state = json.loads(text.split('id="state">')[1].split("</script>")[0])
    assert set(state["frames"]) == {STEM, HEAD}
    assert [row["name"] for row in state["table"]["rows"]] == [STEM, HEAD]
    assert state["frame"]["key"] == explorer.panel.frame["key"]
    assert state["rank"] == explorer.state.rank


def test_a_page_tells_how_far_it_is_and_takes_what_is_on_screen(explorer, tmp_path):
    told = []
    explorer.state.observe(lambda change: told.append(change["new"]), names="status")
    explorer.to_html(tmp_path / "page.html", layers=[HEAD])
    assert "page: function of head, layer 2 of 2" in told
    assert not any(f"function of {STEM}" in words for words in told), "its curves were there"
    assert explorer.wait(60)
    assert (explorer.state.status, explorer.state.progress, explorer.panel.busy) == ("", 1.0, False)


def test_a_page_of_an_unknown_layer_is_refused_with_the_way_out(explorer, tmp_path):
    with pytest.raises(ValueError, match=r"`layers` must .* got 'nope'\. Choose"):
        explorer.to_html(tmp_path / "page.html", layers=["nope"])
    assert not (tmp_path / "page.html").exists()


def test_the_bundle_has_the_widget_a_picture_and_words(explorer):
    bundle = explorer._repr_mimebundle_()
    assert bundle[WIDGET_VIEW]["model_id"] == explorer.widget.model_id
    assert bundle["text/plain"].startswith("Explorer of Sequential")
    image = Image.open(BytesIO(base64.b64decode(bundle["image/png"])))
    assert image.format == "PNG"


def test_the_factorized_model_has_the_ranks_chosen_and_leaves_the_model_alone(explorer):
    before = {name: tensor.clone() for name, tensor in explorer.subject.model.state_dict().items()}
    explorer.state.layer = HEAD
    explorer.state.rank = 4
    model = explorer.factorized_model()
    assert isinstance(model.head, FactorizedLinear)
    assert isinstance(model.wide, FactorizedConv2d)
    assert type(model.depthwise) is nn.Conv2d
    for name, rank in explorer.ranks().items():
        assert model.get_submodule(name).rank == rank
    images = torch.randn(2, 3, 8, 8)
    model(images).sum().backward()
    for name, tensor in explorer.subject.model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_factorized_layer_has_the_factors_on_screen(explorer):
    explorer.state.rank = 5
    model = explorer.factorized_model()
    collapsed = lr.collapse(model).stem.weight.flatten(1)
    torch.testing.assert_close(collapsed.detach(), explorer.factors().product(), rtol=1e-4, atol=1e-5)


def test_a_rank_past_break_even_is_taken_only_when_set_by_hand(open_explorer):
    explorer = open_explorer(rank_scale=1.0)
    network = explorer.subject
    past = [n for n in network.names if network.layers[n].break_even_rank() < network.default_rank(n, "channel")]
    assert past
    assert not set(past) & set(explorer.ranks())
    explorer.state.layer = past[0]
    explorer.state.rank = explorer.state.max_rank - 1
    assert explorer.ranks()[past[0]] == explorer.state.max_rank - 1


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_explorer_works_in_every_grad_mode(open_explorer, mode):
    model = linear_network()
    with mode():
        explorer = open_explorer(model)
        explorer.state.initializer = "sampled"
        assert explorer.wait(120)
    assert len(curve_on_screen(explorer, "sampled")[0]) == 8
    assert explorer.factorized_model()(torch.randn(2, 16)).requires_grad


def test_the_dtype_of_new_tensors_does_not_matter(open_explorer):
    explorer = open_explorer(linear_network())
    assert explorer.wait(60)
    plain = curve_on_screen(explorer, "function")[1]
    model = linear_network()
    torch.set_default_dtype(torch.float64)
    try:
        other = open_explorer(model)
        assert other.wait(60)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(curve_on_screen(other, "function")[1], plain, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_every_floating_type_are_explored(open_explorer, dtype):
    explorer = open_explorer(linear_network().to(dtype))
    assert explorer.wait(60)
    assert np.isfinite(curve_on_screen(explorer, "function")[1]).all()


def test_a_model_that_is_one_linear_layer_is_explored(open_explorer):
    explorer = open_explorer(nn.Linear(16, 8))
    assert explorer.wait(60)
    explorer.panel.set_state({"rank": 5})
    assert explorer.factors().shape == (8, 16)
    assert explorer.ranks() == {"": 5}
    assert explorer.factorized_model()(torch.randn(2, 16)).shape == (2, 8)


def test_a_model_in_training_mode_stays_in_it(open_explorer):
    model = small_network().train()
    explorer = open_explorer(model)
    assert explorer.subject.model is model
    assert model.training


def factorized_network():
    return lr.factorize(nn.Sequential(nn.Linear(16, 8)), rank_scale=0.25)


@pytest.mark.parametrize(
    ("model", "options", "parts"),
    [
        ("resnet5", {}, ["`name_or_path`", "must be", "'resnet5'", "resnet50"]),
        (nn.ReLU(), {}, ["`model`", "must have a layer", "ReLU", "Pass a model"]),
        (nn.Linear(16, 8), {"rank_scale": 0}, ["`rank_scale`", "must lie in (0, 1]", "got 0", "Use"]),
        (nn.Linear(16, 8), {"rank_scale": 2}, ["`rank_scale`", "must lie in (0, 1]", "got 2", "Use"]),
        (nn.Linear(16, 8), {"weights": "DEFAULT"}, ["`weights`", "must be None", "'DEFAULT'", "Load"]),
        (nn.Linear(16, 8), {"device": "cpu"}, ["`device`", "must be None", "'cpu'", "Move"]),
        ("squeezenet1_0", {"device": "moon"}, ["`device`", "must be one that this machine has", "'moon'", "Use None"]),
        (factorized_network(), {}, ["`model`", "must have a layer", "factorized already: pass `lr.collapse(model)`"]),
        (nn.Linear(16, 8), {"loader": 3}, ["`loader`", "must be an iterable", "got int", "Pass a DataLoader"]),
        (nn.Linear(16, 8), {"loader": torch.ones(4, 16)}, ["`loader`", "got one tensor (4, 16)", "Pass `[tensor]`"]),
    ],
)
def test_what_cannot_be_explored_is_refused_with_name_rule_value_and_way_out(model, options, parts):
    threads = set(threading.enumerate())
    with pytest.raises((TypeError, ValueError)) as caught:
        lr.explore(model, **options)
    for part in parts:
        assert part in str(caught.value)
    assert set(threading.enumerate()) <= threads  # those of earlier tests may end meanwhile


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(value):
    model = linear_network()
    model[2].weight.data[1, 1] = value
    with pytest.raises(ValueError, match="must be finite"):
        lr.explore(model)


def test_close_ends_the_thread_and_the_widgets_and_can_be_called_twice():
    before = set(threading.enumerate())
    explorer = lr.explore(linear_network())
    (thread,) = set(threading.enumerate()) - before
    explorer.close()
    explorer.close()
    thread.join(30)
    assert not thread.is_alive()
    for widget in (explorer.widget, explorer.panel, explorer.controls.box, *explorer.controls.box.children):
        assert widget.comm is None


def test_an_interpreter_ends_well_while_an_explorer_works():
    script = """
        import lrexplore as lr
        from torch import nn
        explorer = lr.explore(nn.Sequential(nn.Linear(1000, 800), nn.ReLU(), nn.Linear(800, 64)))
        explorer.state.initializer = "sampled"
        print(explorer.wait(0.5))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")
