import os
from pathlib import Path

import numpy as np
import pytest

from lrexplore.records import Reader, Writer


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "run"


def writer_of(folder, **description):
    return Writer(folder, {"name": folder.name, "config": {}, "layers": ["a", "b"], **description})


def steps(reader):
    reader.poll()
    return reader.columns("steps").get("step", np.array([])).tolist()


def test_a_reader_sees_every_line_while_the_run_is_written(folder):
    reader = Reader(folder)
    assert reader.poll()["steps"] == 0 and reader.description == {}
    with writer_of(folder) as writer:
        for step in range(1, 4):
            writer.append("steps", {"step": step, "loss": 1 / step})
            assert reader.poll()["steps"] == 1
    assert reader.columns("steps")["loss"].tolist() == [1, 1 / 2, 1 / 3]
    assert reader.since("steps", 2)["loss"].tolist() == [1 / 3]
    assert reader.description["layers"] == ["a", "b"]


def test_numbers_of_every_layer_come_as_one_table_a_column_from_any_row_on(folder):
    with writer_of(folder) as writer:
        writer.append("layers", {"step": 1, "norm": [1.0, 2.0]})
        writer.append("layers", {"step": 2, "norm": [3.0, float("nan")]})
    reader = Reader(folder)
    reader.poll()
    assert reader.lists("layers").keys() == {"norm"}
    np.testing.assert_array_equal(reader.lists("layers")["norm"], [[1, 2], [3, np.nan]])
    np.testing.assert_array_equal(reader.lists("layers", 1)["norm"], [[3, np.nan]])
    assert reader.lists("layers", 2) == reader.lists("steps") == {}


def test_a_torn_last_line_is_left_until_it_is_whole(folder):
    with writer_of(folder) as writer:
        writer.append("steps", {"step": 1})
    reader = Reader(folder)
    with open(folder / "steps.jsonl", "ab", buffering=0) as file:
        file.write(b'{"step":2,"lo')
        assert steps(reader) == [1]
        file.write(b'ss":0.5}\n')
        assert steps(reader) == [1, 2]


def test_a_torn_last_line_is_cut_when_the_run_goes_on_and_no_whole_line_is_lost(folder):
    with writer_of(folder) as writer:
        writer.append("steps", {"step": 1})
    with open(folder / "steps.jsonl", "ab") as file:
        file.write(b'{"step":2,"lo')
    reader = Reader(folder)
    assert steps(reader) == [1]
    with writer_of(folder) as writer:
        writer.append("steps", {"step": 2})
    assert steps(reader) == steps(Reader(folder)) == [1, 2]


def test_a_line_that_is_no_row_is_passed_over(folder):
    with writer_of(folder) as writer:
        writer.append("steps", {"step": 1})
        with open(folder / "steps.jsonl", "ab") as file:
            file.write(b'\x00\x00garbage\n[1]\n"text"\n')
        writer.append("steps", {"step": 2})
    assert steps(Reader(folder)) == [1, 2]


def test_a_resume_voids_later_rows_for_old_and_new_readers(folder):
    follower = Reader(folder)
    with writer_of(folder) as writer:
        for step in range(1, 8):
            writer.append("steps", {"step": step, "loss": 0.0, "note": "first"})
        follower.poll()
        writer.resume({"steps": 4})
        writer.append("steps", {"step": 5, "loss": 1.0, "note": "second"})
    assert follower.poll()["steps"] == -1
    for reader in (follower, Reader(folder)):
        assert steps(reader) == [1, 2, 3, 4, 5]
        assert reader.columns("steps")["loss"].tolist() == [0, 0, 0, 0, 1]
        assert reader.table("steps")["note"].tolist() == ["first"] * 4 + ["second"]


def test_a_resume_without_later_rows_asks_for_no_new_drawing(folder):
    with writer_of(folder) as writer:
        writer.append("steps", {"step": 1})
        writer.resume({"steps": 1})
    assert Reader(folder).poll()["steps"] == 1


def test_columns_that_come_late_or_miss_a_row_are_nan_there(folder):
    with writer_of(folder) as writer:
        writer.append("epochs", {"step": 1, "loss": 0.5})
        writer.append("epochs", {"step": 2, "top1": 90.0})
        writer.append("epochs", {"step": 3, "loss": float("nan"), "top1": float("inf")})
    reader = Reader(folder)
    reader.poll()
    np.testing.assert_array_equal(reader.columns("epochs")["loss"], [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(reader.columns("epochs")["top1"], [np.nan, 90, np.nan])


def test_the_table_of_layers_has_one_row_a_measurement_and_layer(folder):
    with writer_of(folder) as writer:
        writer.append("layers", {"step": 1, "lr": 0.1, "frobenius_norm": [1.0, 2.0], "nuclear_norm": [3.0, None]})
        writer.append("layers", {"step": 2, "lr": 0.1, "frobenius_norm": [4.0, 5.0], "nuclear_norm": [6.0, 7.0]})
    reader = Reader(folder)
    reader.poll()
    table = reader.table("layers")
    assert table["layer"].tolist() == ["a", "b", "a", "b"]
    assert table["frobenius_norm"].tolist() == [1, 2, 4, 5]
    assert table["step"].tolist() == [1, 1, 2, 2]
    assert table["nuclear_norm"].isna().tolist() == [False, True, False, False]


def test_records_of_a_later_version_are_refused_with_the_way_out(folder):
    folder.mkdir()
    (folder / "run.json").write_text('{"version": 99}')
    with pytest.raises(ValueError, match="version 1 or older, got version 99. Update lrexplore"):
        _ = Reader(folder).description


def test_a_poll_reads_only_new_bytes(folder, monkeypatch):
    with writer_of(folder) as writer:
        for step in range(1000):
            writer.append("steps", {"step": step, "loss": 0.0})
        reader = Reader(folder)
        reader.poll()
        size = os.path.getsize(folder / "steps.jsonl")
        assert reader._streams["steps"].offset == size
        writer.append("steps", {"step": 1000})
        assert reader.poll()["steps"] == 1
        assert reader.columns("steps")["step"][-1] == 1000
