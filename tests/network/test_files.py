import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lrexplore.calibration import Calibration, calibrate
from lrexplore.models import load_model
from lrexplore.network import replace_layers
from lrexplore.network.files import save
from lrexplore.network.programs import export
from lrexplore.opening import load
from lrexplore.ranks import RankPlan, allocate, factorize


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path / "cache"))


def _own():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, bias=False, padding=1), nn.ReLU(), nn.Conv2d(12, 8, 3, groups=2), nn.Flatten(),
        nn.Linear(8 * 36, 20),
    ).eval()  # fmt: skip


def test_a_known_architecture_comes_back_from_its_file_alone(tmp_path):
    torch.manual_seed(0)
    model = load_model("resnet18")
    small = replace_layers(model, rank_scale=0.2, initializer="spectral", scheme={"layer1.0.conv1": "spatial"})
    save(small, tmp_path / "small.safetensors")
    again = load(tmp_path / "small.safetensors")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(small(x), again(x), atol=1e-6)
    assert not again.training


def test_a_factorized_network_of_our_own_comes_back_from_its_file_alone(tmp_path):
    torch.manual_seed(0)
    small = replace_layers(load_model("resnet20"), rank_scale=0.2, initializer="spectral")
    save(small, tmp_path / "small.safetensors")
    x = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "small.safetensors")(x), small(x))


def test_a_network_of_ones_own_comes_back_into_its_module(tmp_path):
    model = _own()
    images = [torch.randn(8, 3, 8, 8) + 0.5]
    plan = allocate(model, parameter_ratio=0.5, loader=images)
    small = factorize(model, plan=plan, loader=images)
    save(small, tmp_path / "small.safetensors")
    again = load(tmp_path / "small.safetensors", _own())
    assert torch.allclose(small(images[0]), again(images[0]), atol=1e-6)
    assert again.rank_plan == plan
    with pytest.raises(ValueError, match="`model` must be given"):
        load(tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="`model` must"):
        load(tmp_path / "small.safetensors", nn.Sequential(nn.Linear(3, 3)))


