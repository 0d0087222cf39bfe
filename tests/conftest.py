"""Checks the shapes in annotations wherever the tests call the rooms of tensors."""

import sys

import pytest
from jaxtyping import install_import_hook
from shapes import ROOMS, check_again

assert not set(ROOMS) & set(sys.modules)  # the hook sees only what is imported later
install_import_hook(ROOMS, "shapes.check")


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
