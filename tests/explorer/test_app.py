"""The explorer as a whole, without a kernel: `panel.set_state` is what the browser sends."""

import base64
import json
import subprocess
import sys
import textwrap
import threading
from io import BytesIO

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from explorer.networks import DEPTHWISE, GROUPED, HEAD, POINT, STEM, WIDE, linear_network, small_network
from PIL import Image
from torch import nn
from traitlets import TraitError

import lrexplore as lr
from lrexplore.explorer.arrays import unpack
from lrexplore.nn import FactorizedConv2d, FactorizedLinear

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def curve_on_screen(explorer, name):
    """Ranks and function errors of an initializer as the browser has them."""
    plot = next(plot for plot in explorer.panel.frame["plots"] if plot["id"] == "error")
    trace = next(trace for trace in plot["data"] if trace["name"] == name)
    return unpack(trace["x"]), unpack(trace["y"])


def chosen(explorer):
    return explorer.state.trait_values() | {"shown": (explorer.panel.layer, explorer.panel.rank)}


def weight_of(explorer):
    layer = explorer.network.layers[explorer.state.layer]
    return explorer.network.model.get_submodule(layer.name).weight.detach()[: layer.group_shape[0]]


# What a person does in the browser


def test_a_layer_chosen_in_the_browser_is_drawn_with_its_own_rank_in_one_message(explorer, sent):
    explorer.panel.set_state({"layer": WIDE})
    assert explorer.state.layer == WIDE
    assert explorer.panel.rank == explorer.state.rank == 4
    assert explorer.panel.frame["title"].startswith("wide ·")
    assert len([message for message in sent.to(explorer.panel) if "frame" in message.names]) == 1


def test_a_layer_set_in_a_cell_is_sent_as_one_message_with_layer_rank_and_frame(explorer, sent):
    explorer.state.layer = WIDE
    frames = [message.names for message in sent.to(explorer.panel) if "frame" in message.names]
    assert len(frames) == 1
    assert {"frame", "layer", "rank"} <= frames[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("initializer", "spectral"), ("scheme", "spatial"), ("activation", "gelu"), ("batch_norm", False)],
)
def test_each_choice_is_one_frame(explorer, sent, name, value):
    setattr(explorer.state, name, value)
    assert explorer.wait(60)
    frames = [message for message in sent.to(explorer.panel) if "frame" in message.names]
    pictures = len(explorer.panel.frame["plots"]) > 4
    assert 1 <= len(frames) <= 1 + pictures
    assert str(value) in explorer.panel.frame["key"]


def test_a_rank_from_the_browser_reaches_state_ranks_and_model(explorer):
    explorer.panel.set_state({"rank": 7})
    assert explorer.state.rank == 7
    assert explorer.network.ranks == {STEM: 7}
    assert explorer.ranks()[STEM] == 7
    assert explorer.factors().rank == 7
    assert explorer.factorized_model().stem.rank == 7


def test_a_rank_from_the_browser_is_answered_with_its_exact_row_and_no_frame(explorer, sent):
    explorer.panel.set_state({"rank": 7})
    assert explorer.wait(60)
    assert all("frame" not in message.names for message in sent.to(explorer.panel))
    assert len(sent.to(explorer.panel, "custom")) == 1


def test_a_rank_set_in_a_cell_is_shown(explorer):
    explorer.state.rank = 9
    assert explorer.panel.rank == 9


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (-4, 1), (10_000, 12)])
def test_a_rank_out_of_range_from_the_browser_becomes_the_nearest_one(explorer, asked, given):
    explorer.panel.set_state({"rank": asked})
    assert explorer.state.rank == given


def test_ranks_are_kept_for_each_layer(explorer):
    explorer.panel.set_state({"rank": 5})
    explorer.panel.set_state({"layer": HEAD})
    explorer.panel.set_state({"rank": 3})
    explorer.panel.set_state({"layer": STEM})
    assert (explorer.state.rank, explorer.panel.rank) == (5, 5)
    assert (explorer.ranks()[STEM], explorer.ranks()[HEAD]) == (5, 3)


