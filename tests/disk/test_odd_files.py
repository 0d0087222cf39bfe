"""Our own files with descriptions that do not fit: one error in words, or the same thing; never anything else."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from lrexplore.calibration import Calibration, calibrate
from lrexplore.models import load_model
from lrexplore.network import replace_layers
from lrexplore.network.files import save
from lrexplore.opening import load
from lrexplore.ranks import RankPlan, allocate

OTHER = [None, True, -1, 0, 3, 10**12, 1.5, float("nan"), "", "words", [], [0], {}, {"words": 1}]


def _net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 16, 3, groups=2), nn.Flatten(), nn.Linear(16 * 4, 24), nn.Linear(24, 12)).eval()


def _places(value, before=()):
    """The place of everything in a description, however deep."""
    if before:
        yield before
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from _places(part, (*before, key))


def _mutations(text):
    """The description with one thing left out, and with each thing replaced by each of `OTHER`."""
    for place in _places(json.loads(text)):
        for other in (..., *OTHER):
            about = json.loads(text)
            owner = about
            for key in place[:-1]:
                owner = owner[key]
            if other is ...:
                del owner[place[-1]]
            else:
                owner[place[-1]] = other
            yield place, other, about


def _read(path):
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()["lrexplore"]  # noqa: SIM118


def _refused_or(call, same, path, place, other):
    try:
        found = call(path)
    except ValueError as error:
        assert str(error).startswith("`"), (place, other, error)
        return True
    assert same(found), (place, other)
    return False


def test_a_saved_network_with_any_part_of_its_description_changed_is_refused_or_the_same(tmp_path):
    small = replace_layers(_net(), ranks={"0": 2, "2": 4}, initializer="spectral")
    path, x = tmp_path / "small.safetensors", torch.randn(2, 4, 4, 4)
    save(small, path)
    tensors, text = _read(path)
    refused = 0
    for place, other, about in _mutations(text):
        save_file(tensors, path, metadata={"lrexplore": json.dumps(about)})
        refused += _refused_or(
            lambda path: load(path, _net()), lambda net: torch.allclose(net(x), small(x)), path, place, other
        )
    assert refused > 100


def test_a_saved_architecture_with_any_part_of_its_description_changed_is_refused_or_the_same(tmp_path):
    path, small = tmp_path / "small.safetensors", replace_layers(load_model("resnet20"), ranks={"fc": 3})
    save(small, path)
    tensors, text = _read(path)
    about = json.loads(text)
    for key in ("architecture", "num_classes", "class", "plan", "layers", "format"):
        for other in (*OTHER, "resnet32", "resnet18", 64):
            save_file(tensors, path, metadata={"lrexplore": json.dumps({**about, key: other})})
            _refused_or(load, lambda net: torch.equal(net.fc.left, small.fc.left), path, key, other)


def test_a_calibration_with_any_part_of_its_description_changed_is_refused_or_the_same(tmp_path):
    path = tmp_path / "inputs.safetensors"
    found = calibrate(_net(), [torch.randn(8, 4, 4, 4)])
    found.save(path)
    tensors, text = _read(path)
    for place, other, about in _mutations(text):
        save_file(tensors, path, metadata={"lrexplore": json.dumps(about)})
        _refused_or(
            Calibration.load, lambda again: set(again) <= {*found, "words", "3"} and len(again), path, place, other
        )


def test_a_plan_with_any_part_changed_is_refused_or_a_plan(tmp_path):
    plan = allocate(_net(), parameter_ratio=0.8, example_input=torch.zeros(1, 4, 4, 4), use_cache=False)
    for place, other, about in _mutations(plan.to_json()):
        _refused_or(RankPlan.from_json, lambda again: str(again) and again.to_json(), json.dumps(about), place, other)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{", '"words"', "[" * 10000, '{"format": 3}'])
def test_a_description_that_is_no_object_is_that_of_another_file(text, tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "file.safetensors", metadata={"lrexplore": text})
    for read in (load, Calibration.load):
        with pytest.raises(ValueError, match="`path` must be a file written by"):
            read(tmp_path / "file.safetensors")


def test_a_plan_with_a_layer_twice_or_with_wrong_counts_is_refused():
    net = _net()
    plan = allocate(net, parameter_ratio=0.8, example_input=torch.zeros(1, 4, 4, 4), use_cache=False)
    about = json.loads(plan.to_json())
    for change, words in (
        ({"layers": [*about["layers"], about["layers"][0]]}, "a layer several times"),
        ({"parameters": [about["parameters"][0], about["parameters"][1] - 1]}, "parameters, and layers that save"),
    ):
        with pytest.raises(ValueError, match=f"`plan` must be json written by .*{words}"):
            RankPlan.from_json(json.dumps({**about, **change}))
    twice = RankPlan(**{**vars(plan), "layers": (*plan.layers, plan.layers[0])})
    with pytest.raises(ValueError, match="`plan` must have every layer once, got `0` several times"):
        twice.check(net)
