import argparse
import os
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import densenet121, mnasnet1_0, resnet18

from lrexplore.models import load_checkpoint, load_model, read_state_dict, recognize
from lrexplore.models.catalogue import network
from lrexplore.network import replace_layers


@pytest.fixture(scope="module")
def state():
    return resnet18(num_classes=7).state_dict()


def _same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}},
        lambda s: {"model_state_dict": s},
        lambda s: {"state_dict": {"module." + key: value for key, value in s.items()}},
        lambda s: {"module._orig_mod." + key: value for key, value in s.items()},
    ],
    ids=["bare", "state_dict", "model", "model_state_dict", "DDP", "DDP of compiled"],
)
def test_a_state_dict_is_found_in_the_wrappers_of_training_scripts(wrap, state, tmp_path):
    torch.save(wrap(state), tmp_path / "w.pth")
    assert _same(read_state_dict(tmp_path / "w.pth"), state)


def test_safetensors_and_torch_files_give_the_same_model(state, tmp_path):
    torch.save(state, tmp_path / "w.pt")
    save_file(state, tmp_path / "w.safetensors")
    models = [load_checkpoint(tmp_path / name) for name in ("w.pt", "w.safetensors")]
    for model in models:
        assert not model.training
        assert _same(model.state_dict(), state)
    image = torch.zeros(1, 3, 32, 32)
    assert torch.equal(*(model(image) for model in models))


def test_the_number_of_classes_is_read_from_the_head(state, tmp_path):
    torch.save(state, tmp_path / "w.pt")
    assert load_checkpoint(tmp_path / "w.pt").fc.out_features == 7
    assert load_checkpoint(tmp_path / "w.pt", "resnet18").fc.out_features == 7


def test_half_precision_weights_load_into_a_float32_model(state, tmp_path):
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, tmp_path / "w.pt")
    loaded = load_checkpoint(tmp_path / "w.pt")
    assert loaded.conv1.weight.dtype == torch.float32
    assert torch.equal(loaded.conv1.weight, state["conv1.weight"].half().float())


def test_files_older_than_batch_counters_load(state, tmp_path):
    torch.save({k: v for k, v in state.items() if "num_batches_tracked" not in k}, tmp_path / "w.pt")
    assert torch.equal(load_checkpoint(tmp_path / "w.pt").bn1.weight, state["bn1.weight"])


def test_format_versions_that_safetensors_cannot_store_do_not_matter(tmp_path):
    saved = mnasnet1_0().state_dict()
    save_file(saved, tmp_path / "w.safetensors")
    assert _same(load_checkpoint(tmp_path / "w.safetensors").state_dict(), saved)


def test_densenet_files_with_torchvisions_old_names_load(tmp_path):
    saved = densenet121(num_classes=2).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in saved.items()}
    assert old.keys() != saved.keys()
    torch.save(old, tmp_path / "w.pth")
    assert _same(load_checkpoint(tmp_path / "w.pth").state_dict(), saved)


