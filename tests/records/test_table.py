import json

import pytest

from lrexplore.records import Writer, read, runs


def make_run(folder, seed, decay="weight", state="done", finish=True):
    config = {"model": "resnet20", "seed": seed, "decay": decay, "rank_scale": 0.1}
    with Writer(folder, {"name": folder.name, "config": config, "layers": ["a"]}) as writer:
        for step in (1, 2):
            writer.append("steps", {"step": step, "loss": seed / step})
        writer.append("epochs", {"step": 2, "epoch": 1, "top1": 80.0 + seed})
        writer.status(state, step=2, top1=80.0 + seed)
        if finish:
            writer.finish()


def test_every_run_is_a_row_with_its_state_choices_and_latest_metrics(tmp_path):
    make_run(tmp_path / "b", seed=1)
    make_run(tmp_path / "a", seed=2, decay="frobenius", state="running", finish=False)
    (tmp_path / "no run").mkdir()
    table = runs(tmp_path)
    assert table["run"].tolist() == ["a", "b"]
    assert table["state"].tolist() == ["running", "done"]
    assert table["decay"].tolist() == ["frobenius", "weight"]
    assert table["top1"].tolist() == [82, 81]


def test_a_run_that_cannot_be_read_is_a_row_that_says_why(tmp_path):
    make_run(tmp_path / "good", seed=1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text('{"version": 1')
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "run.json").write_text(json.dumps({"version": 2}))
    table = runs(tmp_path).set_index("run")
    assert table["state"].to_dict() == {"bad": "unreadable", "good": "done", "late": "unreadable"}
    assert "Update lrexplore" in table["message"]["late"]


def test_an_empty_folder_gives_an_empty_table_and_a_missing_one_an_error(tmp_path):
    assert len(runs(tmp_path)) == 0
    with pytest.raises(FileNotFoundError, match="must be a folder of runs"):
        runs(tmp_path / "missing")


def test_the_rows_of_many_runs_come_as_one_table_live_or_finished(tmp_path):
    make_run(tmp_path / "a", seed=1)
    make_run(tmp_path / "b", seed=2, finish=False)
    table = read(tmp_path, "steps")
    assert table["run"].tolist() == ["a", "a", "b", "b"]
    assert table["seed"].tolist() == [1, 1, 2, 2]
    assert table["loss"].tolist() == [1, 0.5, 2, 1]
    assert read([tmp_path / "b"])["top1"].tolist() == [82]


def test_lines_written_after_the_parquet_file_win(tmp_path):
    make_run(tmp_path / "a", seed=1)
    with Writer(tmp_path / "a", {}) as writer:
        writer.append("steps", {"step": 3, "loss": 9.0})
    assert read(tmp_path, "steps")["loss"].tolist() == [1, 0.5, 9]


def test_an_unknown_stream_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`stream` must be one of steps"):
        read(tmp_path, "batches")
