"""What training scripts put around weights, beside them and into their names."""

import argparse
import json
import pickle
from pathlib import Path, PosixPath, PureWindowsPath

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models import resnet18, vgg11

from lrexplore.models import load_checkpoint, load_model, read_state_dict
from lrexplore.models.catalogue import network
from lrexplore.training.saved_state import NAME


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return network("resnet20", num_classes=7).state_dict()


@pytest.fixture(scope="module")
def averaged(state):
    return {key: value + 1 if value.is_floating_point() else value for key, value in state.items()}


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def compiled_inside(state):
    return {key.replace("conv", "conv._orig_mod.") if key == "conv.weight" else key: x for key, x in state.items()}


def counted(state):
    layers = {key.rpartition(".")[0] for key in state}
    return {**state, **{f"{layer}.total_ops": torch.zeros(1) for layer in layers}, "total_params": torch.zeros(1)}


def nested(state):
    first = next(iter(state))
    layer = first.rpartition(".")[0]
    return {f"{layer}._orig_mod.{key.removeprefix(f'{layer}.')}" if key.startswith(f"{layer}.") else key: value
            for key, value in state.items()}  # fmt: skip


WHOLE = {
    "net": lambda s: {"net": s, "acc": 93.1, "epoch": 7},
    "network": lambda s: {"network": s},
    "params": lambda s: {"params": s},
    "model_state": lambda s: {"model_state": s, "optimizer_state": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    "two wrappers": lambda s: {"checkpoint": {"model": s}},
    "a tuple": lambda s: (s, 3),
    "a list": lambda s: [s],
    "numbers among tensors": lambda s: {**s, "epoch": 3, "best": 0.5, "done": True, "name": "x", "none": None},
    "counters of a profiler": counted,
    "an average": lambda s: {"n_averaged": torch.tensor(5), **prefixed(s, "module.")},
    "compiled inside": nested,
    "compiled outside of DDP": lambda s: prefixed(s, "_orig_mod.module."),
    "sharded data parallel": lambda s: prefixed(s, "_fsdp_wrapped_module."),
    "backbone": lambda s: prefixed(s, "backbone."),
    "encoder": lambda s: prefixed(s, "encoder."),
    "model beside a criterion": lambda s: {**prefixed(s, "model."), "criterion.weight": torch.ones(7)},
    "backbone beside a projection": lambda s: {
        **prefixed(s, "module.backbone."), "module.projection.0.weight": torch.ones(9, 7),
    },
    "extra state": lambda s: {**s, "conv._extra_state": None, "fc._extra_state": {"scale": 2.0}},
    "numpy scalars": lambda s: {"model": s, "loss": np.float64(0.25), "step": np.int64(3), "flag": np.bool_(True)},
    "numpy arrays": lambda s: {"model": s, "history": np.linspace(0, 1, 5), "labels": np.arange(3)},
    "weights as arrays": lambda s: {key: value.numpy() for key, value in s.items()},
    "paths": lambda s: {"model": s, "args": argparse.Namespace(out=PosixPath("/x")), "at": PureWindowsPath("C:/x")},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*is read as")
@pytest.mark.parametrize("kind", WHOLE)
def test_a_network_is_found_among_all_that_a_training_script_saves(kind, state, tmp_path):
    torch.save(WHOLE[kind](state), tmp_path / "w.pth")
    for model in (load_checkpoint(tmp_path / "w.pth"), load_model("resnet20", weights=tmp_path / "w.pth")):
        found = model.state_dict()
        assert found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)


AVERAGES = {
    "model_ema": lambda s, a: {"model": s, "model_ema": a},
    "ema": lambda s, a: {"state_dict": s, "ema": {"module": a, "updates": 7}},
    "state_dict_ema": lambda s, a: {"state_dict": s, "state_dict_ema": prefixed(a, "module.")},
    "params_ema": lambda s, a: {"params": s, "params_ema": a},
    "teacher": lambda s, a: {"student": prefixed(s, "module."), "teacher": a},
    "ours": lambda s, a: {"model": s, "average": {"n_averaged": torch.tensor(3), **prefixed(a, "module.")}},
    "under prefixes": lambda s, a: {"state_dict": {**prefixed(s, "model."), **prefixed(a, "ema.")}},
    "teacher under a prefix": lambda s, a: {**prefixed(s, "student."), **prefixed(a, "teacher.")},
}


@pytest.mark.parametrize("kind", AVERAGES)
def test_of_averaged_and_plain_weights_the_averaged_are_taken_and_that_is_said(kind, state, averaged, tmp_path):
    torch.save(AVERAGES[kind](state, averaged), tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="`w.pth` (holds averaged weights|is read as what it has under)"):
        found = load_checkpoint(tmp_path / "w.pth").state_dict()
    assert all(torch.equal(found[key], averaged[key]) for key in state)


def test_an_average_of_parameters_alone_has_the_buffers_of_the_others(state, averaged, tmp_path):
    parameters = dict(network("resnet20", num_classes=7).named_parameters())
    torch.save({"model": state, "ema": {key: averaged[key] for key in parameters}}, tmp_path / "w.pth")
    with pytest.warns(UserWarning, match="what they lack, such as buffers, is that of the others"):
        found = load_checkpoint(tmp_path / "w.pth").state_dict()
    assert all(torch.equal(found[key], (averaged if key in parameters else state)[key]) for key in state)


def test_a_teacher_with_other_tensors_is_no_average(state, tmp_path):
    torch.save({"student": state, "teacher": network("resnet32", num_classes=7).state_dict()}, tmp_path / "w.pth")
    found = read_state_dict(tmp_path / "w.pth")
    assert found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)


