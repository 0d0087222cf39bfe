"""What of a run's JSON is taken for granted by its readers, and what is shown where it is otherwise."""

import json
import os
import shutil
import typing
from types import UnionType

import numpy as np
import pytest

from lrexplore.explorer.training.runs import RunWatch
from lrexplore.recipes.config import Config, kinds
from lrexplore.records import Reader, Run, Writer, layout, read, runs
from lrexplore.records.schema import CONFIG, read_description

CHOICES = {"model": "resnet20", "seed": 1, "decay": "weight", "rank_scale": 0.1}


def record(folder, finish=False):
    with Writer(folder, {"name": folder.name, "config": dict(CHOICES), "layers": ["a", "b"]}) as writer:
        for step in (1, 2):
            writer.append("steps", {"step": step, "epoch": 1, "loss": 1 / step})
            writer.append("layers", {"step": step, "epoch": 1, "lr": 0.1, "frobenius_norm": [1.0, 2.0]})
        writer.append("epochs", {"step": 2, "epoch": 1, "held_out_top1": 80.0})
        writer.status("done", step=2, num_steps=2, held_out_top1=80.0)
        if finish:
            writer.finish()
    return folder


def changed(name, **values):
    def change(folder):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_bytes()), **values}))

    return change


def replaced(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def without(name, key):
    def change(folder):
        content = json.loads((folder / name).read_bytes())
        del content[key]
        (folder / name).write_text(json.dumps(content))

    return change


def instead(name, make):
    def change(folder):
        (folder / name).unlink()
        make(folder / name)

    return change


def config(**values):
    return changed("run.json", config={**CHOICES, **values})


BROKEN = {
    "a text": replaced("run.json", b'"x"'),
    "NaN": replaced("run.json", b"NaN"),
    "a number": replaced("run.json", b"5"),
    "not UTF-8": replaced("run.json", b'{"version": 1, "name": "\xff"}'),
    "deep": replaced("run.json", b"[" * 100_000),
    "huge": replaced("run.json", b'{"version": ' + b"9" * 5000 + b"}"),
    "no start": without("run.json", "started"),
    "no config": without("run.json", "config"),
    "late start": changed("run.json", started=10**30),
    "config is a text": changed("run.json", config="x"),
    "layers are numbers": changed("run.json", layers=[1, 2]),
    "no processes": changed("run.json", environment={"num_processes": 0}),
    "thinned by nothing": changed("run.json", thinned={"steps": 0}),
    "an empty plan": changed("run.json", plan={}),
    "rank scale is a text": config(rank_scale="0.1"),
    "seed is huge": config(seed=10**30),
    "seed is true": config(seed=True),
    "model is a list": config(model=["resnet20"]),
    "lr is NaN": replaced("run.json", b'{"version": 1, "started": 1, "config": {"lr": NaN}}'),
    "lr overflows": replaced("run.json", b'{"version": 1, "started": 1, "config": {"lr": 1e999}}'),
    "a folder": instead("run.json", lambda path: path.mkdir()),
    "a pipe": instead("run.json", lambda path: os.mkfifo(path)),
    "a link to nothing": instead("run.json", lambda path: path.symlink_to(path.parent / "nothing" / "run.json")),
    "status is a text": replaced("status.json", b'"x"'),
    "status is a folder": instead("status.json", lambda path: path.mkdir()),
    "status is a pipe": instead("status.json", lambda path: os.mkfifo(path)),
    "no state": without("status.json", "state"),
    "unknown state": changed("status.json", state="bored"),
    "step is a text": changed("status.json", step="2"),
    "step is huge": changed("status.json", step=10**30),
    "pid is a list": changed("status.json", pid=[1]),
    "top-1 is a text": changed("status.json", held_out_top1="80"),
    "time overflows": replaced("status.json", b'{"state": "done", "wall_s": 1e999}'),
}  # fmt: skip


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_run_that_cannot_be_read_says_why_everywhere_and_hides_no_other(tmp_path, change):
    record(tmp_path / "good")
    change(record(tmp_path / "bad"))
    table = runs(tmp_path).set_index("run")
    if "a link" in table["message"]["bad"]:
        assert "No such file" in table["message"]["bad"]
    assert table["state"].to_dict() == {"good": "done", "bad": "unreadable"}
    assert len(table["message"]["bad"]) > 20
    watch = RunWatch(tmp_path)
    assert {name: run.state for name, run in watch.runs.items()} == {"good": "done", "bad": "unreadable"}
    assert watch.runs["bad"].status["message"]
    watch.poll([])


def test_rows_of_a_run_that_cannot_be_read_are_left_out_with_a_warning_and_the_reason(tmp_path):
    record(tmp_path / "good")
    BROKEN["config is a text"](record(tmp_path / "bad"))
    with pytest.warns(UserWarning, match="the run bad is unreadable and left out: `config` must be an object"):
        table = read(tmp_path)
    assert set(table["run"]) == {"good"} and list(table.attrs["unreadable"]) == ["bad"]


def test_a_run_that_may_not_be_looked_into_is_shown(tmp_path, monkeypatch):
    record(tmp_path / "good"), record(tmp_path / "bad")
    whole, status = os.open, os.lstat

    def forbidden(function):
        def call(path, *rest, **more):
            if "bad" in str(path) and str(path).endswith(".json"):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *rest, **more)

        return call

    monkeypatch.setattr(layout.os, "open", forbidden(whole))
    monkeypatch.setattr(layout.os, "lstat", forbidden(status))
    table = runs(tmp_path).set_index("run")
    assert table["state"].to_dict() == {"bad": "unreadable", "good": "done"}
    assert "Permission denied" in table["message"]["bad"]


