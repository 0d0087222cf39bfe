import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lrexplore import __version__
from lrexplore.cli import lab_command, lab_environment, main

ROOT = Path(__file__).parents[2]


def _run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lrexplore", *arguments],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_version_is_printed():
    assert _run("--version").stdout.strip() == f"lrexplore {__version__}"


@pytest.mark.parametrize("arguments", [["--help"], ["lab", "--help"], ["doctor", "--help"], ["bench", "--help"]])
def test_help_names_the_command_and_ends_well(arguments, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    assert capsys.readouterr().out.startswith("usage: " + " ".join(["lrexplore", *arguments[:-1]]))


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["bench"], ["doctor", "--fast"]])
def test_arguments_that_make_no_sense_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: lrexplore" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["init", "decay", "step", "pipeline", "certificate", "explorer"])
def test_bench_answers_help_with_its_own_options(what):
    done = _run("bench", what, "--help")
    assert done.returncode == 0, done.stderr
    assert "--" in done.stdout


def test_lab_has_the_threads_of_kernels_wait_without_spinning_unless_the_person_says_otherwise(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    assert lab_environment() == {"OMP_WAIT_POLICY": "PASSIVE"}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        with monkeypatch.context() as own:
            own.setenv(name, "ACTIVE" if name == "OMP_WAIT_POLICY" else "100")
            assert lab_environment() == {}


def test_lab_hands_its_arguments_on_to_jupyterlab():
    import jupyterlab

    done = _run("lab", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, jupyterlab.__version__)


def test_lab_keeps_jupyterlabs_token_and_its_address():
    command = lab_command(["--no-browser", "--port=8899"])
    assert command[-2:] == ["--no-browser", "--port=8899"]
    assert not re.search(r"token|password|\bip=", " ".join(command))


def test_an_option_given_to_lab_wins():
    command = lab_command(["--ServerApp.root_dir=elsewhere", "--allow-root"])
    assert [argument for argument in command if "root_dir" in argument] == ["--ServerApp.root_dir=elsewhere"]
    assert command.count("--allow-root") == 1


def test_lab_outside_a_clone_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lrexplore.cli.__file__", str(tmp_path / "site-packages" / "lrexplore" / "cli" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    assert main(["lab"]) == 1
    assert "Run it in a clone of the project" in capsys.readouterr().err


def _wait_until_it_listens(address, process):
    """JupyterLab prints its address a moment before it listens there."""
    place, deadline = urlsplit(address), time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection((place.hostname, place.port)).close()
        except ConnectionRefusedError:
            select.select([process.stderr], [], [], 0.1)
    pytest.fail(f"nothing listens at {address}")


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab that `lrexplore lab` started: the address it printed, token included."""
    folders = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "JUPYTERLAB_SETTINGS_DIR",
        "IPYTHONDIR",
    )
    command = [sys.executable, "-m", "lrexplore", "lab", "--no-browser", "--port=0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        env={**os.environ, **{name: str(tmp_path / name) for name in folders}},
    )  # fmt: skip
    try:
        seen = []
        for line in process.stderr:
            seen.append(line)
            if found := re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/\S*token=\w+", line):
                _wait_until_it_listens(found[0], process)
                yield found[0]
                break
        else:
            pytest.fail("JupyterLab ended without an address:\n" + "".join(seen))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_lab_serves_the_notebook_to_who_has_the_token_and_to_nobody_else(lab):
    page, token = lab.split("?token=")
    assert page.endswith("/lab/tree/notebooks/01-explorer.ipynb")
    contents = page.replace("/lab/tree/", "/api/contents/") + "?content=0"
    local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        local.open(contents, timeout=20)
    request = urllib.request.Request(contents, headers={"Authorization": f"token {token}"})
    with local.open(request, timeout=20) as answer:
        assert json.load(answer)["type"] == "notebook"
