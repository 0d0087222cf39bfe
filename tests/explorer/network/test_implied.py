"""The Network tab on the inputs that the network's batch norms imply."""

import pytest
import torch
from explorer.networks import linear_network, trained_network
from explorer.whole_network import batches, readout, take_error
from traitlets import TraitError

import lrexplore as lr
from lrexplore.explorer.real_inputs import IMPLIED


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
    page.state.assign(inputs=IMPLIED, initializer="implied", weights="plain")
    assert page.wait(120)
    plan = page.plan()
    assert plan.inputs == "inputs implied by batch norm"
    assert plan.ranks == lr.allocate(trained_network(), parameter_ratio=0.5, weights="plain").ranks
    assert "inputs implied by batch norm" in readout(page, "error")["note"]
    assert IMPLIED in dict(page.controls.inputs.options).values()
    page.state.initializer = "spectral"
    assert page.wait(120)
    assert page.plan().initializer == "spectral"


def test_a_trained_network_opens_on_what_it_says_of_its_inputs_and_by_what_it_says(open_explorer):
    page = opened(open_explorer(trained_network()))
    assert (page.state.inputs, page.state.initializer, page.state.weights) == (IMPLIED, "implied", "sensitivity")
    assert "× its sensitivity on 16 of noise like photographs" in readout(page, "error")["note"]
    assert "proved; what the network says is measured" in readout(page, "error")["note"]
    page.state.inputs = "gaussian"
    assert page.wait(120) and page.state.initializer == "function"


def test_inputs_of_a_persons_own_go_first_and_are_counted_by_groups(open_explorer):
    page = opened(open_explorer(trained_network(), loader=batches(), groups=[place // 3 for place in range(24)]))
    assert (page.state.inputs, page.state.initializer, page.state.weights) == ("yours", "whitened", "sensitivity")
    samples = page._allocation.samples
    assert samples.fit_groups == tuple(place // 3 for place in range(24) if place // 3 % 4 != 1)
    assert samples.judged_groups == (1, 1, 1, 5, 5, 5)
    assert page._allocation.origin._calibration.value["wide"].num_groups == 4  # of 6, two are held out again
    assert "2 independent inputs, too few" in readout(page, "agreement")["note"]
    assert readout(page, "divergence")["note"].endswith("was predicted")


def test_groups_need_a_loader_and_one_id_an_input(open_explorer):
    with pytest.raises(ValueError, match="`groups` must come with the `loader`"):
        lr.explore(trained_network(), groups=[1])
    page = open_explorer(trained_network(), loader=batches(), groups=[1, 2]).page("Network")
    assert page.wait(120)
    assert "`groups` must have one id an input" in take_error(page)


def test_a_network_that_implies_nothing_does_not_offer_it(open_explorer):
    page = opened(open_explorer(linear_network(), loader=[torch.randn(8, 16)] * 3))
    assert IMPLIED not in dict(page.controls.inputs.options).values()
    with pytest.raises(TraitError, match="`inputs` must be gaussian or yours for this network"):
        page.state.inputs = IMPLIED


def test_the_layer_tab_offers_initializers_of_real_inputs_only_where_these_are_on_screen(explorer):
    assert "implied" not in explorer.layer_tab.controls.initializer.options
    with pytest.raises(TraitError):
        explorer.state.initializer = "implied"
