"""What is checked before a run is checked again under its lock, and what a run must find before it starts."""

import threading

import pytest
from training.runs import numbers, tiny
from training.test_processes import two_processes

from lrexplore.records import Run
from lrexplore.training import run as run_module
from lrexplore.training.run import run


@pytest.mark.parametrize("resume", [False, True])
def test_of_two_that_start_one_name_at_once_the_one_that_waited_is_refused(tmp_path, monkeypatch, resume):
    checked, go_on = threading.Event(), threading.Event()
    data_of, waiting = run_module.data_of, iter([True, False])

    def paused(config):
        if next(waiting):
            checked.set()
            assert go_on.wait(60)
        return data_of(config)

    monkeypatch.setattr(run_module, "data_of", paused)
    config = tiny(tmp_path, "a", steps=1, resume=resume)
    errors = []

    def late():
        try:
            run(config)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=late)
    thread.start()
    assert checked.wait(60)
    assert run(config) == "done"
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    go_on.set()
    thread.join(60)
    assert len(errors) == 1 and "`name` must be new" in errors[0] and "has begun meanwhile" in errors[0]
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


def test_the_folder_of_a_run_that_got_its_name_by_itself_goes_when_it_does_not_begin(tmp_path):
    with pytest.raises(FileNotFoundError):
        run(tiny(tmp_path, None, resume=False, data=str(tmp_path / "none")))
    assert not list(tmp_path.iterdir())


def test_norms_of_a_shorter_run_are_refused_before_the_first_step(tmp_path):
    run(tiny(tmp_path, "short", steps=2, record_norms=True))
    config = tiny(tmp_path, "kept", steps=3, decay="normalized", norms_from=str(tmp_path / "short"))
    with pytest.raises(ValueError, match="`norms_from` must be a run with the norms of .* after each of 3 steps, got"):
        run(config)
    assert not (tmp_path / "kept" / "run.json").exists()


@pytest.mark.parametrize("ema", [None, 0.7])
def test_when_checkpoints_are_saved_changes_no_bit_of_two_processes(tmp_path, ema):
    often, never = (
        tiny(tmp_path, name, micro_batch_size=8, checkpoint_steps=steps, ema=ema)
        for name, steps in (("often", 1), ("never", 100))
    )
    two_processes(often), two_processes(never)
    assert numbers(often) == numbers(never)
    assert Run(tmp_path / "often").status["state"] == "done"


def test_a_batch_of_broken_images_is_left_out_and_the_run_goes_on(tmp_path):
    from training.runs import write_images

    folder = write_images(tmp_path / "images")
    config = tiny(tmp_path, "a", steps=3, num_images=None, batch_size=18, micro_batch_size=1, record_norms=False)
    for path in list((folder / "train" / "dark").iterdir())[:20]:
        path.write_bytes(b"no image")
    assert run(config) == "done"
    assert len(Run(tmp_path / "a").records.table("events")) > 0
    for path in (folder / "train").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="`data` must hold images that can be read, got none at step 1"):
        run(tiny(tmp_path, "b", steps=3, num_images=None, batch_size=18))
