import multiprocessing
import os
import random
import signal

import pytest
import torch
from training.runs import StopAfter, numbers, same_weights, tiny

from lrexplore.records import Reader, Run
from lrexplore.training.run import run
from lrexplore.training.saved_state import load_checkpoint

_KILLS_OF_CHANGING_RUN = 4  # 20 pass too, and take minutes


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    config = tiny(tmp_path_factory.mktemp("reference"), "whole")
    assert run(config) == "done"
    return config


def test_the_same_choices_give_the_same_numbers(reference, tmp_path):
    again = tiny(tmp_path, "again")
    run(again)
    assert numbers(again) == numbers(reference)
    assert same_weights(again, reference)


def test_another_seed_gives_other_numbers(reference, tmp_path):
    other = tiny(tmp_path, "other", seed=1, steps=2)
    run(other)
    assert numbers(other)["steps"][0]["loss"] != numbers(reference)["steps"][0]["loss"]


@pytest.mark.parametrize("questions", [0, 2, 3, 4, 7])
def test_a_run_stopped_at_a_step_or_in_an_evaluation_goes_on_with_the_same_numbers(reference, tmp_path, questions):
    config = tiny(tmp_path, "stopped")
    assert run(config, should_stop=StopAfter(questions)) == "stopped"
    assert Run(tmp_path / "stopped").status["state"] == "stopped"
    assert run(config) == "done"
    assert numbers(config) == numbers(reference)
    assert same_weights(config, reference)


def test_a_run_goes_on_with_the_threads_that_it_began_with(tmp_path):
    whole, parts = tiny(tmp_path, "whole"), tiny(tmp_path, "parts")
    torch.set_num_threads(2)
    try:
        run(whole)
        assert run(parts, should_stop=StopAfter(3)) == "stopped"
        torch.set_num_threads(1)
        assert run(parts) == "done"
        assert torch.get_num_threads() == 2
        assert numbers(parts) == numbers(whole)
        assert same_weights(parts, whole)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    "choices",
    [
        {"model": "efficientnet_small", "optimizer": "adamw", "lr": 1e-3, "clip_norm": 1.0},
        {"model": "mobilenet_v3_small", "rank_scale": None, "channels_last": True, "label_smoothing": 0.1},
        {"precision": "bf16", "micro_batch_size": 8, "decay": "weight"},
        {"precision": "16", "micro_batch_size": 4},
        {"ema": 0.7},
    ],
    ids=["adamw", "dropout and channels last", "bf16 and micro-batches", "fp16 and its loss scale", "average"],
)
def test_optimizer_dropout_precision_and_loss_scale_go_on_where_they_were(tmp_path, choices):
    choices = {"steps": 3, "num_images": 16, "batch_size": 8, "norms_steps": 9, **choices}
    whole, parts = tiny(tmp_path, "a", **choices), tiny(tmp_path, "b", **choices)
    run(whole)
    assert run(parts, should_stop=StopAfter(1)) == "stopped"
    assert run(parts) == "done"
    assert numbers(parts) == numbers(whole)
    assert same_weights(parts, whole)


def test_a_finished_run_is_left_alone(reference):
    before = numbers(reference)
    assert run(reference) == "done"
    assert numbers(reference) == before


