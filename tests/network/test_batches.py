"""What the items of a loader mean: one answer everywhere, or one refusal before any work."""

from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lrexplore.calibration import calibrate
from lrexplore.network import choose_execution
from lrexplore.network.answers import class_numbers
from lrexplore.network.batches import first_inputs, read_item
from lrexplore.network.compare import compare
from lrexplore.network.programs import export
from lrexplore.ranks import allocate, factorize

IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
NUMBERS = torch.arange(12) % 10
HOT = nn.functional.one_hot(NUMBERS, 10)
Sample = namedtuple("Sample", "image label")


class Net(nn.Module):
    """A small classifier whose argument has a name."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Linear(16, 10)

    def forward(self, image):
        return self.head(torch.relu(self.norm(self.conv(image))).mean((2, 3)))


class Pairs(Dataset):
    """A data set of the old protocol: numbered, without a length."""

    def __getitem__(self, number):
        if number >= 2:
            raise IndexError
        return IMAGES[6 * number : 6 * number + 6], NUMBERS[6 * number : 6 * number + 6]


def _halves(*parts):
    return list(zip(*(part.split(6) for part in parts), strict=True))


KINDS = {
    "tensors": lambda: list(IMAGES.split(6)),
    "a tuple of tensors": lambda: IMAGES.split(6),
    "a generator": lambda: (x for x in IMAGES.split(6)),
    "pairs": lambda: _halves(IMAGES, NUMBERS),
    "lists": lambda: [list(pair) for pair in _halves(IMAGES, NUMBERS)],
    "triples": lambda: _halves(IMAGES, NUMBERS, torch.zeros(12)),
    "tuples of one": lambda: _halves(IMAGES),
    "lists of one": lambda: [[x] for x in IMAGES.split(6)],
    "named tuples": lambda: [Sample(*pair) for pair in _halves(IMAGES, NUMBERS)],
    "dicts": lambda: [{"image": x} for x in IMAGES.split(6)],
    "dicts with labels": lambda: [{"image": x, "labels": y} for x, y in _halves(IMAGES, NUMBERS)],
    "dicts with a label": lambda: [{"label": y, "image": x} for x, y in _halves(IMAGES, NUMBERS)],
    "a tokenizer's batches": lambda: [UserDict(image=x, labels=y) for x, y in _halves(IMAGES, NUMBERS)],
    "pairs of a dict and labels": lambda: [({"image": x}, y) for x, y in _halves(IMAGES, NUMBERS)],
    "nested inputs and labels": lambda: [((x,), y) for x, y in _halves(IMAGES, NUMBERS)],
    "one-hot labels": lambda: _halves(IMAGES, HOT.float()),
    "labels as columns": lambda: _halves(IMAGES, NUMBERS[:, None]),
    "lists of numbers": lambda: [(x, y.tolist()) for x, y in _halves(IMAGES, NUMBERS)],
    "a DataLoader": lambda: DataLoader(TensorDataset(IMAGES, NUMBERS), batch_size=6),
    "a DataLoader without labels": lambda: DataLoader(TensorDataset(IMAGES), batch_size=6),
    "a numbered data set": Pairs,
}
LABELLED = {name for name in KINDS if "pair" in name or "label" in name or name in
            ("lists", "triples", "named tuples", "a tokenizer's batches", "lists of numbers", "a DataLoader",
             "a numbered data set")} - {"a DataLoader without labels"}  # fmt: skip


@pytest.fixture(scope="module")
def net():
    return Net().eval()


@pytest.fixture(scope="module")
def small(net):
    return factorize(net, rank_scale=0.3, loader=KINDS["tensors"]())


@pytest.fixture(scope="module")
def table(net, small):
    return compare(net, small, _halves(IMAGES, NUMBERS), latency_rounds=0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_loader_gives_the_same_calibration_network_and_comparison(kind, net, small, table):
    expected = calibrate(net, KINDS["tensors"]())
    found = calibrate(net, KINDS[kind]())
    assert found.num_inputs == expected.num_inputs == 12
    assert all(torch.equal(found[name].second_moment, expected[name].second_moment) for name in expected)
    again = factorize(net, rank_scale=0.3, loader=KINDS[kind]())
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), small.state_dict().values(), strict=True))
    rows = compare(net, small, KINDS[kind](), latency_rounds=0)
    assert ("top-1 accuracy" in rows.index) == (kind in LABELLED)
    assert rows.loc["KL divergence"].equals(table.loc["KL divergence"])
    if kind in LABELLED:
        assert rows.loc["top-1 accuracy"].equals(table.loc["top-1 accuracy"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_item_is_an_example_to_export_and_to_time_on(kind, net, small, tmp_path):
    item = next(iter(KINDS[kind]()))
    assert len(choose_execution(small, item, num_rounds=1)) == 2
    export(small, tmp_path / "small.pt2", item)
    program = torch.export.load(tmp_path / "small.pt2").module()
    named = isinstance(read_item(item, net).inputs, dict)
    for count in (1, 5):
        said = program(image=IMAGES[:count]) if named else program(IMAGES[:count])
        assert torch.allclose(said, small(IMAGES[:count]), atol=1e-5)


def test_the_plan_is_the_same_for_tensors_and_for_a_tokenizers_batches(net, tmp_path, monkeypatch):
    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path))
    plans = [allocate(net, parameter_ratio=0.8, loader=KINDS[kind]()) for kind in ("tensors", "a tokenizer's batches")]
    assert plans[0] == plans[1]


REFUSED = {
    "a tensor": (lambda: IMAGES, "got one tensor"),
    "a dict": (lambda: {"image": IMAGES}, r"got one dict with image. Pass a list with it, `\[batch\]`"),
    "a name": (lambda: "images", "got str"),
    "a module": (lambda: nn.Sequential(nn.Linear(2, 2)), "got Sequential"),
    "nothing": (list, "at least one batch, got none"),
    "arrays": (lambda: [IMAGES.numpy()], "batches of tensors.*got ndarray. Convert"),
    "names": (lambda: ["a", "b"], "batches of tensors.*got str"),
    "an empty tuple": (lambda: [()], "batches of tensors.*got tuple"),
    "a dict of words": (lambda: [{"image": "words"}], "batches of tensors.*got dict"),
    "labels alone": (lambda: [{"labels": NUMBERS}], "batches of tensors"),
    "a number": (lambda: [torch.tensor(3.0)], "batches of tensors"),
    "images one by one": (lambda: list(IMAGES), r"one input \(3, 8, 8\) without a batch axis. Pass a DataLoader"),
    "a data set": (lambda: TensorDataset(IMAGES, NUMBERS), r"one input \(3, 8, 8\) without a batch axis"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_loader_of_batches_is_refused_alike_before_any_work(kind, net, small):
    make, words = REFUSED[kind]
    called = []
    hook = net.register_forward_hook(lambda *seen: called.append(1))
    for use in (
        lambda loader: calibrate(net, loader),
        lambda loader: factorize(net, rank_scale=0.3, loader=loader),
        lambda loader: allocate(net, parameter_ratio=0.8, loader=loader),
        lambda loader: compare(net, small, loader),
    ):
        with pytest.raises((TypeError, ValueError), match="`loader` must .*" + words):
            use(make())
    hook.remove()
    assert not called


@pytest.mark.parametrize(
    "labels",
    [
        torch.rand(12, 10), torch.rand(12), NUMBERS.float(), NUMBERS[:6], NUMBERS[None], NUMBERS - 1, NUMBERS + 1,
        HOT * 2, torch.ones(12, 10), torch.zeros(12, 3, dtype=torch.long), [["a"] * 12], "words", {"boxes": NUMBERS},
    ],
)  # fmt: skip
def test_labels_that_are_no_classes_are_refused(labels, net, small):
    with pytest.raises(ValueError, match="`loader` must give labels that are class numbers .12,. in 0..9 or one-hot"):
        compare(net, small, [(IMAGES, labels)], latency_rounds=0)


@pytest.mark.parametrize("labels", [NUMBERS, NUMBERS[:, None], NUMBERS.byte(), HOT, HOT.bool(), NUMBERS.numpy()])
def test_labels_come_as_numbers_columns_or_one_hot(labels):
    assert torch.equal(class_numbers(labels, 12, 10), NUMBERS)


class Two(nn.Module):
    """A network of two inputs, with labels that it takes for a loss, as those of transformers do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(6, 24), nn.Linear(5, 24), nn.Linear(24, 10)

    def forward(self, a, b, labels=None):
        logits = self.head(torch.relu(self.first(a) + self.second(b)))
        loss = nn.functional.cross_entropy(logits, labels) if labels is not None else None
        return {"loss": loss, "logits": logits} if loss is not None else {"logits": logits}


