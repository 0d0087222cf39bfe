"""The examples in the docstrings, typed one after the other into a new folder."""

import doctest
import importlib
from pathlib import Path

import lrexplore as lr


def test_the_examples_of_train_runs_and_run_say_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(lr.__file__).parents[1]))
    runner, finder = doctest.DocTestRunner(verbose=False), doctest.DocTestFinder(recurse=False)
    for thing in (lr.train, lr.runs, lr.Run):
        (example,) = finder.find(thing, thing.__name__, module=importlib.import_module(thing.__module__))
        assert len(example.examples) >= 3
        assert runner.run(example).failed == 0
