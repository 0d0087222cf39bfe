"""A study against the public functions that it stands for, and how it fills."""

import numpy as np
import pytest
import torch
from explorer.networks import GROUPED, HEAD, POINT, STEM, WIDE, small_network
from torch import nn

import lrexplore as lr
from lrexplore.explorer.layer.compute import MAX_NEURONS, Study
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.explorer.work.worker import Stopped
from lrexplore.init import NESTED


@pytest.fixture(scope="module")
def network():
    return Subject(small_network(), "small")


def study_of(network, name=STEM, scheme="channel", activation="relu", batch_norm=False):
    choice = Choice(name, scheme, activation, batch_norm)
    return Study(network.problem(choice), network.layers[name].group_shape)


def fill(study, initializer, first=1):
    return list(study.fill(initializer, first, lambda: False))


def weight_of(network, name):
    layer = network.layers[name]
    return network.model.get_submodule(name).weight.detach()[: layer.group_shape[0]]


REGIMES = [
    pytest.param(STEM, "channel", "relu", True, id="batch norm"),
    pytest.param(WIDE, "channel", "silu", False, id="smooth activation"),
    pytest.param(WIDE, "spatial", "relu", False, id="spatial"),
    pytest.param(GROUPED, "channel", "relu", False, id="first group"),
    pytest.param(HEAD, "channel", "identity", False, id="nothing follows"),
]


@pytest.mark.parametrize("initializer", ["independent", "spectral", "rescaled", "function"])
@pytest.mark.parametrize(("name", "scheme", "activation", "batch_norm"), REGIMES)
def test_a_curve_has_the_errors_of_its_factors(network, initializer, name, scheme, activation, batch_norm):
    study = study_of(network, name, scheme, activation, batch_norm)
    if initializer not in NESTED:
        fill(study, initializer)
    curve = study.curve(initializer)
    weight = weight_of(network, name)
    norm = study.problem.batch_norm
    for i in range(0, len(curve.ranks), 3):
        factors = study.factors(initializer, int(curve.ranks[i]))
        expected = lr.function_error(weight, factors, activation=activation, batch_norm=norm)
        assert curve.function_error[i] == pytest.approx(expected, rel=2e-4, abs=2e-6)
        expected = lr.frobenius_error(weight, factors)
        assert curve.frobenius_error[i] == pytest.approx(expected, rel=2e-4, abs=2e-6)


def test_factors_are_those_of_initialize(network):
    study = study_of(network, WIDE, activation="silu")
    for initializer in lr.INITIALIZERS:
        ours = study.factors(initializer, 3)
        theirs = lr.initialize(weight_of(network, WIDE), 3, initializer=initializer, activation="silu")
        torch.testing.assert_close(ours.product(), theirs.product())


def test_a_curve_that_must_be_run_anew_is_not_known_before_it_is(network):
    study = study_of(network)
    assert study.curve("function") is None
    assert study.neuron_table("function") is None
    assert study.errors_at("function", 5) is None
    study.add("function", 5)
    curve = study.curve("function")
    assert curve.ranks.tolist() == [5]
    assert study.errors_at("function", 5) == (curve.function_error[0], curve.frobenius_error[0])


def test_filling_goes_from_coarse_to_fine_and_begins_with_the_rank_asked_for_and_those_beside_it(network):
    study = study_of(network, WIDE)
    order = study.missing("function", 7)
    assert order[:4] == [7, 6, 8, 16]
    assert sorted(order) == list(range(1, 17))
    gaps = [np.diff(sorted({1, 16, *order[: 2 + count]})).max() for count in (1, 3, 7, 13)]
    assert gaps == sorted(gaps, reverse=True)


def test_filling_stops_when_asked_and_goes_on_where_it_was(network):
    study = study_of(network, WIDE)
    shares = []
    for share in study.fill("function", 1, lambda: len(shares) >= 4):
        shares.append(share)
    assert len(study.curve("function").ranks) == 4
    assert fill(study, "function")[-1] == 1
    assert study.curve("function").ranks.tolist() == list(range(1, 17))
    assert fill(study, "function") == []


def test_a_sampled_fit_that_is_looked_at_is_the_published_one(network):
    study = study_of(network, HEAD)
    looked_at, plain = (study.factors("sampled", 3, stopped) for stopped in (lambda: False, None))
    torch.testing.assert_close(looked_at.product(), plain.product())


def test_a_sampled_fit_stops_when_asked(network):
    study, looks = study_of(network, HEAD), []
    with pytest.raises(Stopped):
        study.add("sampled", 3, lambda: looks.append(True) or len(looks) == 2)
    assert len(looks) == 2
    assert list(study.fill("sampled", 3, lambda: looks.append(True) or len(looks) > 3)) == []
    assert study.curve("sampled") is None


def test_function_is_never_above_spectral_or_rescaled(network):
    study = study_of(network, WIDE)
    fill(study, "function")
    found = study.curve("function").function_error
    for other in ("spectral", "rescaled"):
        assert (found <= study.curve(other).function_error + 1e-6).all()


@pytest.mark.parametrize("initializer", ["independent", "spectral", "rescaled", "function"])
def test_the_mean_of_the_neurons_losses_is_the_function_error(network, initializer):
    study = study_of(network, WIDE)
    if initializer not in NESTED:
        fill(study, initializer)
    _, loss = study.neuron_table(initializer)
    at = np.isin(study.curve(initializer).ranks, study.table_ranks)
    np.testing.assert_allclose(loss.mean(1), study.curve(initializer).function_error[at], rtol=1e-5, atol=1e-7)


