"""The examples in the docstrings of public functions are true."""

import doctest
import inspect

import pytest

import lrexplore as lr

WITH_EXAMPLES = ("calibrate", "collapse", "compare", "export", "factorize", "load", "report", "save", "spectrum")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_example_of_a_public_function_gives_what_it_says(name):
    function = getattr(lr, name)
    [test] = doctest.DocTestFinder(recurse=False).find(function, name, module=inspect.getmodule(function))
    assert test.examples
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test).failed == 0


def test_every_public_function_with_an_example_is_tried():
    shown = {name for name in lr.__all__ if ">>>" in (getattr(lr, name).__doc__ or "")}
    assert shown == set(WITH_EXAMPLES)
