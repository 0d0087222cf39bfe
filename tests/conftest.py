"""Checks the shapes in annotations wherever the tests call the rooms of tensors."""

import sys

import pytest
from jaxtyping import config, install_import_hook
from shapes import ROOMS, check_again

assert not set(ROOMS) & set(sys.modules)  # the hook sees only what is imported later
install_import_hook(ROOMS, "shapes.check")


@pytest.fixture(autouse=True)
def _shapes_are_checked_anew():
    check_again()


@pytest.fixture
def no_shape_checks():
    """For tests that compile: torch's compiler does not see through the checks."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