def test_layer_and_rank_set_as_one_leave_state_panel_and_model_of_one_mind(explorer):
    with explorer.state.hold_trait_notifications():
        explorer.state.layer, explorer.state.rank = WIDE, 16
    assert explorer.state.rank == explorer.panel.rank == explorer.ranks()[WIDE]
    assert explorer.panel.layer == WIDE


def test_traits_can_be_linked_to_a_widget_of_ones_own(explorer):
    slider = ipywidgets.IntSlider(min=1, max=12)
    bond = ipywidgets.link((explorer.state, "rank"), (slider, "value"))
    slider.set_state({"value": 11})
    assert (explorer.state.rank, explorer.panel.rank) == (11, 11)
    explorer.panel.set_state({"rank": 2})
    assert slider.value == 2
    bond.unlink()


def test_a_name_that_the_browser_should_not_send_is_told_and_leaves_the_explorer_as_it_was(sent, open_explorer):
    explorer = open_explorer()
    explorer.wait(60)
    before = explorer.state.trait_values()
    explorer.panel.set_state({"layer": DEPTHWISE})
    assert "`layer`" in explorer.panel.error
    assert explorer.state.trait_values() == before
    explorer.panel.set_state({"layer": WIDE})
    assert explorer.panel.error == ""
    assert explorer.panel.frame["title"].startswith("wide ·")


@pytest.mark.parametrize(
    ("name", "value"), [("layer", "nope"), ("rank", 0), ("rank", 13), ("initializer", "svd"), ("scheme", "depth")]
)
def test_a_bad_value_in_a_cell_is_refused_there_and_nothing_moves(explorer, sent, name, value):
    before = chosen(explorer)
    with pytest.raises(TraitError):
        setattr(explorer.state, name, value)
    assert chosen(explorer) == before
    assert sent.messages == []


# What is on screen


@pytest.mark.parametrize("initializer", ["independent", "spectral", "rescaled", "function", "sampled"])
def test_the_curve_on_screen_has_the_errors_of_the_explorers_factors(open_explorer, initializer):
    explorer = open_explorer()
    explorer.state.layer = HEAD
    explorer.state.initializer = initializer
    assert explorer.wait(120)
    ranks, errors = curve_on_screen(explorer, initializer)
    assert ranks.tolist() == list(range(1, 7))
    table = explorer.table().set_index(["initializer", "rank"])
    for rank, error in zip(ranks, errors, strict=True):
        explorer.state.rank = int(rank)
        factors, weight = explorer.factors(), weight_of(explorer)
        assert factors.rank == rank
        function = lr.function_error(weight, factors, activation="identity")
        assert error == pytest.approx(function, rel=2e-4, abs=2e-6)
        assert table.function_error[initializer, rank] == pytest.approx(function, rel=2e-4, abs=2e-6)
        frobenius = lr.frobenius_error(weight, factors)
        assert table.frobenius_error[initializer, rank] == pytest.approx(frobenius, rel=2e-4, abs=2e-6)


def test_a_chosen_activation_changes_the_errors_and_is_the_one_measured(explorer):
    relu = curve_on_screen(explorer, "spectral")[1]
    explorer.state.batch_norm = False
    explorer.state.activation = "tanh"
    ranks, errors = curve_on_screen(explorer, "spectral")
    assert np.abs(errors - relu).max() > 0.01
    expected = lr.function_error(weight_of(explorer), explorer.factors(), activation="tanh")
    explorer.state.initializer = "spectral"
    spectral = lr.function_error(weight_of(explorer), explorer.factors(), activation="tanh")
    assert errors[explorer.state.rank - 1] == pytest.approx(spectral, rel=1e-4)
    assert expected <= spectral + 1e-6


@pytest.mark.parametrize("name", [STEM, GROUPED, POINT])
def test_the_spatial_scheme_measures_spatial_factors(open_explorer, name):
    explorer = open_explorer()
    explorer.state.layer, explorer.state.scheme = name, "spatial"
    explorer.state.batch_norm = False
    assert explorer.wait(60)
    ranks, errors = curve_on_screen(explorer, "function")
    at = ranks.tolist().index(explorer.state.rank)
    expected = lr.function_error(weight_of(explorer), explorer.factors(), activation=explorer.state.activation)
    assert errors[at] == pytest.approx(expected, rel=2e-4, abs=2e-6)


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


