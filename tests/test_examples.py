"""Every public name shows how it is used, and what it shows is true."""

import ast
import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest
import torch

import lrexplore as lr

RECORDS = Path(__file__).parent.parent / "data" / "records"
RUN_ELSEWHERE = ("train", "runs", "Run")  # with a run that training/test_examples.py makes for them
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _docstring(name: str) -> str:
    """The docstring of a function or class; of a value the string that stands under it."""
    value = getattr(lr, name)
    if inspect.isroutine(value) or inspect.isclass(value):
        return inspect.getdoc(value) or ""
    room = Path(import_module(lr._HOMES[name]).__file__)
    files = room.parent.rglob("*.py") if room.name == "__init__.py" else [room]
    for file in files:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for statement, below in zip(body, body[1:], strict=False):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            if any(isinstance(x, ast.Name) and x.id == name for x in targets) and isinstance(below, ast.Expr):
                return inspect.cleandoc(below.value.value)
    return ""


@pytest.mark.parametrize("name", lr.__all__)
def test_a_public_name_has_an_example_that_holds(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    names = {"lr": lr, "torch": torch, "records": RECORDS}
    examples = doctest.DocTestParser().get_doctest(_docstring(name), names, name, None, None)
    assert examples.examples, f"lr.{name} needs an example in its docstring: lines that begin with >>>"
    if name in RUN_ELSEWHERE:
        return
    said = []
    doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=said.append)
    assert not said, "".join(said)
