"""Which inputs of a loader belong together, however a person says it."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lrexplore.network.batches import first_inputs, read_items

INPUTS = torch.arange(12.0).view(6, 2)
IDS = ["a", "a", "b", "b", "b", "c"]


def _ids(loader, groups=None):
    return [one for item in read_items(loader, groups=groups) for one in item.groups]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 6])
@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series])
def test_ids_in_the_order_of_the_loader_belong_to_its_inputs_however_they_are_batched(batch_size, kind):
    assert _ids(INPUTS.split(batch_size), kind(IDS)) == IDS
    assert _ids(DataLoader(TensorDataset(INPUTS), batch_size), kind(IDS)) == IDS
    assert _ids(INPUTS.split(batch_size), torch.tensor([0, 0, 1, 1, 1, 2])) == [0, 0, 1, 1, 1, 2]


def test_a_function_gets_what_the_loader_gives():
    pairs = [(INPUTS[:4], torch.tensor([7, 7, 8, 8])), (INPUTS[4:], torch.tensor([8, 9]))]
    assert _ids(pairs, lambda item: item[1]) == [7, 7, 8, 8, 8, 9]
    shuffled = DataLoader(TensorDataset(INPUTS, INPUTS[:, 0] // 4), 4, shuffle=True)
    for item in read_items(shuffled, groups=lambda item: item[1]):
        assert list(item.groups) == (item.inputs[:, 0] // 4).tolist()


def test_a_loader_may_say_its_groups_itself_and_without_any_there_are_none():
    class Said:
        def __iter__(self):
            return iter(INPUTS.split(4))

        def grouped(self):
            return zip(INPUTS.split(4), (IDS[:4], IDS[4:]), strict=True)

    assert _ids(Said()) == IDS
    assert _ids(Said(), [0, 0, 0, 1, 1, 1]) == [0, 0, 0, 1, 1, 1]  # what a person says goes first
    assert [item.groups for item in read_items(INPUTS.split(4))] == [None, None]


def test_groups_stay_with_items_that_were_looked_at_first():
    taken, items = first_inputs(iter(INPUTS.split(2)), 3, None, IDS)
    assert len(taken) == 2 and _ids(items) == IDS


@pytest.mark.parametrize(
    ("groups", "kind", "says"),
    [
        (IDS[:5], ValueError, "5 ids for 6 inputs"),
        ([*IDS, "d"], ValueError, "7 ids for 6 inputs"),
        (lambda item: [1], ValueError, "1 ids for a batch of 4"),
        (lambda item: None, TypeError, "ids, one an input"),
        ("aabbbc", TypeError, "'aabbbc'"),
        (3, TypeError, "got 3"),
        ([{}, {}, {}, {}, {}, {}], TypeError, "a dict"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["a loader that tells its length", "one that does not"])
def test_groups_that_are_not_one_an_input_are_refused(groups, kind, says, known):
    loader = INPUTS.split(4) if known else iter(INPUTS.split(4))
    with pytest.raises(kind, match="`groups`") as raised:
        _ids(loader, groups)
    assert says in str(raised.value)


def test_a_list_does_not_go_with_a_loader_that_shuffles():
    with pytest.raises(ValueError, match="draws its own order"):
        _ids(DataLoader(TensorDataset(INPUTS), 2, shuffle=True), IDS)