A, B = torch.randn(12, 6), torch.randn(12, 5)
TWO = {
    "both": lambda: [(A, B)],
    "both in a list": lambda: [[A, B]],
    "both and labels": lambda: [(A, B, NUMBERS)],
    "nested": lambda: [((A, B), NUMBERS)],
    "a nested list": lambda: [[[A, B], NUMBERS]],
    "by name": lambda: [{"a": A, "b": B}],
    "by name with labels": lambda: [{"a": A, "b": B, "labels": NUMBERS}],
    "a DataLoader": lambda: DataLoader(TensorDataset(A, B, NUMBERS), batch_size=12),
}


@pytest.mark.parametrize("kind", TWO)
def test_several_inputs_are_those_that_the_forward_needs(kind):
    net = Two().eval()
    found, expected = calibrate(net, TWO[kind]()), calibrate(net, TWO["by name"]())
    assert all(torch.equal(found[name].second_moment, expected[name].second_moment) for name in expected)
    small = factorize(net, rank_scale=0.3, loader=TWO[kind]())
    rows = compare(net, small, TWO[kind](), latency_rounds=1)
    assert ("top-1 accuracy" in rows.index) == (kind not in ("both", "both in a list", "by name"))
    assert rows.loc["MFLOP", "original"] == pytest.approx((6 * 24 + 5 * 24 + 240) / 1e6)


