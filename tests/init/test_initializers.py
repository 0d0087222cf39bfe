"""Initializers of other people: registered, passed as functions, named by a path, offered by an installed package."""

import math

import pytest
import torch

import lrexplore as lr
from lrexplore.init import INITIALIZERS, REAL_INPUTS, find_initializer
from lrexplore.init.initializers import initializer as register


def svd(problem, rank, *, generator, **options):
    """The truncated SVD by torch's own call."""
    u, s, vh = torch.linalg.svd(problem.matrix, full_matrices=False)
    return lr.Factors(u[:, :rank] * s[:rank].sqrt(), s[:rank].sqrt()[:, None] * vh[:rank])


def drawn(problem, rank, *, generator, **options):
    """A draw from the generator, another at every rank."""
    m, n = problem.matrix.shape
    left = torch.randn(m, rank, generator=generator, dtype=problem.matrix.dtype)
    return lr.Factors(left, torch.randn(rank, n, generator=generator, dtype=problem.matrix.dtype))


def first_inputs(problem, rank, *, generator, calibration):
    """The weight on the `rank` inputs that vary most, zero on the others."""
    picked = (calibration.second_moment.diagonal() - calibration.mean**2).argsort(descending=True)[:rank]
    right = torch.eye(problem.matrix.shape[1])[picked].to(problem.matrix)
    return lr.Factors(problem.matrix[:, picked], right)


