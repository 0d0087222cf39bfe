"""Checks the shapes in annotations wherever the tests call the rooms of tensors."""

import sys

from jaxtyping import install_import_hook
from shapes import ROOMS

assert not set(ROOMS) & set(sys.modules)  # the hook sees only what is imported later
install_import_hook(ROOMS, "shapes.check")
