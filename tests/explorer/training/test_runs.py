"""The list of runs as it is asked several times a second."""

import os
import shutil

from explorer.recorded import CONFIG, dead_process, pretend_running, record

from lrexplore.explorer.training import listed as listed_runs
from lrexplore.explorer.training.runs import RunList, shipped_records
from lrexplore.records import Run


def listed(folder):
    found = RunList(folder)
    found.poll()
    return found


def test_every_run_of_the_folder_is_listed_with_its_choices_and_status(tmp_path):
    record(tmp_path / "b", seed=1)
    record(tmp_path / "a", decay="weight", state="stopped")
    (tmp_path / "no run").mkdir()
    runs = listed(tmp_path).runs
    assert {name: run.state for name, run in runs.items()} == {"a": "stopped", "b": "done"}
    assert runs["a"].config["decay"] == "weight"
    assert runs["b"].status["test_top1"] == 79.5
    assert runs["b"].steps_per_epoch == 10


def test_a_folder_that_is_a_run_lists_that_one(tmp_path):
    assert list(listed(record(tmp_path / "a")).runs) == ["a"]


def test_a_folder_that_is_not_there_is_an_empty_list_until_it_is(tmp_path):
    runs = listed(tmp_path / "later")
    assert runs.runs == {}
    record(tmp_path / "later" / "a")
    assert runs.poll()
    assert list(runs.runs) == ["a"]


def test_a_poll_says_whether_anything_changed(tmp_path):
    folder = record(tmp_path / "a")
    runs = listed(tmp_path)
    assert not runs.poll()
    record(tmp_path / "b")
    assert runs.poll()
    shutil.rmtree(folder)
    assert runs.poll()
    assert list(runs.runs) == ["b"]
    assert not runs.poll()


def test_ended_runs_are_not_read_again(tmp_path, monkeypatch):
    record(tmp_path / "a")
    runs = listed(tmp_path)
    read = []
    monkeypatch.setattr(listed_runs, "Run", lambda folder: read.append(folder) or Run(folder))
    assert not runs.poll()
    assert read == []


def test_a_run_whose_process_is_gone_is_interrupted_and_one_that_lives_is_running(tmp_path):
    pretend_running(record(tmp_path / "dead"), dead_process())
    pretend_running(record(tmp_path / "alive"), os.getpid())
    runs = listed(tmp_path)
    assert {name: run.state for name, run in runs.runs.items()} == {"alive": "running", "dead": "interrupted"}
    assert runs.any_live
    assert runs.runs["alive"].is_live
    assert not runs.runs["dead"].is_live


def test_a_run_that_cannot_be_read_says_why_and_spoils_no_other(tmp_path):
    record(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text('{"version": 99}')
    runs = listed(tmp_path)
    assert runs.runs["bad"].state == "unreadable"
    assert "Update lrexplore" in runs.runs["bad"].status["message"]
    assert runs.runs["good"].state == "done"
    assert not runs.poll()


def test_a_run_started_here_is_listed_before_it_has_written_anything(tmp_path):
    runs = RunList(tmp_path)
    runs.add(Run(tmp_path / "new"), {"model": "resnet20", "seed": 3})
    runs.poll()
    assert runs.runs["new"].state == "starting"
    assert runs.runs["new"].config["seed"] == 3
    record(tmp_path / "new", seed=4)
    assert runs.poll()
    assert runs.runs["new"].state == "done"
    assert runs.runs["new"].config["seed"] == 4


def test_a_run_whose_folder_is_deleted_leaves_the_list_though_it_was_started_here(tmp_path):
    runs = RunList(tmp_path)
    folder = record(tmp_path / "a", state="running")
    runs.add(Run(folder), CONFIG)
    runs.poll()
    shutil.rmtree(folder)
    assert runs.poll()
    assert runs.runs == {}


def test_unfactorized_runs_are_told_apart(tmp_path):
    record(tmp_path / "a", rank_scale=None)
    record(tmp_path / "b", rank_scale=None, rank_ratio=0.3)
    assert [run.is_factorized for run in listed(tmp_path).runs.values()] == [False, True]


def test_shipped_records_are_those_of_the_clone():
    found = shipped_records()
    assert found is None or (found.parent.name, found.name) == ("data", "records")
