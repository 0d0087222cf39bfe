"""Whose process a status speaks of: an id alone may be anybody's by now."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lrexplore.records import Run, Writer
from lrexplore.records.process import own_process, process_of


@pytest.fixture
def bystander():
    """A process that has nothing to do with any run."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def running(folder: Path, **values) -> Run:
    with Writer(folder, {"name": folder.name, "config": {}}) as writer:
        writer.status("running")
    path = folder / "status.json"
    status = {**json.loads(path.read_bytes()), **values}
    path.write_text(json.dumps({key: value for key, value in status.items() if value is not None}))
    return Run(folder)


def test_a_status_speaks_of_the_process_that_wrote_it(tmp_path):
    assert process_of(own_process()).pid == os.getpid()
    assert running(tmp_path / "a").status["state"] == "running"


@pytest.mark.parametrize("pid", [-1, 0, -4, 10**12, 2**62])
def test_no_process_has_an_id_that_kill_takes_for_many_or_none(tmp_path, monkeypatch, pid):
    monkeypatch.setattr(os, "kill", lambda *given: pytest.fail(f"kill{given}"))
    run = running(tmp_path / "a", pid=pid)
    assert run.status["state"] == "interrupted"
    run.stop()


@pytest.mark.parametrize("old", [False, True], ids=["with its start", "of an older version"])
def test_an_id_that_another_program_has_by_now_is_never_signalled(tmp_path, bystander, old):
    started = None if old else psutil.Process(bystander.pid).create_time() - 60
    run = running(tmp_path / "a", pid=bystander.pid, process_started=started)
    assert run.status["state"] == "interrupted"
    run.stop()
    assert bystander.poll() is None


def test_an_older_version_s_run_is_known_by_its_command_line_and_stopped(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()", "lrexplore.training"], stdin=subprocess.PIPE)
    run = running(tmp_path / "a", pid=process.pid, process_started=None)
    assert run.status["state"] == "running"
    run.stop()
    assert process.wait(60) == -signal.SIGTERM
