import threading
from pathlib import Path

import pytest
import torch
from training.runs import numbers, tiny

from lrexplore.records import runs
from lrexplore.training import sweep as sweep_module
from lrexplore.training.run import run
from lrexplore.training.sweep import grid, main, sweep


def choices(folder, **more):
    config = tiny(folder, None)
    options = {key: value for key, value in config.as_dict().items() if value is not None and key != "resume"}
    return {**options, "milestones": config.milestones, **more}


def test_a_grid_is_every_combination_with_a_name_of_its_own(tmp_path):
    configs = grid(
        **choices(tmp_path, initializer=["spectral", "independent"], seed=[0, 1, 2], decay=["weight", "frobenius"],
                  decay_strength=[1e-4, 1e-3])
    )  # fmt: skip
    assert len(configs) == len({config.name for config in configs}) == 24
    assert {config.initializer for config in configs} == {"spectral", "independent"}
    assert all(config.resume for config in configs)


def test_a_grid_of_choices_that_make_no_sense_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="`initializer` must be one of"):
        grid(**choices(tmp_path, initializer=["spectral", "best"]))


def test_an_unknown_network_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="got 'resnet2'. Nearest: .*resnet20"):
        grid(**choices(tmp_path, model=["resnet20", "resnet2"]))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--jobs", "0", "`jobs` must be at least 1, got 0"), ("--seed", "0,x", "must be whole numbers with commas"),
     ("--lr", "0.1;0.2", "must be numbers with commas between them, got '0.1;0.2'")],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused_in_words(tmp_path, option, value, message, capsys):
    arguments = ["resnet20", "--steps", "1", "--runs", str(tmp_path), option, value]
    if option == "--jobs":
        assert main(arguments) == 1
    else:
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_normalized_runs_come_after_the_frobenius_runs_whose_norms_they_keep(tmp_path):
    configs = grid(**choices(tmp_path, decay=["normalized"], seed=[0, 1]))
    assert [config.decay for config in configs] == ["frobenius", "frobenius", "normalized", "normalized"]
    assert [config.record_norms for config in configs] == [True, True, False, False]
    for first, second in zip(configs[:2], configs[2:], strict=True):
        assert second.norms_from == str(Path(first.runs, first.name)) and first.seed == second.seed


def test_normalized_runs_have_the_norms_of_the_frobenius_run_without_its_decay(tmp_path):
    configs = grid(**choices(tmp_path, decay=["none", "frobenius", "normalized"], decay_strength=0.5))
    for config in configs:
        run(config)
    norms = {config.decay: [row["frobenius_norm"] for row in numbers(config)["layers"]] for config in configs}
    assert norms["normalized"] == pytest.approx(norms["frobenius"], rel=1e-4)
    assert norms["none"][-1] > 1.01 * norms["frobenius"][-1]
    losses = {config.decay: [row["loss"] for row in numbers(config)["steps"]] for config in configs}
    assert losses["none"][0] == losses["frobenius"][0] == losses["normalized"][0]
    assert losses["none"][-1] != losses["frobenius"][-1] != losses["normalized"][-1]


def test_a_normalized_run_needs_recorded_norms(tmp_path):
    config = tiny(tmp_path, "plain", steps=1)
    run(config)
    with pytest.raises(ValueError, match="`norms_from` must be a run that recorded its norms"):
        run(tiny(tmp_path, "b", decay="normalized", norms_from=str(tmp_path / "plain")))


def test_a_sweep_skips_what_is_done_and_names_what_failed(tmp_path, capsys):
    done, broken = tiny(tmp_path, "done", steps=1), tiny(tmp_path, "broken", batch_size=999)
    run(done)
    said = []
    assert sweep([done, broken], jobs=2, say=said.append) == ["broken"]
    assert said[0] == "done: done before"
    assert "broken: failed: lrexplore train: `batch_size` must be at most" in said[1]


def test_the_command_trains_the_grid_and_a_second_time_nothing(tmp_path, capsys):
    config = tiny(tmp_path, None, steps=1)
    arguments = [
        "resnet20", "--data", config.data, "--image-size", "16", "--num-images", "48", "--batch-size", "16",
        "--steps", "1", "--initializer", "spectral", "--rank-scale", "0.2", "--workers", "0",
        "--runs", str(tmp_path), "--jobs", "2", "--device", "cpu",
    ]  # fmt: skip
    assert main(arguments) == 0
    assert runs(tmp_path)["state"].tolist() == ["done"]
    before = (tmp_path / runs(tmp_path)["run"][0] / "steps.jsonl").read_bytes()
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("done before") == 1
    assert (tmp_path / runs(tmp_path)["run"][0] / "steps.jsonl").read_bytes() == before


def test_rays_workers_train_the_runs_that_they_are_given(tmp_path):
    ray = pytest.importorskip("ray", reason="needs the extra `ray`")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        assert sweep([tiny(tmp_path, "a", steps=1)], cluster="ray") == []
    finally:
        ray.shutdown()
    assert runs(tmp_path)["state"].tolist() == ["done"]


@pytest.mark.parametrize(
    ("visible", "count", "jobs"), [("5,7", 2, 4), (None, 3, 2), ("GPU-a,GPU-b,9", 2, 3), ("", 0, 2)]
)
def test_every_run_of_a_sweep_has_a_gpu_for_itself_of_those_that_are_visible(
    tmp_path, monkeypatch, visible, count, jobs
):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    lock, busy, used = threading.Lock(), [], []
    together = threading.Barrier(min(jobs, count) or jobs)

    def trained(config, environment):
        gpu = environment.get("CUDA_VISIBLE_DEVICES")
        with lock:
            assert gpu is None or gpu not in busy
            busy.append(gpu), used.append(gpu)
        together.wait(60)
        with lock:
            busy.remove(gpu)
        return 0

    monkeypatch.setattr(sweep_module, "_logged", trained)
    number = 2 * (min(jobs, count) or jobs)
    configs = [tiny(tmp_path, f"run-{k}", device="auto") for k in range(number)]
    assert sweep(configs, jobs=jobs, say=lambda words: None) == []
    names = {None} if not count else set((visible or "0,1,2").split(",")[:count])
    assert set(used) <= names and len(set(used)) >= (min(jobs, count) or 1)
