"""A person's model comes back as it was: in its modes, with its running statistics."""

import copy
import threading

import pytest
import torch
from explorer.networks import small_network
from explorer.whole_network import batches
from torch import nn

from lrexplore.explorer.network.compute import Allocation
from lrexplore.explorer.network.judge import ask
from lrexplore.explorer.network.state import Wish
from lrexplore.explorer.samples import Origin
from lrexplore.network.batches import evaluation


class Noisy(nn.Module):
    """A network in training mode that counts the passes made in it, with batch norm and dropout."""

    def __init__(self):
        super().__init__()
        self.network, self.dropout = small_network(), nn.Dropout(0.5)
        self.network.norm.eval()  # one module in a mode of its own
        self.train_passes = 0

    def forward(self, images):
        self.train_passes += self.training
        return self.dropout(self.network(images))


@pytest.fixture
def model():
    made = Noisy()
    made.train()
    made.network.point.eval()
    return made


@pytest.fixture
def as_it_was(model):
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    yield
    assert [module.training for module in model.modules()] == modes
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert model.train_passes == 0


@pytest.mark.usefixtures("as_it_was")
def test_the_network_tab_leaves_a_model_in_training_mode_as_it_was(open_explorer, model):
    page = open_explorer(model, loader=batches()).page("Network")
    assert page.wait(120)
    page.controls.buttons["measure"].click()
    assert page.wait(120)
    assert page.panel.error == ""


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize(
    "work",
    [
        lambda model: Origin(loader=batches()).samples(model),
        lambda model: Origin(loader=batches()).calibrated(model, lambda *told: None),
        lambda model: ask(model, batches()[0]),
        lambda model: Allocation(model, Origin(loader=batches())).prepare(
            Wish(weights="sensitivity"), lambda *told: None
        ),
    ],
    ids=["samples", "calibration", "judge", "sensitivities"],
)
def test_whatever_runs_the_model_leaves_it_as_it_was(model, work):
    work(model)


def test_answers_are_those_of_the_model_in_evaluation_mode(model):
    batch = batches()[0]
    torch.testing.assert_close(ask(model, batch), ask(copy.deepcopy(model).eval(), batch))


def test_the_last_of_two_threads_brings_the_modes_back(model):
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with evaluation(model):
            inside.set()
            assert leave.wait(30)

    with evaluation(model):
        thread = threading.Thread(target=stay)
        thread.start()
        assert inside.wait(30)
    assert not model.training, "the other thread still runs it"
    leave.set()
    thread.join(30)
    assert model.training
    assert not model.network.point.training