WEIGHT = torch.randn(12, 20, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("nested", [False, True])
def test_a_registered_initializer_has_the_numbers_of_ours_that_it_equals(nested):
    register("mine", nested=nested)(svd)
    ours, mine = (lr.initialize(WEIGHT, 5, initializer=name) for name in ("spectral", "mine"))
    torch.testing.assert_close(mine.product(), ours.product(), atol=1e-5, rtol=1e-4)
    curves = [lr.error_curve(WEIGHT, initializer=name, ranks=range(1, 13)) for name in ("spectral", "mine")]
    for column in ("function_error", "frobenius_error"):
        torch.testing.assert_close(*(torch.tensor(curve[column].values) for curve in curves), atol=1e-5, rtol=1e-4)


def test_a_function_works_wherever_a_name_does():
    alone = lr.initialize(WEIGHT, 5, initializer=svd)
    register("mine")(svd)
    torch.testing.assert_close(alone.product(), lr.initialize(WEIGHT, 5, initializer="mine").product())
    assert find_initializer(svd).name == "mine"
    assert len(lr.error_curve(WEIGHT, initializer=drawn, ranks=[1, 4])) == 2
    model = torch.nn.Sequential(torch.nn.Linear(20, 12), torch.nn.ReLU(), torch.nn.Linear(12, 16))
    small = lr.factorize(model, rank_scale=0.25, initializer=drawn)
    assert [module.left.shape[1] for module in (small[0], small[2])] == [3, 3]
    register("exact", nested=True)(svd)  # so that its curve is known at every rank, as that of spectral is
    plan = lr.allocate(model, parameter_ratio=0.5, initializer="exact")
    assert plan.ranks == lr.allocate(model, parameter_ratio=0.5, initializer="spectral").ranks


def test_a_path_names_a_function_of_a_module(tmp_path, monkeypatch):
    (tmp_path / "someones.py").write_text(
        "import lrexplore as lr\ndef half(problem, rank, *, generator, **options):\n"
        "    pair = lr.INITIALIZERS['spectral'](problem, rank)\n    return lr.Factors(pair.left / 2, pair.right)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    half = lr.initialize(WEIGHT, 4, initializer="someones:half")
    torch.testing.assert_close(half.product() * 2, lr.initialize(WEIGHT, 4, initializer="spectral").product())
    for path, said in (("someones:none", "has no attribute 'none'"), ("nowhere:half", "No module named 'nowhere'")):
        with pytest.raises(ValueError, match=f"`initializer` must be a name or a function.*{said}"):
            lr.initialize(WEIGHT, 4, initializer=path)


def test_one_for_real_inputs_gets_the_calibration_of_its_layer():
    model = torch.nn.Sequential(torch.nn.Linear(20, 12), torch.nn.ReLU(), torch.nn.Linear(12, 16))
    inputs = torch.randn(64, 20, generator=torch.Generator().manual_seed(1)) * torch.linspace(0.1, 2, 20) ** 3
    calibration = lr.calibrate(model, [inputs])
    register("first", inputs="real")(first_inputs)
    assert "first" in REAL_INPUTS and find_initializer(first_inputs).is_real
    small = lr.factorize(model, ranks={"0": 4}, initializer="first", calibration=calibration)
    kept = small[0].right.abs().sum(0).nonzero().flatten().tolist()
    assert kept == [16, 17, 18, 19]
    with pytest.raises(ValueError, match="`loader` must be given for the initializer 'first', got None"):
        lr.factorize(model, ranks={"0": 4}, initializer="first")


def test_one_that_is_not_nested_but_said_to_be_is_found_out():
    register("lies", nested=True)(drawn)
    with pytest.raises(ValueError, match="`nested` must be said of initializers whose factors.*got lies"):
        lr.error_curve(WEIGHT, initializer="lies")


@pytest.mark.parametrize(
    "made, said",
    [
        (lambda problem, rank, **options: None, "must give `Factors"),
        (
            lambda problem, rank, **options: lr.Factors(torch.ones(3, 2), torch.ones(2, 4)),
            r"must give factors \(12, 3\)",
        ),
        (
            lambda problem, rank, **options: (torch.full((12, rank), math.nan), torch.ones(rank, 20)),
            "must give finite factors",
        ),
    ],
    ids=["nothing", "another shape", "not finite"],
)
def test_factors_that_do_not_fit_are_refused_with_the_name(made, said):
    register("broken")(made)
    with pytest.raises((ValueError, TypeError), match=f"`initializer` broken {said}"):
        lr.initialize(WEIGHT, 3, initializer="broken")


def test_names_of_ours_and_names_that_cannot_be_typed_are_refused():
    with pytest.raises(ValueError, match="`name` must be another than those of lrexplore, got 'spectral'"):
        register("spectral")
    for name in ("", "a b", "a:b", 3, "-x"):
        with pytest.raises(ValueError, match="`name` must be letters"):
            register(name)
    with pytest.raises(ValueError, match="`inputs` must be one of gaussian, real, implied, got 'mine'"):
        register("mine", inputs="mine")


def test_registering_a_name_again_replaces_it_and_keeps_its_color():
    register("mine")(svd)
    color = INITIALIZERS["mine"].color
    register("mine", inputs="real")(drawn)
    assert "mine" not in INITIALIZERS and REAL_INPUTS["mine"].color == color
    register("other")(svd)
    assert INITIALIZERS["other"].color != color
    taken = {(record.color, record.marker) for record in (INITIALIZERS | REAL_INPUTS).values()}
    assert len(taken) == len(INITIALIZERS | REAL_INPUTS)


def test_its_curves_are_not_kept_on_disk_for_it_may_change_under_its_name():
    model = torch.nn.Linear(20, 12)
    register("mine")(svd)
    before = lr.allocate(model, parameter_ratio=0.5, initializer="mine").error
    register("mine")(drawn)
    assert lr.allocate(model, parameter_ratio=0.5, initializer="mine").error > 2 * before


def test_initializers_of_an_installed_package_are_there_and_a_broken_one_takes_nothing_along(tmp_path):
    import subprocess
    import sys

    (tmp_path / "theirs.py").write_text(
        "import lrexplore as lr\ndef plain(problem, rank, *, generator, **options):\n"
        "    return lr.INITIALIZERS['spectral'](problem, rank)\n"
    )
    about = tmp_path / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[lrexplore.initializers]\ntheirs = theirs:plain\nbad = theirs:missing\n")
    code = "import warnings; warnings.simplefilter('always'); import torch, lrexplore as lr; print([*lr.INITIALIZERS]);"
    code += "print(lr.initialize(torch.eye(3), 2, initializer='theirs').rank)"
    import os

    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert "'theirs'" in done.stdout and "'bad'" not in done.stdout and done.stdout.endswith("2\n")
    assert "The initializer 'bad' of another package was left out" in done.stderr
