"""The Network tab on the inputs that the network's batch norms imply."""

import pytest
import torch
from explorer.networks import linear_network, small_network
from explorer.whole_network import batches, readout
from traitlets import TraitError

import lrexplore as lr
from lrexplore.explorer.real_inputs import IMPLIED


def trained_network() -> torch.nn.Module:
    """The small network with statistics of its own in its batch norm."""
    model = small_network()
    model.norm.running_mean += 0.1
    model.norm.running_var *= 0.5
    return model


@pytest.fixture
def explorer(open_explorer):
    return open_explorer(trained_network(), loader=batches())


def opened(explorer):
    """The Network tab, complete."""
    explorer.state.tab = "Network"
    page = explorer.page("Network")
    assert page.wait(120)
    return page


def test_a_plan_is_that_of_the_library_and_says_what_its_errors_are_on(explorer):
    page = opened(explorer)
    page.state.inputs = IMPLIED
    assert page.state.initializer == "implied"
    assert page.wait(120)
    plan = page.plan()
    assert plan.inputs == "inputs implied by batch norm"
    assert plan.ranks == lr.allocate(trained_network(), parameter_ratio=0.5, weights="plain").ranks
    assert "inputs implied by batch norm" in readout(page, "error")["note"]
    assert IMPLIED in dict(page.controls.inputs.options).values()
    page.state.initializer = "spectral"
    assert page.wait(120)
    assert page.plan().initializer == "spectral"


def test_a_network_that_implies_nothing_does_not_offer_it(open_explorer):
    page = opened(open_explorer(linear_network(), loader=[torch.randn(8, 16)] * 3))
    assert IMPLIED not in dict(page.controls.inputs.options).values()
    with pytest.raises(TraitError, match="`inputs` must be gaussian or yours for this network"):
        page.state.inputs = IMPLIED


def test_the_layer_tab_offers_initializers_of_real_inputs_only_where_these_are_on_screen(explorer):
    assert "implied" not in explorer.layer_tab.controls.initializer.options
    with pytest.raises(TraitError):
        explorer.state.initializer = "implied"