def test_torchs_averaged_model_is_read(state, tmp_path):
    model = network("resnet20", num_classes=7)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    average.update_parameters(model)
    torch.save(average.state_dict(), tmp_path / "w.pth")
    found = load_checkpoint(tmp_path / "w.pth").state_dict()
    assert all(torch.equal(found[key], value) for key, value in model.state_dict().items())


HEADLESS = {
    "alone": (resnet18, "fc", lambda s: {key: x for key, x in s.items() if not key.startswith("fc.")}),
    "of a contrastive loss": (
        resnet18, "fc",
        lambda s: {**{f"module.encoder_q.{key}": x for key, x in s.items() if not key.startswith("fc.")},
                   "module.encoder_q.fc.0.weight": torch.ones(5, 512), "module.encoder_q.fc.2.weight": torch.ones(3, 5),
                   "module.queue": torch.ones(3, 9)},
    ),
    "features": (vgg11, "classifier", lambda s: {key: x for key, x in s.items() if key.startswith("features.")}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*is read as")
@pytest.mark.parametrize("kind", HEADLESS)
def test_a_backbone_without_its_head_answers_with_features(kind, tmp_path):
    build, head, change = HEADLESS[kind]
    whole = build(num_classes=3).eval()
    torch.save(change(whole.state_dict()), tmp_path / "w.pth")
    with pytest.warns(UserWarning, match=f"holds a {build.__name__} without its head `{head}`.*features"):
        backbone = load_checkpoint(tmp_path / "w.pth")
    setattr(whole, head, nn.Identity())
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone(image), whole(image))


def _shards(state, folder, suffix, with_index):
    write = save_file if suffix == ".safetensors" else torch.save
    names = list(state)
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    placed = {}
    for number, part in enumerate((names[:40], names[40:80], names[80:]), start=1):
        file = f"{stem}-{number:05}-of-00003{suffix}"
        write({name: state[name] for name in part}, folder / file)
        placed |= dict.fromkeys(part, file)
    if with_index:
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return folder / f"{stem}-00002-of-00003{suffix}", folder / f"{stem}{suffix}.index.json"


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_read_whole_by_their_index_their_folder_or_one_of_them(suffix, with_index, state, tmp_path):
    shard, index = _shards(state, tmp_path, suffix, with_index)
    for path in [shard, tmp_path, *([index] if with_index else [])]:
        found = load_model(path).state_dict()
        assert all(torch.equal(found[key], state[key]) for key in state)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="must have all of its 3 shards beside it, got all but"):
        read_state_dict(tmp_path)


