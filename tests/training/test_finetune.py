"""Fine-tuning in a notebook: what it regains, what it never does, and how it ends."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import lrexplore as lr
from lrexplore.training.finetuning.held_out import set_aside
from lrexplore.training.finetuning.teacher import divergence


def blobs(count=1200, seed=0):
    """Inputs of sixteen numbers in six overlapping classes."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(6, (count,), generator=draws)
    centres = torch.randn(6, 16, generator=torch.Generator().manual_seed(7))
    return centres[labels] + torch.randn(count, 16, generator=draws), labels


@pytest.fixture(scope="module")
def trained():
    """A network with batch norm that knows the classes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                          nn.Linear(64, 6))  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs, labels = blobs()
    for _ in range(15):
        for x, y in zip(inputs.split(64), labels.split(64), strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


@pytest.fixture(scope="module")
def small(trained):
    return lr.factorize(trained, ranks={"0": 3, "3": 2}, initializer="spectral")


def top1(model):
    inputs, labels = blobs(seed=1)
    with torch.no_grad():
        return 100 * float((model(inputs).argmax(1) == labels).float().mean())


def batches(labelled=True, size=32):
    inputs, labels = blobs()
    pairs = zip(inputs.split(size), labels.split(size), strict=True)
    return [(x, y) if labelled else x for x, y in pairs]


def state(model):
    return copy.deepcopy(model.state_dict())


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("how", ["labels", "labels and teacher", "teacher alone"])
def test_it_regains_half_of_what_the_cut_lost(trained, small, how):
    loader = batches(labelled=how != "teacher alone")
    better = lr.finetune(small, loader, teacher=None if how == "labels" else trained, epochs=3, progress=False).wait()
    before, cut, after = top1(trained), top1(small), top1(better)
    assert cut < before - 5
    assert after - cut >= (before - cut) / 2
    assert sum(p.numel() for p in better.parameters()) == sum(p.numel() for p in small.parameters())


def test_what_was_given_is_left_as_it_was(trained, small):
    before, modes = (state(small), state(trained)), [module.training for module in trained.modules()]
    lr.finetune(small, batches(), teacher=trained, progress=False).wait()
    assert equal(state(small), before[0]) and equal(state(trained), before[1])
    assert [module.training for module in trained.modules()] == modes
    assert all(parameter.grad is None for parameter in (*small.parameters(), *trained.parameters()))


@pytest.mark.parametrize("rate", [1e3, 10.0])
def test_a_rate_that_ruins_the_network_gives_back_what_was_given(small, rate):
    work = lr.finetune(small, batches(), lr=rate, progress=False)
    back = work.wait()
    assert equal(state(back), state(small)) and not back.training
    assert work.held_out_loss[0] == work.held_out_loss[1] and work.said.startswith("ended")


def test_the_model_is_the_best_by_the_history_and_named_rightly_no_less_often(small):
    work = lr.finetune(small, batches(), epochs=4, lr=0.03, progress=False)
    work.wait()
    history = work.history
    assert history.loc[0, ["step", "epoch"]].tolist() == [0, 0] and history["best"][0]
    allowed = history[history["held_out_top1"] >= history["held_out_top1"][0]]
    assert work.held_out_loss == (history["held_out_loss"][0], allowed["held_out_loss"].min())
    assert work.held_out_top1[1] >= work.held_out_top1[0]
    assert history["best"].tolist() == running_bests(history)


def running_bests(history):
    best, found = float("inf"), []
    for row in history.itertuples():
        better = row.held_out_loss < best and row.held_out_top1 >= history["held_out_top1"][0]
        best = row.held_out_loss if better else best
        found.append(better)
    return found


def test_what_is_minimized_on_held_out_inputs_is_the_mixture_by_hand(trained, small):
    inputs, labels = blobs(64, seed=3)
    work = lr.finetune(small, batches(), teacher=trained, teacher_weight=0.3, temperature=3.0,
                       held_out=[(inputs, labels)], progress=False)  # fmt: skip
    work.wait()
    with torch.no_grad():
        own, other = small(inputs), trained(inputs)
        by_hand = 0.7 * nn.functional.cross_entropy(own, labels) + 0.3 * divergence(own, other, 3.0).mean()
    assert work.held_out_loss[0] == pytest.approx(float(by_hand), rel=1e-5)
    assert work.held_out_top1[0] == pytest.approx(100 * float((own.argmax(1) == labels).float().mean()))


def test_it_goes_on_in_the_background_and_can_be_looked_at_meanwhile(small):
    go_on = threading.Event()

    def waiting():
        for number, batch in enumerate(batches()):
            if number == 20:
                go_on.wait()
            yield batch

    held_out = [blobs(64, seed=3)]
    work = lr.finetune(small, waiting(), held_out=held_out, progress=False)
    assert work.state == "running" and "running" in repr(work)
    work.model(torch.zeros(2, 16))
    with pytest.raises(TimeoutError, match="`time_limit_s` of 0.01 s must suffice"):
        work.wait(0.01)
    go_on.set()
    work.wait()
    assert work.state == "done"


def test_stopped_it_ends_after_the_step_with_the_best_so_far(small):
    done, assigned = [], threading.Event()

    def stop_at_twelve(step, total, words):
        done.append((step, total))
        if step == 12:
            assigned.wait(10)
            work.stop()

    work = lr.finetune(small, batches(), epochs=5, held_out=[blobs(64, seed=3)], progress=stop_at_twelve)
    assigned.set()
    model = work.wait()
    assert work.state == "stopped" and done[-1] == (12, 5 * len(batches()))
    assert work.history["best"].sum() > 1 and not equal(state(model), state(small))


def test_without_a_better_one_it_ends_early(small):
    best = lr.finetune(small, batches(), epochs=10, lr=0.03, progress=False).wait()
    work = lr.finetune(best, batches(), epochs=10, lr=1.0, progress=False)
    work.wait()
    assert "early" in work.said or "no number" in work.said
    assert work.history["step"].iloc[-1] < 10 * 34


class Watched(Dataset):
    """Says who was asked for."""

    def __init__(self):
        self.inputs, self.labels = blobs()
        self.asked = []

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.inputs[index], self.labels[index]


@pytest.mark.parametrize("shuffle", [True, False])
def test_no_held_out_entry_of_a_data_set_ever_trains(shuffle):
    data = Watched()
    rest, held_out = set_aside(DataLoader(data, 32, shuffle=shuffle), epochs=3, seed=0)
    judged, data.asked = set(data.asked), []
    for _ in range(3):
        list(rest)
    assert len(judged) == 120 == sum(len(y) for _, y in held_out)
    assert judged.isdisjoint(data.asked) and judged | set(data.asked) == set(range(1200))
    other, _ = set_aside(DataLoader(data, 32, shuffle=shuffle), epochs=1, seed=1)
    assert len(list(other)) == len(list(rest))


@pytest.mark.parametrize("kind", ["list", "stream", "batches of a sampler of one's own"])
def test_of_other_loaders_held_out_and_trained_batches_are_apart_and_together_all(kind):
    given = batches(size=16)
    loader = given if kind == "list" else iter(given)
    if kind.startswith("batches"):
        data = TensorDataset(*blobs())
        sampler = torch.utils.data.WeightedRandomSampler(torch.ones(1200), 1200, replacement=False)
        loader = DataLoader(data, 16, sampler=sampler)
    rest, held_out = set_aside(loader, epochs=1, seed=0)
    rows = torch.cat([x for x, _ in (*list(rest), *held_out)])
    assert len(rows) == 1200 and len(torch.unique(rows, dim=0)) == 1200
    assert sum(len(y) for _, y in held_out) >= 112


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, r"`epochs` must be a number in \(0"),
        ({"lr": -1}, r"`lr` must be a number in \(0"),
        ({"temperature": float("nan")}, "`temperature` must be a number"),
        ({"teacher_weight": 2}, r"`teacher_weight` must be a number in \[0, 1\]"),
        ({"loader": [torch.zeros(4, 16)]}, "`loader` must give enough to hold some out"),
        ({"loader": [torch.zeros(4, 16)] * 4}, "`teacher` must be given where the loader has no labels"),
        ({"loader": iter([torch.zeros(4, 16)] * 4), "epochs": 2}, "`held_out` must be given for more than one epoch"),
        ({"loader": iter([]), "epochs": 2, "held_out": [1]}, "`loader` must give its batches anew every epoch"),
        ({"loader": torch.zeros(4, 16)}, "`loader` must be an iterable of batches"),
        ({"teacher": nn.Linear(16, 5)}, "`teacher` must answer like `small`"),
        ({"held_out": [(torch.zeros(4, 3), torch.zeros(4).long())]}, "`loader` must give batches that the model takes"),
    ],
)
def test_what_makes_no_sense_is_said_before_it_starts(small, options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        lr.finetune(small, **{"loader": batches(), "progress": False, **options})


def test_a_frozen_network_is_refused_and_frozen_layers_stay(small):
    frozen = copy.deepcopy(small)
    frozen[5].requires_grad_(False)
    better = lr.finetune(frozen, batches(), progress=False).wait()
    assert equal(better[5].state_dict(), small[5].state_dict()) and not equal(state(better), state(small))
    with pytest.raises(ValueError, match="`small` must have parameters to train"):
        lr.finetune(frozen.requires_grad_(False), batches())


def test_what_the_loader_raises_is_raised_where_one_waits(small):
    def broken():
        yield from batches()[:3]
        raise OSError("the disk is gone")

    work = lr.finetune(small, broken(), held_out=[blobs(64, seed=3)], progress=False)
    with pytest.raises(OSError, match="the disk is gone"):
        work.wait()
    assert work.state == "failed" and "disk" in repr(work)
    assert equal(state(work.model), state(small))


def test_answers_of_tokens_are_learned_from_a_teacher_and_from_their_labels():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(20, 16), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 20))
    small = lr.factorize(model, ranks={"1": 2, "3": 2})
    tokens = [torch.randint(20, (8, 5)) for _ in range(60)]
    for loader in (tokens, [(batch, batch) for batch in tokens]):
        work = lr.finetune(small, loader, teacher=model, lr=0.1, epochs=2, progress=False)
        work.wait()
        assert work.held_out_loss[1] < work.held_out_loss[0]


def test_a_bar_is_shown_where_it_is_asked_for(small, capfd):
    lr.finetune(small, batches()).wait()
    assert "fine-tuning" in capfd.readouterr().err