def test_twenty_kills_at_random_moments_change_no_number_and_lose_no_record(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lrexplore.training.run"])
    whole = tiny(tmp_path, "whole", steps=40)
    process = context.Process(target=run, args=(whole,))
    process.start()
    process.join()
    draws, kills, finished = random.Random(0), 0, 0
    while kills < 20:
        config = tiny(tmp_path, f"killed-{finished}", steps=40)
        process = context.Process(target=run, args=(config,))
        process.start()
        process.join(draws.uniform(0.0, 1.0))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        finished += process.exitcode == 0
    last = tiny(tmp_path, f"killed-{finished}", steps=40)
    process = context.Process(target=run, args=(last,))
    process.start()
    process.join()
    assert process.exitcode == 0
    for number in range(finished + 1):
        config = tiny(tmp_path, f"killed-{number}", steps=40)
        assert numbers(config) == numbers(whole)
        assert same_weights(config, whole)


def test_a_killed_run_shows_as_interrupted_until_it_goes_on(tmp_path):
    context = multiprocessing.get_context("forkserver")
    config = tiny(tmp_path, "killed", steps=10_000)
    process = context.Process(target=run, args=(config,))
    process.start()
    reader = Reader(tmp_path / "killed")
    while len(reader.columns("steps").get("step", ())) < 3:
        reader.poll()
        process.join(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert Run(tmp_path / "killed").status["state"] == "interrupted"


def test_a_resumed_run_must_say_the_same_as_the_recorded_one(reference):
    other = tiny(reference.runs, reference.name, lr=0.2)
    with pytest.raises(ValueError, match="`lr` must be 0.1 to resume the run whole, got 0.2"):
        run(other)


def test_a_name_that_is_taken_is_refused_without_resume(reference):
    with pytest.raises(ValueError, match="`name` must be new.*--resume"):
        run(tiny(reference.runs, reference.name, resume=False))


def test_runs_without_a_name_get_one_from_their_choices_and_never_share_it(tmp_path):
    for _ in range(2):
        run(tiny(tmp_path, None, resume=False, steps=1))
    base = "resnet20-spectral-0.2-frobenius-seed0"
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [base, f"{base}-2"]


def test_a_checkpoint_that_cannot_be_read_is_an_error_with_the_way_out(tmp_path):
    config = tiny(tmp_path, "broken")
    run(config, should_stop=StopAfter(0))
    (tmp_path / "broken" / "checkpoint.pt").write_bytes(b"garbage")
    with pytest.raises(ValueError, match="must be a checkpoint of this run.*Remove it to start anew"):
        run(config)


def test_a_run_that_is_done_says_so_and_changes_nothing(tmp_path, capsys):
    config = tiny(tmp_path, "a", steps=1, resume=True)
    assert run(config) == "done"
    before = (tmp_path / "a" / "steps.jsonl").read_bytes()
    capsys.readouterr()
    assert run(config) == "done"
    assert capsys.readouterr().out.startswith("a: done before.")
    assert (tmp_path / "a" / "steps.jsonl").read_bytes() == before


def test_kills_at_random_moments_change_no_number_of_a_run_whose_ranks_change(tmp_path):
    choices = {
        "rank_change": "cuttlefish", "rank_scale": None, "scheme": "spatial", "lr": 0.3, "rank_warmup": 0.3,
        "rank_tolerance": 0.1, "rank_change_steps": 4, "steps": 24, "optimizer": "sgd",
    }  # fmt: skip
    whole = tiny(tmp_path, "whole", **choices)
    _process(whole, None)
    draws, kills, finished = random.Random(0), 0, 0
    while kills < _KILLS_OF_CHANGING_RUN:
        code = _process(tiny(tmp_path, f"killed-{finished}", **choices), draws.uniform(0.0, 6.0))
        kills += code == -signal.SIGKILL
        finished += code == 0
    assert _process(tiny(tmp_path, f"killed-{finished}", **choices), None) == 0
    changed = Run(tmp_path / "whole").rank_changes()
    assert len(set(changed["step"])) > 1 and changed["old_rank"].isna().any() and changed["old_rank"].notna().any()
    for number in range(finished + 1):
        config = tiny(tmp_path, f"killed-{number}", **choices)
        assert numbers(config) == numbers(whole)
        assert same_weights(config, whole)
        assert Run(tmp_path / config.name).rank_changes().equals(changed)


def _process(config, time_limit_s):
    """Trains in a process that is killed after so many seconds; its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lrexplore.training.run"])
    process = context.Process(target=run, args=(config,))
    process.start()
    process.join(time_limit_s)
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_in_the_place_of_a_checkpoint_keeps_nobody_waiting(tmp_path, make):
    make(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="`checkpoint.pt` must be a file that can be read, got a (folder|pipe)"):
        load_checkpoint(tmp_path, torch.device("cpu"))
