import importlib
import json

import pytest
from training.runs import tiny

import lrexplore
from lrexplore.records import Run
from lrexplore.training import train


def choices(config):
    options = {key: value for key, value in config.as_dict().items() if value is not None}
    return {**options, "milestones": config.milestones, "resume": False}


def test_a_run_started_from_a_notebook_is_followed_and_stopped(tmp_path):
    started = train(**choices(tiny(tmp_path, "a", steps=5000)))
    assert started.status["state"] in ("starting", "running")
    while len(started.records.columns("steps").get("step", ())) < 2:
        assert started.status["state"] in ("starting", "running")
    assert started.status["state"] == "running"
    assert Run(tmp_path / "a").status["pid"] == started.status["pid"]
    started.stop()
    assert started.wait(60) == "stopped"
    assert started.status["step"] == len(started.records.columns("steps")["step"])


def test_choices_are_checked_before_anything_starts(tmp_path):
    with pytest.raises(ValueError, match="`decay` must be one of"):
        train("resnet20", decay="l2", runs=str(tmp_path))
    with pytest.raises(ValueError, match="`model` must be one of.*got 'resnet9000'. Nearest: "):
        train("resnet9000", runs=str(tmp_path))
    assert not any(tmp_path.iterdir())


def test_a_name_that_is_taken_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(ValueError, match="`name` must be new.*resume=True"):
        train("resnet20", name="a", runs=str(tmp_path))


def test_the_function_stays_the_function_when_its_room_is_imported():
    room = importlib.import_module("lrexplore.training")
    assert lrexplore.train is room.train is train
    with pytest.raises(ValueError, match="`decay` must be one of"):
        lrexplore.train("resnet20", decay="l2")