class Knotted(nn.Module):
    """Tied weights, one layer at two places, a buffer that no state dict has and a tensor that is none."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tensor([1.0, 0.0] * 16), persistent=False)
        self.scale = torch.tensor(3.0)
        self.embedding, self.head = nn.Embedding(20, 32), nn.Linear(32, 20, bias=False)
        self.head.weight = self.embedding.weight
        self.layer = self.again = nn.Linear(32, 32)

    def forward(self, tokens):
        x = self.embedding(tokens) * self.mask * self.scale
        return self.head(self.again(torch.relu(self.layer(x))))


def test_ties_and_what_is_in_no_state_dict_survive_saving_and_loading(tmp_path):
    small = replace_layers(Knotted(), rank_scale=0.25)
    save(small, tmp_path / "small.safetensors")
    again = load(tmp_path / "small.safetensors", Knotted())
    tokens = torch.arange(20)[None]
    assert torch.equal(again(tokens), small(tokens))
    assert again.head.weight is again.embedding.weight and again.again is again.layer
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in small.parameters())


def test_a_network_that_is_one_layer_comes_back(tmp_path):
    small = replace_layers(nn.Linear(12, 20), rank_scale=0.25)
    save(small, tmp_path / "small.safetensors")
    again = load(tmp_path / "small.safetensors", nn.Linear(12, 20))
    assert torch.equal(again(torch.ones(3, 12)), small(torch.ones(3, 12)))


def test_a_bias_that_a_correction_added_does_not_hide_the_architecture(tmp_path):
    model = load_model("resnet18")
    small = replace_layers(model, ranks={"layer1.0.conv1": 8}, initializer="spectral")
    layer = small.get_submodule("layer1.0.conv1")
    layer.bias, layer.bias_added = nn.Parameter(torch.randn(64)), True
    save(small, tmp_path / "small.safetensors")
    found = load(tmp_path / "small.safetensors").get_submodule("layer1.0.conv1")
    assert torch.equal(found.bias, layer.bias)


def test_other_files_and_names_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("text")
    for name in ("other", "text"):
        with pytest.raises(ValueError, match="`path` must be"):
            load(tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match="`architecture` must be that of the model, got 'resnet18'"):
        save(_own(), tmp_path / "own.safetensors", architecture="resnet18")


def test_a_saved_network_given_as_a_checkpoint_is_told_how_to_load_it(tmp_path):
    save(replace_layers(_own(), rank_scale=0.3, initializer="spectral"), tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match=r"got a network that lrexplore saved. Load it with `lr.load\(path\)`"):
        load_model(tmp_path / "small.safetensors")
    calibrate(_own(), [torch.randn(4, 3, 8, 8)]).save(tmp_path / "inputs.safetensors")
    with pytest.raises(ValueError, match=r"got a calibration that lrexplore saved. Load it with `lr.Calibration.load"):
        load_model(tmp_path / "inputs.safetensors")


def test_a_missing_folder_or_file_is_named_with_the_way_out(tmp_path):
    small = replace_layers(_own(), rank_scale=0.3, initializer="spectral")
    plan = allocate(_own(), parameter_ratio=0.5)
    for write in (
        lambda path: save(small, path / "small.safetensors"),
        lambda path: export(small, path / "small.pt2", torch.randn(2, 3, 8, 8)),
        lambda path: plan.save(path / "plan.json"),
    ):
        with pytest.raises(FileNotFoundError, match="`path` must lie in a folder that is there, got .*mkdir -p"):
            write(tmp_path / "missing")
    with pytest.raises(ValueError, match="`path` must be a file to write, got the folder"):
        save(small, tmp_path)
    for read in (load, Calibration.load, RankPlan.load):
        with pytest.raises(FileNotFoundError, match="must be a file, got no such file: .*Check the path"):
            read(tmp_path / "missing.json")
    (tmp_path / "binary.json").write_bytes(b"\xda\x00")
    with pytest.raises(ValueError, match="`plan` must be json written by"):
        RankPlan.load(tmp_path / "binary.json")


def test_an_unknown_architecture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`architecture` must be a name that `lr.load_model` knows, got 'resnet1888'"):
        save(_own(), tmp_path / "own.safetensors", architecture="resnet1888")


def test_exporting_leaves_the_mode_of_every_module(tmp_path):
    small = replace_layers(_own(), rank_scale=0.3, initializer="spectral").train()
    small[0].eval()
    export(small, tmp_path / "small.pt2", torch.randn(2, 3, 8, 8))
    assert [module.training for module in small] == [False, True, True, True, True]


def test_the_exported_program_runs_without_the_library_and_for_any_batch(tmp_path):
    small = replace_layers(_own(), rank_scale=0.3, initializer="spectral", scheme="spatial")
    export(small, tmp_path / "small.pt2", torch.randn(1, 3, 8, 8))
    program = torch.export.load(tmp_path / "small.pt2").module()
    for count in (1, 5):
        x = torch.randn(count, 3, 8, 8)
        assert torch.allclose(program(x), small(x), atol=1e-5)
    with pytest.raises(ValueError, match=r"`path` must end in .pt2 or .onnx"):
        export(small, tmp_path / "small.bin", torch.randn(1, 3, 8, 8))


def test_the_exported_onnx_graph_gives_the_same_outputs(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")
    pytest.importorskip("onnxscript", reason="needs the extra `onnx`")
    from onnx.reference import ReferenceEvaluator

    small = replace_layers(_own(), rank_scale=0.3, initializer="spectral", scheme="spatial")
    export(small, tmp_path / "small.onnx", torch.randn(1, 3, 8, 8))
    graph = ReferenceEvaluator(onnx.load(tmp_path / "small.onnx"))
    for count in (1, 3):
        x = torch.randn(count, 3, 8, 8)
        (found,) = graph.run(None, {graph.input_names[0]: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), small(x).detach(), atol=1e-4, rtol=1e-4)


def test_a_network_of_ones_own_is_saved_without_a_look_at_any_architecture(tmp_path):
    code = (
        "import sys, torch, lrexplore as lr\n"
        "model = torch.nn.Sequential(torch.nn.Linear(30, 30))\n"
        "lr.save(lr.factorize(model, rank_scale=0.2, initializer='spectral'), sys.argv[1])\n"
        "assert 'torchvision' not in sys.modules\n"
    )
    path = tmp_path / "small.safetensors"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path(__file__).parents[2])
    assert load(path, nn.Sequential(nn.Linear(30, 30)))[0].rank == 6


def test_a_tilde_is_the_home_folder_wherever_a_path_is_given(tmp_path, monkeypatch):
    import lrexplore as lr
    from lrexplore.explorer.panel.export import to_html

    monkeypatch.setenv("HOME", str(tmp_path))
    model, images = _own(), [torch.randn(4, 3, 8, 8)]
    plan = allocate(model, parameter_ratio=0.5)
    plan.save("~/plan.json")
    assert RankPlan.load("~/plan.json") == plan
    save(replace_layers(model, rank_scale=0.3, initializer="spectral"), "~/small.safetensors")
    assert load("~/small.safetensors", model)
    calibrate(model, images).save("~/inputs.safetensors")
    assert Calibration.load("~/inputs.safetensors")
    export(model, "~/small.pt2", images[0])
    to_html({"frame": {"board": True}, "layer": "", "rank": 1}, "~/page.html", "title")
    torch.save(load_model("resnet20").state_dict(), tmp_path / "resnet20.pt")
    assert load_model("~/resnet20.pt")
    assert load_model("resnet20", weights="~/resnet20.pt")
    assert lr.Run("~/run").folder == tmp_path / "run"
    (tmp_path / "runs").mkdir()
    assert lr.runs("~/runs").empty
    assert set(os.listdir(tmp_path)) >= {
        "plan.json",
        "small.safetensors",
        "inputs.safetensors",
        "small.pt2",
        "page.html",
    }


class Stateful(nn.Module):
    """A module with state that is no tensor, and with tensors of two versions."""

    _version = 3

    def __init__(self, extra=None):
        super().__init__()
        self.fc, self.extra = nn.Linear(8, 8), extra

    def forward(self, x):
        return self.fc(x)

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state

    def _load_from_state_dict(self, state, prefix, metadata, *rest):
        if metadata.get("version", 1) < 3:
            raise RuntimeError("its tensors are taken for old ones")
        super()._load_from_state_dict(state, prefix, metadata, *rest)


@pytest.mark.parametrize("extra", [torch.arange(3.0), {"scale": [1, 2.5]}, "calibrated", 7, None])
def test_extra_state_and_the_versions_of_classes_are_saved(extra, tmp_path):
    model, x = Stateful(extra), torch.randn(2, 8)
    for network in (model, factorize(model, rank_scale=0.3)):
        save(network, tmp_path / "small.safetensors")
        loaded = load(tmp_path / "small.safetensors", Stateful(torch.zeros(3) if torch.is_tensor(extra) else extra))
        assert torch.equal(loaded(x), network(x))
        assert torch.equal(loaded.extra, extra) if torch.is_tensor(extra) else loaded.extra == extra


def test_extra_state_that_is_no_plain_value_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="`_extra_state` of `model` must be a tensor or plain values to be"):
        save(Stateful(object()), tmp_path / "small.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_network_whose_class_has_versions_comes_back(tmp_path):
    from torchvision.models import mnasnet0_75

    model = mnasnet0_75(num_classes=3).eval()
    save(model, tmp_path / "net.safetensors")
    loaded = load(tmp_path / "net.safetensors").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())
