"""What several threads want is worked out once; who waits can give up, and a failure is its caller's alone."""

from threading import Event, Thread

import pytest

from lrexplore.explorer.work.once import Once


def test_a_second_thread_waits_for_what_the_first_makes():
    once, begun, go, found = Once(), Event(), Event(), []

    def make():
        begun.set()
        go.wait(60)
        return "made"

    first = Thread(target=lambda: found.append(once.get(make, lambda: None)))
    first.start()
    assert begun.wait(60)
    assert once.get(lambda: "made twice", go.set) == "made"
    first.join(60)
    assert found == ["made"] == [once.value]


def test_who_waits_can_give_up_and_what_failed_is_made_anew():
    once, begun, go, errors = Once(), Event(), Event(), []

    def fail():
        begun.set()
        go.wait(60)
        raise ValueError("stopped")

    def first():
        with pytest.raises(ValueError, match="stopped") as raised:
            once.get(fail, lambda: None)
        errors.append(raised)

    thread = Thread(target=first)
    thread.start()
    assert begun.wait(60)

    def give_up():
        raise KeyError("no longer wanted")

    with pytest.raises(KeyError):
        once.get(lambda: "never", give_up)
    go.set()
    thread.join(60)
    assert len(errors) == 1 and once.value is None
    assert once.get(lambda: "made", give_up) == "made"
