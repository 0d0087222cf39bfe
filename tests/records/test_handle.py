import json
import os
import subprocess
import sys

import pytest

from lrexplore.records import Run, Writer


def writer_of(folder):
    return Writer(folder, {"name": folder.name})


def python(code):
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)


def test_a_run_without_a_status_is_starting(tmp_path):
    assert Run(tmp_path).status == {"state": "starting"}


def test_the_status_of_a_live_run_is_what_it_said(tmp_path):
    with writer_of(tmp_path) as writer:
        writer.status("running", step=3, num_steps=9)
        assert Run(tmp_path).status["step"] == 3
        assert "step 3 of 9" in repr(Run(tmp_path))


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path):
    gone = python("pass")
    gone.wait()
    with writer_of(tmp_path) as writer:
        writer.status("running")
    status = json.loads((tmp_path / "status.json").read_text())
    (tmp_path / "status.json").write_text(json.dumps({**status, "pid": gone.pid}))
    assert Run(tmp_path).status["state"] == "interrupted"
    assert Run(tmp_path).wait(1) == "interrupted"


@pytest.mark.parametrize(("silent_s", "state"), [(60, "running"), (1000, "interrupted")])
def test_a_run_on_another_machine_is_judged_by_its_silence(tmp_path, silent_s, state):
    with writer_of(tmp_path) as writer:
        writer.status("running")
    path = tmp_path / "status.json"
    status = json.loads(path.read_text())
    path.write_text(json.dumps({**status, "host": "another"}))
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - silent_s))
    assert Run(tmp_path).status["state"] == state


def test_a_run_on_another_machine_is_not_stopped_from_here(tmp_path):
    with writer_of(tmp_path) as writer:
        writer.status("running")
    path = tmp_path / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "another"}))
    with pytest.raises(ProcessLookupError, match="got a run on another"):
        Run(tmp_path).stop()


def test_a_process_that_died_without_a_word_failed_with_its_last_line(tmp_path):
    process = python("raise SystemExit(1)")
    (tmp_path / "log.txt").write_text("Traceback\nlrexplore train: no such folder\n\n")
    process.wait()
    assert Run(tmp_path, process).status == {"state": "failed", "message": "lrexplore train: no such folder"}


def test_stop_ends_a_process_that_is_still_starting(tmp_path):
    process = python("input()")
    run = Run(tmp_path, process)
    run.stop()
    assert run.wait(20) == "stopped"


def test_waiting_too_short_says_so_and_leaves_the_run_alone(tmp_path):
    process = python("input()")
    run = Run(tmp_path, process)
    with pytest.raises(TimeoutError, match="Wait longer"):
        run.wait(0.01)
    assert process.poll() is None
    process.communicate(b"\n")
    assert process.returncode == 0