def test_an_index_names_files_beside_it_only(state, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(ValueError, match="must name files beside it"):
        read_state_dict(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ValueError, match="must be the index of shards, with a `weight_map`"):
        read_state_dict(tmp_path / "model.safetensors.index.json")


def test_a_folder_is_read_by_the_checkpoint_in_it(state, tmp_path):
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with pytest.raises(IsADirectoryError, match="got a folder. No checkpoint is in it"):
        load_model(folder)
    torch.save(state, folder / "weights.pth")
    assert torch.equal(load_model(folder).state_dict()["fc.weight"], state["fc.weight"])
    torch.save(state, folder / "others.pth")
    with pytest.raises(IsADirectoryError, match="Name a file in it: others.pth, weights.pth"):
        load_model(folder)


def test_the_folder_of_a_run_is_read_by_its_checkpoint(state, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    torch.save({"version": 1, "model": state}, tmp_path / NAME)
    torch.save({}, tmp_path / "other.pt")
    assert torch.equal(load_model(tmp_path).state_dict()["fc.weight"], state["fc.weight"])


def test_a_file_is_what_it_holds_whatever_it_is_called(state, tmp_path):
    save_file(state, tmp_path / "w.pt")
    torch.save(state, tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        assert read_state_dict(tmp_path / name).keys() == state.keys()


FOUND = {
    "a page": (b"<!DOCTYPE html><html>Sign in</html>", "got a page of the web, which cannot be read. Download"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "got a pointer of Git LFS.*git lfs pull",
    ),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(90), "got an HDF5 file, as Keras writes them.*Convert"),
}


@pytest.mark.parametrize("kind", FOUND)
def test_what_is_no_checkpoint_is_called_by_its_name(kind, tmp_path):
    content, words = FOUND[kind]
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_told_how_its_weights_are_saved(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"It is a program: save `torch.jit.load\(path\).state_dict\(\)`"):
        read_state_dict(tmp_path / "w.pt")


def test_what_was_found_is_said_where_it_is_no_state_dict(tmp_path):
    torch.save({"epoch": 3, "optimizer": {"state": {}}}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"got a dict with epoch \(int\), optimizer \(dict\). Save"):
        read_state_dict(tmp_path / "w.pt")


UNKNOWN = {
    "pruned": ("conv.weight_mask", "It was pruned"),
    "weight norm": ("conv.weight_g", "It has weight norm"),
    "parametrized": ("conv.parametrizations.weight.original0", "It is parametrized"),
    "adapted": ("conv.lora_A.default.weight", "It holds an adapter"),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_the_nearest_way_is_named_for_what_cannot_be_loaded(kind, state, tmp_path):
    key, words = UNKNOWN[kind]
    torch.save({**state, key: torch.ones(3)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=f"nearest is `resnet20`.*{words}"):
        load_checkpoint(tmp_path / "w.pt")


class _Made:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_what_is_known_by_name_lets_no_code_in(tmp_path):
    content = {"model": {"weight": torch.zeros(2)}, "at": Path("/x"), "n": np.float32(1), "bomb": _Made(tmp_path / "x")}
    for name, dump in {"a.pt": torch.save, "b.pt": lambda c, path: path.write_bytes(pickle.dumps(c))}.items():
        dump(content, tmp_path / name)
        with pytest.raises(ValueError, match="must hold tensors only, got a pickle|cannot be read"):
            read_state_dict(tmp_path / name)
    assert not (tmp_path / "x").exists()


def test_an_unknown_checkpoint_is_answered_in_about_a_second(state, tmp_path):
    import subprocess
    import sys

    torch.save({f"mine.{key}": value for key, value in state.items() if "fc" in key}, tmp_path / "w.pt")
    code = (
        "import time, sys; from lrexplore.models import architectures, load_checkpoint\n"
        "built, build = [], architectures.build\n"
        "architectures.build = lambda *a, **o: built.append(a) or build(*a, **o)\n"
        "try: load_checkpoint(sys.argv[1])\n"
        "except ValueError as error: print(len(built), 'nearest' in str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "w.pt"], capture_output=True, text=True, check=True)
    built, said = done.stdout.split()
    assert int(built) <= 6 and said == "True"
