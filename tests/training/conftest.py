import pytest
import torch
from training.runs import write_images


@pytest.fixture(autouse=True, scope="session")
def images(tmp_path_factory):
    """The images that tiny runs find above their folder."""
    return write_images(tmp_path_factory.getbasetemp() / "images")


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Tiny networks lose time to threads, and results then do not depend on how many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
