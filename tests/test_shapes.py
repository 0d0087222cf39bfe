"""While tests run, shapes that annotations name are checked."""

import pytest
import torch
from jaxtyping import TypeCheckError

from lrexplore.init import Problem
from lrexplore.linalg import compare_rows, neuron_norms, singular_values
from lrexplore.linalg.factors import Factors


def test_a_shape_that_is_not_the_named_one_fails_a_test():
    with pytest.raises(TypeCheckError, match="neuron_norms"):
        neuron_norms(torch.ones(3))
    with pytest.raises(TypeCheckError, match="Problem"):
        Problem(torch.ones(2, 3, 4))


def test_every_test_checks_anew():
    for _ in range(5):
        singular_values(torch.ones(3, 2))
    with pytest.raises(TypeCheckError):
        compare_rows(torch.ones(3), Factors(torch.ones(3, 1), torch.ones(1, 2)))


def test_a_function_checks_its_own_input_with_its_own_error():
    with pytest.raises(ValueError, match="`left` and `right` must be matrices"):
        Factors(torch.ones(3), torch.ones(3))


def test_after_its_first_calls_a_function_runs_as_without_tests():
    for _ in range(3):
        neuron_norms(torch.ones(3, 2))
    assert neuron_norms.__no_type_check__
