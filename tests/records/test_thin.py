import json

import numpy as np
import pytest

from lrexplore.records import Reader, Run, Writer, read, runs
from lrexplore.records.thin import main, thin


def write_run(folder, *, num_steps=20, finished=True):
    command = f"{folder}/train/__main__.py resnet20 --runs {folder.parent} --name {folder.name} --seed 1"
    command += f" --plan {folder.parent}/plan.json"
    description = {
        "name": folder.name, "layers": ["conv1", "conv2"],
        "config": {"model": "resnet20", "seed": 1, "runs": str(folder.parent), "name": folder.name, "norms_from": None,
                   "plan": f"{folder.parent}/plan.json"},
        "environment": {"command": command, "system": "Linux-6.1-x86", "device_name": "a CPU"},
    }  # fmt: skip
    with Writer(folder, description) as writer:
        for step in range(1, num_steps + 1):
            writer.append("steps", {"step": step, "epoch": 1, "loss": step / 3, "lr": 1 / step})
            writer.append("layers", {"step": step, "epoch": 1, "lr": 0.1, "nuclear_norm": [step / 7, step / 9]})
        writer.append("epochs", {"step": num_steps, "epoch": 1, "held_out_top1": 90.123456789})
        writer.append("epochs", {"step": num_steps, "epoch": 1, "test_top1": 89.0})
        if finished:
            writer.finish()
        writer.status("done" if finished else "stopped", step=num_steps, num_steps=num_steps, loss=1 / 3)
    return folder


def test_a_row_is_the_mean_of_its_steps_and_the_last_window_may_be_short(tmp_path):
    thin(write_run(tmp_path / "run"), tmp_path / "small" / "run", steps=8)
    table = read(tmp_path / "small" / "run", "steps")
    losses = np.arange(1, 21) / 3
    windows = [losses[:8].mean(), losses[8:16].mean(), losses[16:].mean()]
    assert table["step"].tolist() == [8, 16, 20]
    assert table["loss"].tolist() == pytest.approx(windows, rel=1e-5)
    assert table["lr"].tolist() == pytest.approx([1 / 8, 1 / 16, 1 / 20], rel=1e-5)


def test_the_first_and_the_last_measurement_of_the_layers_stay(tmp_path):
    thin(write_run(tmp_path / "run"), tmp_path / "small", layers=6)
    table = read(tmp_path / "small", "layers")
    assert table["step"].tolist() == [1, 1, 7, 7, 13, 13, 19, 19, 20, 20]
    assert table["layer"].tolist() == ["conv1", "conv2"] * 5
    assert table["nuclear_norm"].iloc[-1] == pytest.approx(20 / 9, rel=1e-5)


def test_a_small_copy_is_a_run_like_any_other(tmp_path):
    thin(write_run(tmp_path / "runs" / "run"), tmp_path / "small" / "other")
    assert runs(tmp_path / "small")["run"].tolist() == ["other"]
    assert Run(tmp_path / "small" / "other").status["state"] == "done"
    reader = Reader(tmp_path / "small" / "other")
    reader.poll()
    assert reader.columns("epochs")["held_out_top1"][0] == pytest.approx(90.1235)
    assert np.isnan(reader.columns("epochs")["held_out_top1"][1])


def test_nothing_of_the_machine_it_ran_on_is_left(tmp_path):
    thin(write_run(tmp_path / "run"), tmp_path / "small" / "other")
    for path in (tmp_path / "small" / "other").iterdir():
        assert str(tmp_path) not in path.read_text()
    described = json.loads((tmp_path / "small" / "other" / "run.json").read_text())
    made = "lrexplore train resnet20 --runs runs --name other --seed 1 --plan plan.json"
    assert described["environment"]["command"] == made
    assert described["environment"]["system"] == "Linux"


def test_the_command_of_a_run_that_lrexplore_train_started_says_train_once(tmp_path):
    folder = write_run(tmp_path / "run")
    path = folder / "run.json"
    path.write_text(path.read_text().replace("__main__.py resnet20", "__main__.py train resnet20"))
    thin(folder, tmp_path / "small" / "other")
    command = json.loads((tmp_path / "small" / "other" / "run.json").read_text())["environment"]["command"]
    assert command.startswith("lrexplore train resnet20 ")


def test_a_run_that_is_not_done_is_left_out_and_named(tmp_path, capsys):
    write_run(tmp_path / "runs" / "whole")
    write_run(tmp_path / "runs" / "half", finished=False)
    assert main([str(tmp_path / "runs"), str(tmp_path / "small"), "--prefix", "a-"]) == 0
    assert [folder.name for folder in (tmp_path / "small").iterdir()] == ["a-whole"]
    assert "half: left out: `source` must be a run that is done" in capsys.readouterr().out


def test_spectra_stay_whole(tmp_path):
    folder = tmp_path / "run"
    write_run(folder, finished=False)
    values = {"num_values": [2, 3], "values": [3.0, 1.0, 5.0, 2.0, 1.0], "stable_rank": [1.1, 1.2]}
    with Writer(folder, {}) as writer:
        writer.append("spectra", {"step": 20, "epoch": 1, **values})
        writer.finish()
        writer.status("done", step=20, num_steps=20)
    thin(folder, tmp_path / "small")
    reader = Run(tmp_path / "small").records
    assert [{name: list(row[name]) for name in values} for row in reader.rows("spectra")] == [values]