def test_no_figure_widget_is_ever_made(open_explorer, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a FigureWidget was made")

    monkeypatch.setattr(go.FigureWidget, "__init__", refuse)
    explorer = open_explorer()
    explorer._repr_mimebundle_()
    explorer.figure()
    explorer.state.layer = WIDE
    assert explorer.wait(60)


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


# The model that comes out


def test_the_factorized_model_has_the_ranks_chosen_and_leaves_the_model_alone(explorer):
    before = {name: tensor.clone() for name, tensor in explorer.network.model.state_dict().items()}
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
    for name, tensor in explorer.network.model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_factorized_layer_has_the_factors_on_screen(explorer):
    explorer.state.rank = 5
    model = explorer.factorized_model()
    collapsed = lr.collapse(model).stem.weight.flatten(1)
    torch.testing.assert_close(collapsed.detach(), explorer.factors().product(), rtol=1e-4, atol=1e-5)


def test_a_rank_past_break_even_is_taken_only_when_set_by_hand(open_explorer):
    explorer = open_explorer(rank_scale=1.0)
    past = [
        name for name in explorer.network.names if explorer.network.layers[name].break_even_rank("channel") < explorer.network.rank(name, "channel")
    ]  # fmt: skip
    assert past
    assert not set(past) & set(explorer.ranks())
    explorer.state.layer = past[0]
    explorer.state.rank = explorer.state.max_rank - 1
    assert explorer.ranks()[past[0]] == explorer.state.max_rank - 1


# Long work


def block(explorer, monkeypatch):
    """Make the study on screen wait inside its second point; returns the events (reached, go on)."""
    study, reached, go_on = explorer._study(), threading.Event(), threading.Event()
    add = study.add

    def slow(initializer, rank, stopped=None):
        add(initializer, rank, stopped)
        if initializer == "function" and len(study.curve("function").ranks) == 2:
            reached.set()
            assert go_on.wait(30)

    monkeypatch.setattr(study, "add", slow)
    return reached, go_on


@pytest.fixture
def busy(sent, open_explorer, monkeypatch):
    """An explorer whose worker waits in the middle of the curves of `function` of `wide`."""
    explorer = open_explorer()
    assert explorer.wait(60)
    explorer.state.initializer = "spectral"
    assert explorer.wait(60)
    monkeypatch.setattr("lrexplore.explorer.compute.Study.fill", lambda *arguments: iter(()))
    explorer.state.layer = WIDE
    assert explorer.wait(60)
    monkeypatch.undo()
    reached, go_on = block(explorer, monkeypatch)
    explorer.state.rank = 6
    assert reached.wait(60)
    yield explorer, go_on
    go_on.set()


def test_a_layer_is_drawn_before_its_curves_are_complete(busy):
    explorer, go_on = busy
    assert len(curve_on_screen(explorer, "function")[0]) < 16
    assert len(curve_on_screen(explorer, "spectral")[0]) == 16
    go_on.set()
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 16
    assert (explorer.state.progress, explorer.panel.busy) == (1, False)


def test_the_rank_moves_while_curves_are_computed(busy):
    explorer, _ = busy
    explorer.panel.set_state({"rank": 13})
    assert (explorer.state.rank, explorer.factors().rank) == (13, 13)


def test_cancel_leaves_the_curves_as_far_as_they_are_and_the_explorer_usable(busy):
    explorer, go_on = busy
    explorer.panel._handle_custom_msg({"type": "cancel"}, [])
    go_on.set()
    assert explorer.wait(60)
    assert len(explorer._study().curve("function").ranks) == 2
    assert "cancelled" in explorer.panel.status
    assert (explorer.state.progress, explorer.panel.busy) == (1, False)
    explorer.state.layer = HEAD
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 6


def test_another_layer_does_not_wait_for_the_curves_of_the_last_one(busy):
    explorer, go_on = busy
    explorer.panel.set_state({"layer": HEAD})
    assert explorer.panel.frame["title"].startswith("head ·")
    go_on.set()
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 6


def test_another_layer_does_not_wait_for_a_sampled_fit(open_explorer):
    explorer = open_explorer(nn.Sequential(nn.Linear(1000, 800), nn.ReLU(), nn.Linear(800, 6)))
    explorer.state.initializer = "sampled"
    explorer.state.rank = 799
    explorer.state.initializer, explorer.state.layer = "spectral", "2"
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 6
    assert not explorer.panel.busy


def test_progress_is_told_at_most_ten_times_a_second(sent, open_explorer, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.03))
    monkeypatch.setattr("lrexplore.explorer.app.time.monotonic", lambda: next(clock))
    explorer = open_explorer()
    assert explorer.wait(60)
    told = [message for message in sent.to(explorer.panel) if "progress" in message.names]
    assert 1 <= len(told) <= 12


