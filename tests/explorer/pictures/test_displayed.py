"""What a notebook keeps of an explorer where no kernel is left: the complete picture, with or without its widget."""

import base64
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

SHOWN = """
import torch
from torch import nn
import lrexplore as lr

torch.manual_seed(0)
explorer = lr.explore(nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 6)))
explorer
"""
PICTURE = "import base64; print(base64.b64encode(explorer.layer_tab.picture()).decode(), explorer.wait(0))"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of a notebook that was executed without a front end, as nbconvert does, cell by cell."""
    root, folder = Path(__file__).parents[3], tmp_path_factory.mktemp("executed")
    environment = {**os.environ, "PYTHONPATH": str(root), "LREXPLORE_CACHE": str(folder)}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (SHOWN, PICTURE)])
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return [cell.outputs for cell in notebook.cells]


def test_an_executed_notebook_holds_the_complete_picture(outputs):
    still = outputs[0][-1]["data"]
    complete, is_complete = outputs[1][0]["text"].split()
    assert is_complete == "True"
    assert still["image/png"].replace("\n", "") == complete
    assert base64.b64decode(complete).startswith(b"\x89PNG")


def test_a_page_made_of_it_shows_the_picture_where_no_widget_lives(outputs):
    from nbconvert import HTMLExporter

    cells = [nbformat.v4.new_code_cell(SHOWN, outputs=outputs[0])]
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    assert outputs[0][-1]["data"]["image/png"].replace("\n", "") in page
    assert "Explorer of Sequential" in page