@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50", "mobilenet_v3_small", "googlenet"])
def test_the_architecture_is_recognized_by_its_tensors(name):
    import torchvision

    extra = {"init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        model = torchvision.models.get_model(name, num_classes=11, **extra)
    match = recognize(model.state_dict())
    assert (match.name, match.differences, match.num_classes) == (name, (), 11)


def test_an_unknown_architecture_is_answered_with_the_nearest_one(state, tmp_path):
    changed = {**state, "conv1.weight": torch.zeros(64, 1, 7, 7), "extra.weight": torch.zeros(2)}
    torch.save(changed, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"nearest is `resnet18`.*`conv1.weight` is \(64, 1, 7, 7\).*`extra.weight`"):
        load_checkpoint(tmp_path / "w.pt")


def test_weights_of_another_architecture_are_named(state, tmp_path):
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="must hold the tensors of `resnet50`.*They are those of `resnet18`"):
        load_checkpoint(tmp_path / "w.pt", "resnet50")


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("dump", [torch.save, lambda obj, path: path.write_bytes(pickle.dumps(obj, protocol=2))])
def test_code_in_a_pickle_is_refused_and_never_run(dump, tmp_path):
    touched = tmp_path / "touched"
    dump({"weight": torch.zeros(2), "bomb": _Touch(touched)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"must hold tensors only, got a pickle that asks for `.*`; nothing in it"):
        read_state_dict(tmp_path / "w.pt")
    assert not touched.exists()


def test_a_pickled_module_is_refused_with_the_way_to_save_it(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"asks for `torch.nn.modules.linear.Linear`.*Save `model.state_dict\(\)`"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "content", [b"", b"hello, I am no checkpoint", bytes(range(256)) * 4], ids=["empty", "text", "bytes"]
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_corrupt_file_is_an_error_that_names_it(content, suffix, tmp_path):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"`broken{suffix}` must be .*cannot be read.*again"):
        read_state_dict(path)


def test_a_truncated_file_is_an_error_that_names_it(state, tmp_path):
    path = tmp_path / "cut.pt"
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="`cut.pt` must be a checkpoint"):
        read_state_dict(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, torch.zeros(3), {"state_dict": {"a": 1}}])
def test_a_pickle_that_is_no_state_dict_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"`w.pt` must hold a state dict \(tensors by name\), got a"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_tensor_that_is_not_finite_is_named(value, state, tmp_path):
    torch.save({**state, "fc.bias": torch.tensor([0.0, value, 0, 0, 0, 0, value])}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="`fc.bias` of `w.pt` must be finite, got 2 NaN or infinite of 7 entries"):
        load_checkpoint(tmp_path / "w.pt")


def test_a_missing_file_is_an_error_with_its_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.pt` must be a checkpoint file"):
        read_state_dict(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("name", ["resnet20", "resnet32x2", "efficientnet_small"])
def test_a_network_that_was_trained_here_comes_back_from_its_checkpoint(name, tmp_path):
    torch.manual_seed(0)
    trained = network(name, num_classes=7)
    torch.save({"version": 1, "model": trained.state_dict(), "step": 3}, tmp_path / "checkpoint.pt")
    for loaded in (load_model(tmp_path / "checkpoint.pt"), load_model(name, weights=tmp_path / "checkpoint.pt")):
        assert not loaded.training
        for key, value in trained.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)
    with pytest.raises(ValueError, match=f"`weights` of {name} must be None or the path of a checkpoint"):
        load_model(name, weights="DEFAULT")


def test_a_checkpoint_of_a_factorized_network_is_told_what_opens_it(tmp_path):
    small = replace_layers(network("resnet20", num_classes=7), rank_scale=0.2, initializer="independent")
    torch.save(small.state_dict(), tmp_path / "small.pt")
    with pytest.raises(ValueError, match="nearest is `resnet20`.*Its layers are factorized: .*`load_state_dict`"):
        load_model(tmp_path / "small.pt")


ODD = {
    "complex": (lambda x: x.to(torch.complex64), "must be real and not quantized, got torch.complex64"),
    "quantized": (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "must be real and not quantized"),
    "sparse": (lambda x: x.to_sparse(), "must be dense, got torch.sparse_coo"),
    "compressed": (lambda x: x.to_sparse_csr(), "must be dense, got torch.sparse_csr"),
    "nested": (lambda x: torch.nested.nested_tensor([x[0], x[1]]), "must be dense, got a nested tensor"),
    "meta": (lambda x: x.to("meta"), "must hold values"),
    "past float32": (lambda x: x.double() * 1e150, "in the model's own dtype must be finite, got .* NaN or infinite"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_odd_tensors_are_named_instead_of_losing_a_part(kind, state, tmp_path):
    change, words = ODD[kind]
    weight = torch.randn(7, 512)
    torch.save({**state, "fc.weight": change(weight)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=f"`fc.weight` of `w.pt` .*{words}|`fc.weight` of `w.pt` {words}"):
        load_checkpoint(tmp_path / "w.pt")
