"""The thread that follows runs."""

import threading

from lrexplore.explorer.work.ticker import Ticker

LONG = 60


class Counting:
    """A tick that says when it was called, with the pauses given one after the other."""

    def __init__(self, *pauses):
        self.pauses, self.count = list(pauses), 0
        self.reached = threading.Condition()

    def __call__(self):
        with self.reached:
            self.count += 1
            self.reached.notify_all()
        pause = self.pauses.pop(0) if self.pauses else None
        if isinstance(pause, Exception):
            raise pause
        return pause

    def wait_for(self, count):
        with self.reached:
            return self.reached.wait_for(lambda: self.count >= count, LONG)


def test_nothing_runs_before_it_is_woken():
    ticker = Ticker(Counting(), print)
    assert not ticker.is_running
    ticker.close()


def test_it_ticks_until_it_is_told_to_rest_and_again_when_woken():
    tick = Counting(0, 0, None, None)
    ticker = Ticker(tick, print)
    ticker.wake()
    assert tick.wait_for(3)
    ticker.wake()
    assert tick.wait_for(4)
    ticker.close()
    ticker.join(LONG)
    assert not ticker.is_running
    assert tick.count == 4


def test_an_error_is_handed_over_and_it_tries_again():
    tick, errors = Counting(OSError("gone"), None), []
    ticker = Ticker(tick, errors.append, retry_s=0)
    ticker.wake()
    assert tick.wait_for(2)
    ticker.close()
    ticker.join(LONG)
    assert [str(error) for error in errors] == ["gone"]


def test_close_ends_a_long_pause_at_once():
    tick = Counting(3600)
    ticker = Ticker(tick, print)
    ticker.wake()
    assert tick.wait_for(1)
    ticker.close()
    ticker.join(LONG)
    assert not ticker.is_running


def test_a_closed_ticker_is_not_woken():
    tick = Counting()
    ticker = Ticker(tick, print)
    ticker.close()
    ticker.wake()
    assert not ticker.is_running
    assert tick.count == 0
