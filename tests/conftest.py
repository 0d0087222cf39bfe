"""Checks the shapes in annotations wherever the tests call the rooms of tensors."""

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


@pytest.fixture(autouse=True)
def _shapes_are_checked_anew():
    check_again()


@pytest.fixture(autouse=True)
def _what_a_test_registers_is_forgotten():
    from lrexplore.dual import ACTIVATIONS
    from lrexplore.init import INITIALIZERS, REAL_INPUTS
    from lrexplore.nn.attention.attention_classes import ARCHITECTURES

    kept = [(known, dict(known._records)) for known in (INITIALIZERS, REAL_INPUTS, ACTIVATIONS)]
    attentions = list(ARCHITECTURES)
    yield
    ARCHITECTURES[:] = attentions
    for known, records in kept:
        known._records = records