def test_rho_at_full_rank_is_one(network):
    rho, loss = study_of(network, POINT).neuron_table("spectral")
    np.testing.assert_allclose(rho[-1], 1, atol=1e-6)
    np.testing.assert_allclose(loss[-1], 0, atol=1e-6)


def test_neurons_at_ranks_not_known_are_not_drawn(network):
    study = study_of(network, WIDE)
    study.add("function", 4)
    study.add("function", 8)
    rho, loss = study.neuron_table("function")
    assert study.table_ranks[np.isfinite(rho).all(1)].tolist() == [4, 8]
    assert np.isnan(rho[[0, 5, 15]]).all()
    assert not loss[[0, 5, 15]].any()


def test_no_line_leads_over_ranks_that_are_not_known(network):
    study = study_of(network, WIDE)
    for rank in (4, 5, 8):
        study.add("function", rank)
    x, y = study.curve("function").line("function")
    np.testing.assert_array_equal(x, [4, 5, 6.5, 8])
    assert np.isnan(y).tolist() == [False, False, True, False]
    fill(study, "function")
    x, y = study.curve("function").line("frobenius")
    np.testing.assert_array_equal(x, range(1, 17))
    assert np.isfinite(y).all()


def test_a_row_is_the_exact_one_of_its_rank(network):
    study = study_of(network, WIDE)
    fill(study, "function")
    rho, loss = study.neuron_table("function")
    exact = study.row("function", 6)
    np.testing.assert_array_equal(exact[0], rho[5])
    np.testing.assert_array_equal(exact[1], loss[5])


def test_many_neurons_are_sampled_from_the_smallest_to_the_largest():
    layer = nn.Linear(6, 2 * MAX_NEURONS)
    study = study_of(Subject(layer, "tall"), "")
    norms = layer.weight.detach().norm(dim=1).double()
    assert len(study.norms) == len(study.neurons) == MAX_NEURONS
    assert study.norms.min() == pytest.approx(norms.min().item())
    assert study.norms.max() == pytest.approx(norms.max().item())
    np.testing.assert_allclose(study.norms, norms.numpy()[study.neurons], rtol=1e-6)


def test_a_large_layer_has_a_grid_of_ranks_from_one_to_full():
    study = study_of(Subject(nn.Linear(400, 300), "large"), "")
    assert len(study.table_ranks) <= 64
    assert {1, 300} <= set(study.table_ranks.tolist())
    assert set(study.table_ranks.tolist()) <= set(study.curve_ranks.tolist())
    assert len(study.energy) == len(study.singular_values) == 300
    study.add("spectral", 123)
    assert 123 in study.curve("spectral").ranks


def test_singular_values_and_energy_are_those_of_the_matrix(network):
    study = study_of(network, WIDE)
    exact = torch.linalg.svdvals(weight_of(network, WIDE).double().flatten(1)).numpy()
    np.testing.assert_allclose(study.singular_values, exact, rtol=1e-5)
    np.testing.assert_allclose(study.energy, (exact**2).cumsum() / (exact**2).sum(), rtol=1e-5)


def test_a_random_draw_is_told_from_a_matrix_that_is_none():
    generator = torch.Generator().manual_seed(0)
    drawn, low = nn.Linear(600, 200), nn.Linear(600, 200)
    drawn.weight.data = torch.randn(200, 600, generator=generator)
    low.weight.data = torch.randn(200, 5, generator=generator) @ torch.randn(5, 600, generator=generator)
    assert study_of(Subject(drawn, "drawn"), "").is_random_draw
    assert not study_of(Subject(low, "low"), "").is_random_draw


@pytest.mark.parametrize("initializer", ["spectral", "function"])
def test_filters_at_full_rank_look_as_before(network, initializer):
    study = study_of(network, STEM)
    if initializer not in NESTED:
        fill(study, initializer)
    before, after = study.images(initializer)
    assert after.shape == (len(study.table_ranks), *before.shape)
    assert before.dtype == after.dtype == np.uint8
    assert np.abs(after[-1].astype(int) - before).max() <= 1
    assert np.abs(after[0].astype(int) - before).max() > 10


def test_filters_of_a_rank_not_known_are_gray(network):
    study = study_of(network, STEM)
    before, after = study.images("function")
    assert after.shape == before.shape, "one picture for all ranks while none is known"
    assert (after == 128).all()
    study.add("function", 2)
    before, after = study.images("function")
    assert (after[4] == 128).all()
    assert not (after[1] == 128).all()


def test_only_a_convolution_on_colors_has_pictures(network):
    assert study_of(network, STEM, "spatial").has_pictures
    assert study_of(network, WIDE).images("spectral") is None
    assert study_of(network, HEAD).images("spectral") is None


@pytest.mark.parametrize("initializer", ["independent", "spectral", "rescaled", "function"])
def test_a_layer_of_zeros_gives_numbers(initializer):
    layer = nn.Linear(10, 6)
    nn.init.zeros_(layer.weight)
    study = study_of(Subject(layer, "zeros"), "")
    fill(study, initializer) if initializer not in NESTED else None
    curve = study.curve(initializer)
    assert np.isfinite(curve.function_error).all()
    assert np.isfinite(curve.frobenius_error).all()
    assert np.isfinite(np.stack(study.neuron_table(initializer))).all()


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_a_study_is_the_same_in_every_grad_mode(network, mode):
    plain = study_of(network, HEAD)
    with mode():
        study = study_of(network, HEAD)
        for initializer in lr.INITIALIZERS:
            study.add(initializer, 2)
    for initializer in lr.INITIALIZERS:
        plain.add(initializer, 2)
        assert study.errors_at(initializer, 2) == plain.errors_at(initializer, 2)
