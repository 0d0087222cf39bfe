"""The list of known names of tensors is that of the architectures, and keeps what is unknown from being built."""

import pytest

from lrexplore.models import architectures, checkpoint
from lrexplore.models.architectures import known_names, signature
from lrexplore.models.fingerprints import FINGERPRINTS, candidates, fingerprint, is_listed
from lrexplore.models.sketches import SKETCHES, likeness, sketch


@pytest.mark.parametrize("name", known_names())
def test_every_architecture_is_listed_under_the_names_of_its_tensors(name):
    assert name in FINGERPRINTS[fingerprint(signature(name))]


@pytest.mark.parametrize("name", known_names())
def test_every_architecture_is_sketched_by_its_tensors(name):
    assert SKETCHES[name] == sketch(signature(name))


def test_a_sketch_finds_its_architecture_also_where_some_tensors_differ():
    shapes = {key: tuple(10 if axis is None else axis for axis in shape) for key, shape in signature("vgg13").items()}
    changed = {key: (1, *shape[1:]) if key.startswith("features.0") else shape for key, shape in shapes.items()}
    for given in (shapes, changed, {key: shape for key, shape in shapes.items() if "classifier" not in key}):
        found = likeness(given)
        assert max(found, key=found.get) == "vgg13"
    assert likeness({"0.weight": (3, 2)}) == {}


def test_the_list_has_no_other_architectures():
    assert sorted(SKETCHES) == known_names()
    assert sorted(name for names in FINGERPRINTS.values() for name in names) == known_names()
    assert is_listed("resnet18") and not is_listed("resnet1888")


def test_names_come_in_any_order_and_without_batch_counters():
    names = list(signature("resnet18"))
    assert candidates(["bn1.num_batches_tracked", *reversed(names)]) == {"resnet18"}
    assert candidates(names[1:]) == set()


def test_a_network_of_ones_own_is_recognized_as_none_without_building_any(monkeypatch):
    built = []
    monkeypatch.setattr(checkpoint, "signature", lambda name: built.append(name) or signature(name))
    monkeypatch.setattr(architectures, "build", lambda *args, **options: built.append(args))
    assert checkpoint.recognize_exactly({"0.weight": None, "0.bias": None}) is None
    assert built == []
