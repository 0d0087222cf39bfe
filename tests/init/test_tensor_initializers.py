import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lrexplore as lr
from lrexplore.linalg.tensors import TENSOR_FORMS, TrainMatrix, ranks_within, tensor_error
from lrexplore.nn.tensor import CONVS


def kernel(seed=0, shape=(24, 16, 3, 3), dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def function_error(weight, product):
    eye = torch.eye(len(weight), dtype=weight.dtype)
    return lr.function_error(weight.flatten(1), lr.Factors(eye, product.flatten(1)))


@pytest.mark.parametrize("form", TENSOR_FORMS)
def test_rescaled_loses_less_as_a_function_than_any_other_scaling_of_the_outputs(form):
    weight, ranks = kernel(), ranks_within(form, (24, 16, 3, 3), 0.2)
    spectral = lr.initialize(weight, ranks, form=form, initializer="spectral")
    rescaled = lr.initialize(weight, ranks, form=form)
    best = function_error(weight, rescaled.product())
    assert best < function_error(weight, spectral.product())
    ratio = rescaled.product().flatten(1).norm(dim=1) / spectral.product().flatten(1).norm(dim=1)
    turned = spectral.product() * ratio[:, None, None, None]
    assert torch.allclose(turned, rescaled.product(), atol=1e-5)
    for factor in (0.97, 1.03):
        assert function_error(weight, rescaled.product() * factor) > best


@pytest.mark.parametrize("form", TENSOR_FORMS)
def test_independent_keeps_the_mean_square_of_the_kernel_through_the_whole_chain(form):
    weight, ranks = 3 * kernel(), ranks_within(form, (24, 16, 3, 3), 0.4)
    generator = torch.Generator().manual_seed(0)
    made = [lr.initialize(weight, ranks, form=form, initializer="independent", generator=generator) for _ in range(60)]
    assert sum(float(one.product().square().mean()) for one in made) / 60 == pytest.approx(9, rel=0.1)
    again = lr.initialize(weight, ranks, form=form, initializer="independent")
    assert torch.equal(again.product(), lr.initialize(weight, ranks, form=form, initializer="independent").product())


@pytest.mark.parametrize("form", TENSOR_FORMS)
@pytest.mark.parametrize("initializer", ["spectral", "rescaled"])
def test_the_norm_is_shared_equally(form, initializer):
    factors = lr.initialize(kernel(), ranks_within(form, (24, 16, 3, 3), 0.3), form=form, initializer=initializer)
    norms = [float(tensor.norm()) for tensor in factors.tensors]
    assert norms == pytest.approx([norms[0]] * len(norms), rel=1e-4)


@pytest.mark.parametrize("form", TENSOR_FORMS)
def test_half_precision_and_dead_channels_come_back_as_they_were_given(form):
    weight = kernel(dtype=torch.bfloat16)
    weight[3] = 0
    factors = lr.initialize(weight, ranks_within(form, (24, 16, 3, 3), 0.3), form=form)
    assert {tensor.dtype for tensor in factors.tensors} == {torch.bfloat16}
    assert all(torch.isfinite(tensor).all() for tensor in factors.tensors)
    assert float(factors.product()[3].abs().max()) < 1e-2


def _layer_and_inputs():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3, padding=1), nn.ReLU())
    coarse = [torch.rand(32, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    return model, [F.interpolate(batch, size=(16, 16), mode="bilinear") for batch in coarse]


def test_whitened_tucker_loses_less_on_images_that_it_never_saw():
    model, (fit, unseen) = _layer_and_inputs()
    entry, layer = lr.calibrate(model, [fit])["2"], model[2]
    hidden = model[:2](unseen)
    wanted = layer(hidden).relu()

    def lost(name):
        factors = lr.initialize(layer.weight, (5, 6), form="tucker", initializer=name, calibration=entry)
        bias = layer.bias if factors.bias is None else layer.bias + factors.bias
        out = F.conv2d(hidden, factors.product(), bias, padding=1).relu()
        return float((out - wanted).square().sum() / wanted.square().sum())

    assert lost("whitened") < 0.5 * min(lost("spectral"), lost("rescaled"))


def test_whitened_tucker_is_exact_at_full_rank_and_needs_its_layers_inputs():
    model, (fit, _) = _layer_and_inputs()
    calibration, weight = lr.calibrate(model, [fit]), model[2].weight
    factors = lr.initialize(weight, (16, 24), form="tucker", initializer="whitened", calibration=calibration["2"])
    assert tensor_error(weight, factors) < 1e-8
    with pytest.raises(ValueError, match="`calibration` must be given for the initializer 'whitened'"):
        lr.initialize(weight, (4, 4), form="tucker", initializer="whitened")
    with pytest.raises(ValueError, match="`calibration` must be of a layer"):
        lr.initialize(weight, (4, 4), form="tucker", initializer="whitened", calibration=calibration["0"])


def test_a_matrix_is_a_tensor_train_over_a_given_shape():
    matrix, shape = torch.randn(30, 24, generator=torch.Generator().manual_seed(0)), ((5, 6), (6, 4))
    exact = lr.initialize(matrix, TrainMatrix.full_ranks(shape), form="tt", shape=shape)
    assert torch.allclose(exact.product(), matrix, atol=1e-5)
    drawn = [
        lr.initialize(
            matrix, 7, form="tt", shape=shape, initializer="independent", generator=torch.Generator().manual_seed(s)
        )
        for s in range(50)
    ]
    assert sum(float(one.product().square().mean()) for one in drawn) / 50 == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"form": "tukcer"}, "`form` must be one of matrix, tucker, tt, cp, got 'tukcer'"),
        ({"form": "tucker", "initializer": "function"}, "must be one of independent, spectral, rescaled, whitened"),
        ({"form": "tt", "initializer": "whitened"}, "`initializer` must be one of independent, spectral, rescaled for"),
        ({"form": "tucker", "scheme": "spatial"}, "`scheme` and other options must be left out"),
        ({"form": "tucker", "shape": ((4, 6), (4, 4))}, "`shape` must be left out for a weight"),
        ({"form": "matrix", "shape": ((4, 6), (4, 4))}, "`shape` must be left out for the form matrix"),
        ({"form": "cp"}, "`ranks` must be a whole number for the form cp"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(options, said):
    with pytest.raises((ValueError, TypeError), match=said):
        lr.initialize(kernel(), (3, 4), **options)


def test_matrices_and_1_x_1_kernels_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="its kernel is 1 x 1, a matrix"):
        lr.initialize(torch.ones(8, 8, 1, 1), (2, 2), form="tucker")
    with pytest.raises(ValueError, match="a matrix, of which the form tt .* unless `shapes`"):
        lr.initialize(torch.ones(8, 8), (2,), form="tt")
    with pytest.raises(ValueError, match="`weight` must be finite"):
        lr.initialize(torch.full((8, 8, 3, 3), torch.nan), (2, 2), form="tucker")


def test_every_form_has_its_convolution():
    assert list(CONVS) == list(TENSOR_FORMS)
    assert all(CONVS[form].kind is kind and kind.form == form for form, kind in TENSOR_FORMS.items())
