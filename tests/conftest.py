"""Checks the shapes in annotations wherever the tests call the rooms of tensors; parts the tests among processes."""

import os
import sys

import pytest
import torch
from jaxtyping import install_import_hook
from shapes import ROOMS, check_again

assert not set(ROOMS) & set(sys.modules)  # the hook sees only what is imported later
install_import_hook(ROOMS, "shapes.check")

if "PYTEST_XDIST_WORKER" in os.environ:  # there are as many as cores: one thread each, and for what they start
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items):
    """One process runs a whole file, for its fixtures, and one of them all that needs a browser or a kernel."""
    for item in items:
        part = item.path.relative_to(item.config.rootpath)
        alone = part.parts[0] == "notebooks" or part.parts[1] == "browser"
        item.add_marker(pytest.mark.xdist_group("browser" if alone else str(part)))


@pytest.fixture(autouse=True)
def _shapes_are_checked_anew():
    check_again()


@pytest.fixture(autouse=True)
def _what_a_test_registers_is_forgotten():
    from lrexplore.dual import ACTIVATIONS
    from lrexplore.init import INITIALIZERS, REAL_INPUTS

    kept = [(known, dict(known._records)) for known in (INITIALIZERS, REAL_INPUTS, ACTIVATIONS)]
    yield
    for known, records in kept:
        known._records = records
