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
