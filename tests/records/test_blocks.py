"""Many lines at once are read as one row after the other is, in little memory."""

import json
import random
import subprocess
import sys

import pytest

from lrexplore.records import Reader, Writer, blocks, reader

ODD = (
    None,
    None,
    True,
    1,
    2.5,
    -1,
    2**60,
    10**400,
    1e308,
    "words",
    "2020-01-01",
    [1, 2.5],
    [None, 1],
    [],
    ["a"],
    {"a": 1},
)


def rows(draw, odd):
    """Rows as a writer writes them, a few of them with other values, and now and then what is no row."""
    for step in range(60):
        row = {"step": step, "loss": draw.random(), "top1": draw.randrange(100), "norm": [draw.random(), 1]}
        if draw.random() < odd:
            row[draw.choice(("step", "loss", "top1", "norm", "new", "resume"))] = draw.choice(ODD)
        if draw.random() < 2 * odd:
            row.pop(draw.choice(list(row)))
        text = json.dumps(row)
        yield (
            draw.choice(("", "{}", text + text, "[1]", '{"resume":7}', '{"step":1,"step":2}', "NaN"))
            if (draw.random() < odd / 2)
            else text
        )


def seen(folder, monkeypatch, least):
    """Everything that a reader has of a run, read with blocks from so many bytes on."""
    monkeypatch.setattr(blocks, "_LEAST", least)
    run = Reader(folder)
    news = run.poll()
    numbers = {name: values.tobytes() for name, values in run.columns("layers").items()}
    lists = {name: (values.shape, values.tobytes()) for name, values in run.lists("layers").items()}
    return news, numbers, lists, run.table("layers").to_json(), list(run.table("layers").dtypes.items())


@pytest.mark.parametrize("odd", [0.0, 0.01, 0.1])
def test_a_block_of_lines_gives_what_one_row_after_the_other_gives(tmp_path, monkeypatch, odd):
    monkeypatch.setattr(reader, "_BLOCK", 1000)
    taken = []
    monkeypatch.setattr(reader, "as_block", lambda lines: taken.append(blocks.as_block(lines)) or taken[-1])
    for seed in range(40):
        folder = tmp_path / str(seed)
        Writer(folder, {"config": {}, "layers": ["a", "b"]}).close()
        (folder / "layers.jsonl").write_text("\n".join(rows(random.Random(f"{seed} {odd}"), odd)) + "\n")
        at_once = seen(folder, monkeypatch, 0)
        assert at_once == seen(folder, monkeypatch, 10**9), seed
    assert sum(block is not None for block in taken) > 20


def test_a_line_that_is_longer_than_a_block_is_one_row(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_BLOCK", 100)
    with Writer(tmp_path, {"config": {}, "layers": []}) as writer:
        for step in (1, 2):
            writer.append("events", {"step": step, "event": "x" * 1000 * step})
    run = Reader(tmp_path)
    assert run.poll()["events"] == 2
    assert run.table("events")["event"].str.len().tolist() == [1000, 2000]


def test_a_poll_with_a_time_limit_leaves_the_rest_for_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_BLOCK", 100)
    with Writer(tmp_path, {"config": {}, "layers": []}) as writer:
        for step in range(100):
            writer.append("steps", {"step": step, "loss": 1.0})
    run, polls = Reader(tmp_path), 1
    assert 0 < run.poll(time_limit_s=0)["steps"] < 100
    while run.is_behind:
        run.poll(time_limit_s=0)
        polls += 1
    assert 10 < polls < 100
    assert run.columns("steps")["step"].tolist() == list(range(100))


MEASURE = """
import os, sys, resource
import pyarrow.json, pandas
from lrexplore.records import Reader
run = Reader(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run.poll()
run.table("steps")
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_reading_a_record_takes_less_than_twice_its_size(tmp_path):
    Writer(tmp_path, {"config": {}, "layers": []}).close()
    line = (
        '{"step":%d,"epoch":%d,"wall_s":%.6f,"loss":%.16f,"top1":50.25,"top5":90.5,"lr":0.1,"images_per_s":512.123}\n'
    )
    with open(tmp_path / "steps.jsonl", "w") as file:
        file.writelines(line % (step, step // 400, step / 4, 2 / (1 + step)) for step in range(400_000))
    size = (tmp_path / "steps.jsonl").stat().st_size
    taken = int(subprocess.run([sys.executable, "-c", MEASURE, tmp_path], capture_output=True, check=True).stdout)
    assert taken < 2 * size