def test_a_name_that_is_not_utf8_is_shown_with_its_bytes(tmp_path):
    record(tmp_path / os.fsdecode(b"b\xffd"))
    for names in (runs(tmp_path)["run"], RunWatch(tmp_path).runs, read(tmp_path)["run"]):
        assert set(names) == {"b\\xffd"}


def test_half_a_character_in_a_status_spoils_no_table(tmp_path):
    record(tmp_path / "good")
    changed("status.json", message="half \ud800, whole \U0001f600")(record(tmp_path / "odd"))
    assert runs(tmp_path).set_index("run")["message"]["odd"] == "half ?, whole \U0001f600"


def test_a_torn_parquet_file_is_read_from_its_lines(tmp_path):
    whole = read(record(tmp_path / "a", finish=True), "steps")
    path = tmp_path / "a" / "steps.parquet"
    path.write_bytes(path.read_bytes()[:100])
    torn = read(tmp_path / "a", "steps")
    assert torn["loss"].tolist() == whole["loss"].tolist() == [1, 0.5]
    (tmp_path / "a" / "steps.jsonl").unlink()
    with pytest.warns(UserWarning, match="must be a Parquet file, got one that is torn"):
        assert len(read(tmp_path / "a", "steps")) == 0


def test_odd_rows_of_layers_are_missing_and_move_no_other(tmp_path):
    folder = record(tmp_path / "a")
    with open(folder / "layers.jsonl", "ab") as file:
        for odd in ("[1.0]", "[1.0, 2.0, 3.0]", '"text"', "[1.0, [2.0]]", "5", "[" + "9" * 400 + ", 2.0]"):
            file.write(b'{"step":3,"epoch":1,"lr":0.1,"frobenius_norm":' + odd.encode() + b"}\n")
    reader = Reader(folder)
    reader.poll()
    found = reader.lists("layers")["frobenius_norm"]
    assert found.shape == (8, 2)
    np.testing.assert_array_equal(found[:2], [[1, 2], [1, 2]])
    assert np.isnan(found[2:5]).all()
    assert len(reader.table("layers")) == 16


def test_lines_with_other_types_than_rows_have_spoil_nothing(tmp_path):
    folder = record(tmp_path / "a")
    lines = ('{"step":"3"}', '{"step":3.5}', '{"step":true}', '{"loss":1}', '{"resume":"x"}', '{"resume":-1}',
             '{"resume":1' + "0" * 400 + "}", "[" * 5000, '{"step":3,"epoch":1,"loss":"x"}',
             '{"step":4,"epoch":1e999,"loss":1' + "0" * 400 + "}")  # fmt: skip
    with open(folder / "steps.jsonl", "ab") as file:
        file.write("\n".join([*lines, ""]).encode())
    table = read(folder, "steps")
    assert table["step"].tolist() == [1, 2, 3, 4]
    assert table["loss"].isna().tolist() == [False, False, True, True]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_something_else_in_the_place_of_a_stream_keeps_no_reader_waiting(tmp_path, make):
    record(tmp_path / "good")
    folder = record(tmp_path / "bad")
    (folder / "steps.jsonl").unlink()
    make(folder / "steps.jsonl")
    with pytest.warns(UserWarning, match="bad is unreadable.*`steps.jsonl` must be a file"):
        assert set(read(tmp_path, "steps")["run"]) == {"good"}
    watch = RunWatch(tmp_path)
    watch.curves.follow(watch.compared(["good", "bad"], "none", ""))
    assert watch.runs["bad"].state == "unreadable" and watch.runs["good"].state == "done"


def test_a_run_that_was_removed_and_made_anew_is_read_anew(tmp_path):
    folder = record(tmp_path / "a")
    reader, watch = Reader(folder), RunWatch(tmp_path)
    reader.poll()
    watch.curves.follow(watch.compared(["a"], "none", ""))
    first = read_description(folder)["started"]
    shutil.rmtree(folder)
    with Writer(folder, {"name": "a", "config": {**CHOICES, "seed": 9}, "layers": ["c"]}) as writer:
        for step in range(1, 6):
            writer.append("steps", {"step": step, "epoch": 1, "loss": 7.0})
        writer.status("done", step=5, num_steps=5)
    assert set(reader.poll().values()) == {-1}
    assert reader.columns("steps")["loss"].tolist() == [7.0] * 5
    assert reader.description["layers"] == ["c"] and reader.description["started"] != first
    assert watch.poll(list(watch.runs.values())) == (True, True)
    assert watch.runs["a"].config["seed"] == 9
    (series,) = watch.curves._series.values()
    assert series.line("steps", "loss", "step")[1].tolist() == [7.0] * 5


def test_the_status_of_a_run_that_cannot_be_read_ends_the_waiting_for_it(tmp_path):
    BROKEN["unknown state"](record(tmp_path / "a"))
    assert Run(tmp_path / "a").wait(60) == "unreadable"
    assert "unreadable" in repr(Run(tmp_path / "a"))


def test_the_schema_knows_every_choice_by_its_type():
    names = {str: "text", int: "whole", float: "number", bool: "switch"}
    assert CONFIG == {name: names.get(kind, "numbers") for name, kind in kinds().items()}
    assert not [hint for hint in typing.get_type_hints(Config).values() if hint is UnionType]
