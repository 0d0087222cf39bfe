"""The worker: the latest job wins, a held key still shows something, nothing outlives it."""

import subprocess
import sys
import textwrap
import threading

import pytest

from lrexplore.explorer.work.worker import Token, Worker


@pytest.fixture
def errors():
    return []


@pytest.fixture
def open_worker(errors):
    opened = []

    def open_one(**options):
        opened.append(Worker(errors.append, **options))
        return opened[-1]

    yield open_one
    for worker in opened:
        worker.close()


class Stubborn:
    """A job that runs until it is released, whatever its token says."""

    def __init__(self):
        self.started, self.released = threading.Event(), threading.Event()
        self.token = None

    def __call__(self, token: Token) -> None:
        self.token = token
        self.started.set()
        assert self.released.wait(30)


def spin(token: Token) -> None:
    """A job that runs until its token says stop."""
    while not token.cancelled():
        pass


def test_a_job_runs_on_the_workers_own_daemon_thread(open_worker):
    seen = []
    worker = open_worker()
    worker.submit(lambda token: seen.append(threading.current_thread()))
    assert worker.wait(30)
    assert seen[0] is not threading.main_thread()
    assert seen[0].daemon


def test_of_the_jobs_that_wait_only_the_latest_runs(open_worker):
    ran, first = [], Stubborn()
    worker = open_worker()
    worker.submit(first)
    assert first.started.wait(30)
    for name in "abc":
        worker.submit(lambda token, name=name: ran.append(name))
    first.released.set()
    assert worker.wait(30)
    assert ran == ["c"]


def test_a_new_job_stops_a_running_one_that_had_its_grace(open_worker):
    worker = open_worker(grace_s=0)
    worker.submit(spin)
    worker.submit(lambda token: None)
    assert worker.wait(30)


def test_a_young_job_goes_on_until_its_grace_is_over_and_no_longer(open_worker):
    young = Stubborn()
    worker = open_worker(grace_s=1000)
    worker.submit(young)
    assert young.started.wait(30)
    worker.submit(lambda token: None)
    assert not young.token.cancelled()
    young.released.set()
    assert worker.wait(30)

    worker = open_worker(grace_s=0.05)
    worker.submit(spin)
    worker.submit(lambda token: None)
    assert worker.wait(30)


def test_a_young_job_that_waived_its_grace_stops_as_soon_as_it_is_asked_to(open_worker):
    young = Stubborn()
    worker = open_worker(grace_s=1000)
    worker.submit(young)
    assert young.started.wait(30)
    young.token.waive_grace()
    assert not young.token.cancelled()
    worker.submit(lambda token: None)
    assert young.token.cancelled()
    young.released.set()
    assert worker.wait(30)


def test_a_pause_ends_at_once_when_another_job_comes_and_lasts_otherwise(open_worker):
    paused, started = [], threading.Event()

    def pausing(token):
        started.set()
        paused.append(token.pause())

    worker = open_worker(grace_s=1000, pause_s=1000)
    worker.submit(pausing)
    assert started.wait(30)
    worker.submit(lambda token: None)
    assert worker.wait(30)
    worker = open_worker(pause_s=0.01)
    worker.submit(pausing)
    assert worker.wait(30)
    assert paused == [True, False]


def test_a_job_after_a_quiet_time_starts_at_once_and_those_of_a_rush_wait(open_worker):
    ran = []
    worker = open_worker(rest_s=1000, quiet_s=0)
    for name in "ab":
        worker.submit(lambda token, name=name: ran.append(name))
        assert worker.wait(30)
    worker = open_worker(rest_s=1000, quiet_s=1000)
    for name in "cde":
        worker.submit(lambda token, name=name: ran.append(name))
        worker.wait(0 if ran[-1] == "c" else 30)
    assert ran == ["a", "b", "c"]


def test_what_a_job_raises_is_handed_on_and_the_next_job_runs(open_worker, errors):
    def failing(token):
        raise ArithmeticError("lost")

    ran = threading.Event()
    worker = open_worker()
    worker.submit(failing)
    assert worker.wait(30)
    worker.submit(lambda token: ran.set())
    assert worker.wait(30)
    assert [str(error) for error in errors] == ["lost"]
    assert ran.is_set()


@pytest.mark.parametrize("raised", [ArithmeticError, SystemExit, KeyboardInterrupt])
def test_the_worker_survives_whatever_a_job_or_its_error_handler_raises(raised):
    def fail(*arguments):
        raise raised("lost")

    worker, ran = Worker(fail), threading.Event()
    worker.submit(fail)
    assert worker.wait(30)
    worker.submit(lambda token: ran.set())
    assert worker.wait(30)
    assert ran.is_set()
    worker.close()


def test_in_colab_a_job_runs_in_its_caller(open_worker, errors, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    seen, worker = [], open_worker()
    worker.submit(lambda token: seen.append(threading.current_thread()))
    worker.submit(lambda token: 1 / 0)
    assert seen == [threading.current_thread()]
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert worker.wait(0)


def test_cancel_stops_the_running_job_and_forgets_the_waiting_one(open_worker):
    ran, first = [], Stubborn()
    worker = open_worker()
    worker.submit(first)
    assert first.started.wait(30)
    worker.submit(lambda token: ran.append(True))
    worker.cancel()
    assert first.token.cancelled()
    first.released.set()
    assert worker.wait(30)
    assert ran == []


def test_waiting_for_a_job_that_goes_on_says_so(open_worker):
    worker, job = open_worker(), Stubborn()
    worker.submit(job)
    assert not worker.wait(0.01)
    job.released.set()
    assert worker.wait(30)


def test_close_ends_the_thread_and_later_jobs_are_forgotten(open_worker):
    before = set(threading.enumerate())
    worker = open_worker()
    (thread,) = set(threading.enumerate()) - before
    worker.submit(spin)
    worker.close()
    thread.join(30)
    assert not thread.is_alive()
    worker.submit(spin)
    assert worker.wait(30)


def test_an_interpreter_ends_well_while_a_job_runs():
    script = """
        import threading, torch
        from lrexplore.explorer.work.worker import Worker
        started, ended = threading.Event(), []
        def job(token):
            started.set()
            while not token.cancelled():
                torch.ones(300, 300) @ torch.ones(300, 300)
            print("job ended")
        worker = Worker(print)
        worker.submit(job)
        started.wait()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "job ended", "")