class Answers(nn.Module):
    """A classifier that answers in another form."""

    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.net, self.form = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 10)), form

    def forward(self, x):
        return self.form(self.net(x))


class Output:
    """What a transformer answers with, by attribute."""

    def __init__(self, logits):
        self.hidden, self.logits = logits[:, :2], logits


@pytest.mark.parametrize(
    ("form", "logits"),
    [
        (lambda x: {"hidden": x[:, :2], "logits": x}, None),
        (lambda x: {"loss": x.mean(), "classes": x}, None),
        (lambda x: (x, x[:, :2]), None),
        (Output, None),
        (lambda x: {"a": x[:, :2], "b": x}, "b"),
        (lambda x: (x[:, :2], x), 1),
        (lambda x: {"a": x[:, :2], "b": x}, -1),
        (lambda x: x[:, None], lambda said: said[:, 0]),
    ],
)
def test_the_logits_are_found_in_an_answer_of_several_parts(form, logits):
    plain, model = Answers(lambda x: x).eval(), Answers(form).eval()
    ranks = {"net.0": 2}
    expected = compare(plain, factorize(plain, ranks=ranks), [A], latency_rounds=0)
    found = compare(model, factorize(model, ranks=ranks), [A], latency_rounds=0, logits=logits)
    assert found.equals(expected)
    assert allocate(model, parameter_ratio=0.8, loader=[A], logits=logits, use_cache=False).ranks


@pytest.mark.parametrize("logits", ["other", 7, lambda said: None])
def test_logits_that_are_not_there_are_refused_with_what_is(logits):
    model = Answers(lambda x: {"a": x, "b": x}).eval()
    with pytest.raises(ValueError, match="`model` must answer with logits .*, got a dict with a, b and `logits="):
        compare(model, model, [A], latency_rounds=0, logits=logits)


def test_first_inputs_give_every_batch_once_and_are_understood_once(net):
    taken, every = first_inputs(KINDS["a generator"](), 1, net)
    assert len(taken) == 1
    assert torch.equal(torch.cat([item.inputs for item in every]), IMAGES)


def test_an_array_of_labels_and_a_progress_of_three_words_go_with_a_calibration(net):
    told = []
    calibrate(net, [(IMAGES, np.arange(12))], progress=lambda *words: told.append(words))
    assert told == [(12, 12, "inputs")]
    calibrate(net, iter([IMAGES]), progress=lambda *words: told.append(words))
    assert told[1] == (12, 0, "inputs")


class Boxes(nn.Module):
    """A detector: it takes a list of images of any sizes, and targets in training, without saying so in types."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 10)

    def forward(self, images, targets=None):
        if targets is not None:
            raise AttributeError("these are no targets")
        return self.head(torch.stack([self.conv(image).mean((1, 2)) for image in images]))


@pytest.mark.parametrize("with_targets", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_list_of_images_is_one_argument_of_a_detector_that_also_takes_targets(count, with_targets):
    images = [torch.rand(3, 9 + number, 9) for number in range(count)]
    targets = [{"boxes": torch.zeros(0, 4)} for _ in images]
    net = Boxes().eval()
    loader = [(images, targets) if with_targets else (images,)]
    assert calibrate(net, loader).num_inputs == count
    assert factorize(net, rank_scale=0.3, loader=loader)(images).shape == (count, 10)
