"""The thread counts of torch: smaller inside, the person's own outside."""

import sys
import threading

import pytest
import torch
from explorer.networks import linear_network
from torch import nn

from lrexplore.explorer.work import threads
from lrexplore.explorer.work.threads import num_cores, spare_cores


@pytest.fixture(autouse=True)
def own_threads(monkeypatch):
    monkeypatch.setattr(threads, "_before", 0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def in_a_new_thread(job):
    found = []
    thread = threading.Thread(target=lambda: found.append(job()))
    thread.start()
    thread.join()
    return found[0]


def spared():
    with spare_cores():
        return torch.get_num_threads()


@pytest.mark.parametrize(("own", "cores", "inside"), [(8, 8, 4), (2, 2, 1), (1, 2, 1), (3, 16, 3), (4, 1, 1)])
def test_half_of_the_cores_are_taken_and_never_more_than_the_person_allows(monkeypatch, own, cores, inside):
    monkeypatch.setattr(threads, "num_cores", lambda: cores)
    torch.set_num_threads(own)
    assert spared() == inside
    assert torch.get_num_threads() == own
    assert in_a_new_thread(spared) == inside


def test_threads_to_come_get_the_persons_own_number(monkeypatch):
    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    torch.set_num_threads(2)
    assert in_a_new_thread(lambda: (spared(), torch.get_num_threads())) == (1, 2)
    assert in_a_new_thread(torch.get_num_threads) == 2


def test_blocks_that_overlap_in_two_threads_give_both_back(monkeypatch):
    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    torch.set_num_threads(2)
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with spare_cores():
            inside.set()
            assert leave.wait(30)

    spared()
    other = threading.Thread(target=stay)
    with spare_cores():
        other.start()  # a new thread takes over the smaller number
        assert inside.wait(30)
    leave.set()
    other.join()
    assert torch.get_num_threads() == 2
    assert in_a_new_thread(torch.get_num_threads) == 2


def test_a_block_inside_a_block_changes_nothing_and_an_error_gives_back(monkeypatch):
    monkeypatch.setattr(threads, "num_cores", lambda: 8)
    torch.set_num_threads(6)
    with pytest.raises(ArithmeticError), spare_cores():
        assert spared() == 4
        assert torch.get_num_threads() == 4
        raise ArithmeticError
    assert torch.get_num_threads() == 6


def test_there_is_at_least_one_core():
    assert num_cores() >= 1


@pytest.mark.parametrize("colab", [False, True])
def test_an_explorer_leaves_the_thread_counts_as_they_were(open_explorer, monkeypatch, colab):
    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", nn)
    torch.set_num_threads(2)
    explorer = open_explorer(linear_network())
    explorer.state.rank = 3
    assert explorer.wait(60)
    explorer.state.layer = "2"
    assert explorer.wait(60)
    assert torch.get_num_threads() == 2
    assert in_a_new_thread(torch.get_num_threads) == 2