def test_what_background_work_raises_is_shown_and_the_explorer_goes_on(sent, open_explorer, monkeypatch):
    explorer = open_explorer()
    assert explorer.wait(60)

    def fail(*arguments):
        raise ArithmeticError("the sum is lost")

    with monkeypatch.context() as patched:
        patched.setattr("lrexplore.explorer.compute.Study.add", fail)
        explorer.state.layer = WIDE
        assert explorer.wait(60)
        assert explorer.panel.error == "ArithmeticError: the sum is lost"
        assert not explorer.panel.busy
    explorer.state.layer = HEAD
    assert explorer.wait(60)
    assert explorer.panel.error == ""
    assert len(curve_on_screen(explorer, "function")[0]) == 6


def test_what_a_handler_raises_is_shown_and_the_explorer_goes_on(sent, open_explorer, monkeypatch):
    explorer = open_explorer()
    assert explorer.wait(60)

    def fail(*arguments):
        raise ArithmeticError("no frame")

    with monkeypatch.context() as patched:
        patched.setattr("lrexplore.explorer.app.build_frame", fail)
        explorer.panel.set_state({"layer": WIDE})
        assert explorer.panel.error == "ArithmeticError: no frame"
    explorer.panel.set_state({"layer": HEAD})
    assert explorer.panel.error == ""
    assert explorer.panel.frame["title"].startswith("head ·")


def test_studies_of_layers_seen_are_kept_and_their_number_is_bounded(open_explorer):
    from lrexplore.explorer.app import MAX_STUDIES

    explorer = open_explorer(linear_network())
    for activation in lr.dual.ACTIVATIONS:
        for norm in (False, True):
            explorer.state.activation, explorer.state.batch_norm = activation, norm
    assert len(explorer._studies) == MAX_STUDIES
    study = explorer._study()
    explorer.state.activation = "relu"
    explorer.state.activation = "sigmoid"
    assert explorer._study() is study


# Beginning and end


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
    assert explorer.network.model is model
    assert model.training


@pytest.mark.parametrize(
    ("model", "options", "parts"),
    [
        ("resnet5", {}, ["`name_or_path`", "must be", "'resnet5'", "resnet50"]),
        (nn.ReLU(), {}, ["`model`", "must have a layer", "ReLU", "Pass a model"]),
        (nn.Linear(16, 8), {"rank_scale": 0}, ["`rank_scale`", "must lie in (0, 1]", "got 0", "Use"]),
        (nn.Linear(16, 8), {"rank_scale": 2}, ["`rank_scale`", "must lie in (0, 1]", "got 2", "Use"]),
        (nn.Linear(16, 8), {"weights": "DEFAULT"}, ["`weights`", "must be None", "'DEFAULT'", "Load"]),
        (nn.Linear(16, 8), {"device": "cpu"}, ["`device`", "must be None", "'cpu'", "Move"]),
    ],
)
def test_what_cannot_be_explored_is_refused_with_name_rule_value_and_way_out(model, options, parts):
    threads = threading.active_count()
    with pytest.raises(ValueError) as caught:
        lr.explore(model, **options)
    for part in parts:
        assert part in str(caught.value)
    assert threading.active_count() == threads


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
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")


def test_resnet50_comes_on_screen_within_two_megabytes(sent, open_explorer):
    explorer = open_explorer("resnet50")
    explorer._on_cancel()
    bundle = explorer._repr_mimebundle_()
    picture = sum(len(json.dumps(value)) for value in bundle.values())
    assert sent.num_bytes + picture <= 2_000_000
    assert len(explorer.network.names) == 54
