import subprocess
import sys

import pytest
import torch
from torch import nn

from lrexplore.models import load_model


def test_a_module_comes_back_itself_unchanged():
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    assert load_model(module) is module
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "ResNet18", "efficientnet_b0", "efficientnet_lite0", "googlenet"])
def test_a_name_gives_a_model_in_eval_mode_with_a_thousand_classes(name):
    model = load_model(name)
    assert not model.training
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


@pytest.mark.parametrize(("typed", "meant"), [("resnet5", "resnet50"), ("eficientnet_b0", "efficientnet_b0")])
def test_an_unknown_name_is_answered_with_the_nearest_ones(typed, meant):
    with pytest.raises(ValueError, match=f"got '{typed}'. Nearest: .*{meant}"):
        load_model(typed)


def test_a_name_like_no_other_is_answered_with_where_all_names_are():
    with pytest.raises(ValueError, match=r"got 'qqqqqqqq'. See lrexplore.models.names\(\)"):
        load_model("qqqqqqqq")


@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_a_checkpoint_is_loaded_by_its_path_alone_or_as_the_weights_of_a_name(as_type, tmp_path):
    path = tmp_path / "best.pt"
    saved = load_model("resnet18").state_dict()
    torch.save(saved, path)
    for model in (load_model(as_type(path)), load_model("resnet18", weights=as_type(path))):
        assert all(torch.equal(value, saved[key]) for key, value in model.state_dict().items())


def test_a_path_without_a_known_suffix_is_a_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be a checkpoint file"):
        load_model(f"{tmp_path}/best")


@pytest.mark.parametrize("model", ["best.pt", nn.Linear(2, 2)])
def test_weights_beside_what_already_has_weights_are_refused(model):
    with pytest.raises(ValueError, match="`weights` must be None for .*got 'DEFAULT'"):
        load_model(model, weights="DEFAULT")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_module_with_a_weight_that_is_not_finite_is_refused(value):
    module = nn.Linear(3, 2)
    module.weight.data[1, 1] = value
    with pytest.raises(ValueError, match="`weight` of the Linear must be finite, got 1 NaN or infinite of 6 entries"):
        load_model(module)


@pytest.mark.parametrize("module", [nn.LazyLinear(3), nn.Linear(2, 2, device="meta")], ids=["lazy", "meta"])
def test_a_module_without_values_is_refused(module):
    with pytest.raises(ValueError, match="`weight` of the .* must hold values"):
        load_model(module)


@pytest.mark.parametrize("thing", [3, None, torch.zeros(2)])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(TypeError, match="`name_or_path` must be a name, a path or an nn.Module, got a"):
        load_model(thing)


def test_without_the_extra_lite0_says_how_to_install_it():
    hide = "import sys; sys.modules['timm'] = None; import importlib.util as u; find = u.find_spec;"
    hide += "u.find_spec = lambda name, *a: None if name == 'timm' else find(name, *a);"
    load = "from lrexplore.models import load_model; load_model('efficientnet_lite0')"
    done = subprocess.run([sys.executable, "-c", hide + load], capture_output=True, text=True)
    assert done.returncode == 1
    assert "`efficientnet_lite0` needs timm" in done.stderr
    assert "pip install -e '.[pretrained]'" in done.stderr


@pytest.mark.parametrize("name", ["resnet20", "squeezenet1_0"])
def test_a_random_network_comes_from_its_seed_and_leaves_the_global_generator_alone(name):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = load_model(name).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again, other = load_model(name, seed=0).state_dict(), load_model(name, seed=1).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


def test_a_folder_of_several_files_is_refused_with_their_names(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"")
    (tmp_path / "last.pt").write_bytes(b"")
    with pytest.raises(IsADirectoryError, match=r"got a folder\. Name a file in it: best\.pt"):
        load_model(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(IsADirectoryError, match=r"got a folder\. It is that of a run: give `lr\.load\(folder\)`"):
        load_model(str(tmp_path))


def test_a_misspelt_folder_or_file_is_answered_with_what_is_there(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "best.pt").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"got no such folder as .*runz\. Near: runs\."):
        load_model(tmp_path / "runz" / "best.pt")
    with pytest.raises(FileNotFoundError, match=r"got no such file\. Near: best\.pt\."):
        load_model(tmp_path / "runs" / "bset.pt")
