"""Every file is the old one or the new one: on a full disk, after a kill, after an exception."""

import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from lrexplore.calibration import calibrate
from lrexplore.disk.whole_file import whole_file, write_whole
from lrexplore.explorer.panel.export import to_html
from lrexplore.network.files import save
from lrexplore.network.programs import export
from lrexplore.ranks import allocate
from lrexplore.ranks.cache import keep, recall
from lrexplore.records.layout import write_json
from lrexplore.training.saved_state import save_checkpoint

KILOBYTES = 1000


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()


def _page(path: Path) -> None:
    state = {"frame": {"board": True}, "layer": "", "rank": 1, "table": {}}
    to_html(state, path, "title")


WRITERS = {
    "network.safetensors": lambda path: save(_model(), path, architecture=None),
    "program.pt2": lambda path: export(_model(), path, torch.zeros(2, 64)),
    "program.onnx": lambda path: export(_model(), path, torch.zeros(2, 64)),
    "inputs.safetensors": lambda path: calibrate(_model(), [torch.ones(2, 64)]).save(path),
    "plan.json": lambda path: allocate(_model(), parameter_ratio=0.9, use_cache=False).save(path),
    "page.html": _page,
    "status.json": lambda path: write_json(path, {"words": "x" * 9000}),
    "checkpoint.pt": lambda path: save_checkpoint(path.parent, {"weights": torch.zeros(9000)}),
    "text.txt": lambda path: write_whole(path, "x" * 9000),
}


@contextmanager
def a_full_disk():
    """No file may grow past 100 bytes: a write beyond that fails as on a full disk, with another number.

    Only around the call, for pytest's own output may go to a file too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_an_error_in_words_and_leaves_the_earlier_file_alone(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"earlier")
    words = "`path` must be a place that can be written, got .*: File too large. Make room"
    with pytest.raises(OSError, match=words), a_full_disk():
        WRITERS[name](path)
    assert path.read_bytes() == b"earlier"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_written_over_an_earlier_one_is_the_only_one_left(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"earlier")
    WRITERS[name](path)
    assert path.stat().st_size > 100
    assert os.listdir(tmp_path) == [name]


def test_a_full_disk_keeps_its_number_for_whoever_looks_at_it(tmp_path):
    with pytest.raises(OSError) as caught, a_full_disk():
        write_whole(tmp_path / "file", b"x" * KILOBYTES)
    assert os.strerror(caught.value.errno) == "File too large"


def test_a_device_is_written_as_it_is_and_a_full_one_is_said():
    write_whole("/dev/null", "words")
    assert not Path("/dev/null").is_file()
    with pytest.raises(OSError, match="got /dev/full: No space left on device"):
        write_whole("/dev/full", "words")


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "checkpoint.pt"])
def test_a_pipe_is_written_into_and_stays_one(name, tmp_path):
    path, taken = tmp_path / name, []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: taken.append(path.read_bytes()))
    reader.start()
    WRITERS[name](path)
    assert path.is_fifo()
    reader.join(20)
    assert len(taken[0]) > 100
    assert os.listdir(tmp_path) == [name]


def test_a_link_stays_one_and_the_file_keeps_its_permissions(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("earlier")
    target.chmod(0o640)
    link.symlink_to(target)
    write_whole(link, "later")
    assert link.is_symlink() and target.read_text() == "later"
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_on_the_way_leaves_nothing_behind(error, tmp_path):
    path = tmp_path / "file"
    path.write_text("earlier")
    with pytest.raises(error), whole_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["file"]


def _killed_on_the_way(path: Path) -> None:
    """A process that is killed while its new file is half written."""
    code = (
        "import os, signal, sys\nfrom lrexplore.disk.whole_file import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL


def test_what_killed_processes_left_goes_with_the_next_write_and_what_a_live_one_has_stays(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_text("earlier")
    for _ in range(3):
        _killed_on_the_way(path)
        assert path.read_text() == "earlier"
    assert len(os.listdir(tmp_path)) == 2  # the earlier file, and what the last one left
    with whole_file(path) as mine:
        mine.write_text("mine")
        write_whole(path, "later")
        assert mine.exists()
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_the_cache_forgets_what_was_used_longest_ago(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("lrexplore.ranks.cache._LOOK_EVERY", 1)
    for number, key in enumerate("abc"):
        keep(key, {"x": np.zeros(1000)})
        os.utime(tmp_path / "cache" / "curves" / f"{key}.npz", (number, number))
    assert recall("a") is not None  # used last now
    monkeypatch.setenv("LREXPLORE_CACHE_GB", "0.00003")  # room for three of them
    keep("d", {"x": np.zeros(1000)})
    assert [key for key in "abcd" if recall(key) is not None] == ["a", "c", "d"]


@pytest.mark.parametrize(("text", "expected"), [("0.5", 5e8), ("words", 2e9), ("-1", 2e9), ("nan", 2e9)])
def test_the_limit_of_the_cache_is_set_in_gigabytes(text, expected, monkeypatch):
    from lrexplore.ranks.cache import cache_limit_bytes

    monkeypatch.setenv("LREXPLORE_CACHE_GB", text)
    assert cache_limit_bytes() == expected


def test_the_cache_lies_in_the_platforms_folder_unless_it_is_set(monkeypatch):
    from platformdirs import user_cache_dir

    from lrexplore.ranks import cache_folder

    monkeypatch.delenv("LREXPLORE_CACHE", raising=False)
    assert cache_folder() == Path(user_cache_dir()) / "lrexplore"
    monkeypatch.setenv("LREXPLORE_CACHE", "~/curves")
    assert cache_folder() == Path.home() / "curves"
