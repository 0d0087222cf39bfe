import errno
import json
import multiprocessing
import os
import resource
import signal

import pandas as pd
import pytest

from lrexplore.records import Reader, Writer
from lrexplore.records.layout import write_json


def writer_of(folder, **options):
    return Writer(folder, {"name": "run", "config": {"seed": 3}, "layers": ["a"]}, **options)


def test_a_run_has_one_writer(tmp_path):
    with writer_of(tmp_path), pytest.raises(BlockingIOError, match="one writer.*another name"):
        writer_of(tmp_path)
    writer_of(tmp_path).close()


@pytest.mark.parametrize("make", ["mkdir", "mkfifo"])
@pytest.mark.parametrize("name", ["lock", "steps.jsonl"])
def test_what_is_no_file_in_the_place_of_one_is_named_at_once(tmp_path, make, name):
    getattr(os, make)(tmp_path / name)
    with pytest.raises(ValueError, match=f"`{name}` must be a file that can be written, got .* Remove it to go on"):
        writer_of(tmp_path)


def test_the_description_is_written_once(tmp_path):
    writer_of(tmp_path).close()
    first = (tmp_path / "run.json").read_bytes()
    Writer(tmp_path, {"config": "another"}).close()
    assert (tmp_path / "run.json").read_bytes() == first
    assert json.loads(first)["config"] == {"seed": 3}


def _write_until_killed(folder):
    with writer_of(folder) as writer:
        step = 0
        while True:
            writer.append("steps", {"step": step, "loss": step / 3})
            step += 1


def test_a_killed_writer_leaves_whole_lines_without_gaps(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_write_until_killed, args=(tmp_path,))
    process.start()
    reader = Reader(tmp_path)
    while len(reader.columns("steps").get("step", ())) < 500:
        reader.poll()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    seen = reader.columns("steps")["step"].tolist()
    reader.poll()
    steps = reader.columns("steps")["step"].tolist()
    assert steps == list(range(len(steps))) and steps[: len(seen)] == seen


def test_parquet_holds_what_the_lines_hold(tmp_path):
    with writer_of(tmp_path) as writer:
        writer.append("steps", {"step": 1, "epoch": 1, "loss": 0.1})
        writer.append("layers", {"step": 1, "frobenius_norm": [2.0]})
        writer.append("events", {"step": 1, "event": "corrupt image", "path": "a.png"})
        writer.finish()
    reader = Reader(tmp_path)
    reader.poll()
    assert len(pd.read_parquet(tmp_path / "epochs.parquet")) == 0
    for stream in ("steps", "layers", "events"):
        found = pd.read_parquet(tmp_path / f"{stream}.parquet")
        pd.testing.assert_frame_equal(found, reader.table(stream), check_dtype=False)


def test_the_status_is_replaced_whole_and_keeps_what_was_said_before(tmp_path):
    with writer_of(tmp_path) as writer:
        writer.status("running", step=1, num_steps=5)
        writer.status("running", step=2, loss=float("nan"))
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["step"], status["num_steps"], status["loss"]) == ("running", 2, 5, None)
    assert status["pid"] == os.getpid()


def _fill(folder, results):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with writer_of(folder) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            for step in range(1000):
                writer.append("steps", {"step": step})
        except OSError as error:
            results.put((error.errno, step))


def test_a_full_disk_is_an_error_that_loses_no_earlier_record(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=_fill, args=(tmp_path, results))
    process.start()
    process.join()
    code, step = results.get()
    assert code == errno.EFBIG
    reader = Reader(tmp_path)
    reader.poll()
    assert reader.columns("steps")["step"].tolist() == list(range(step))
    with writer_of(tmp_path) as writer:
        writer.append("steps", {"step": step})
    reader.poll()
    assert reader.columns("steps")["step"].tolist() == list(range(step + 1))


def test_a_small_file_stays_as_it_was_when_its_replacement_fails(tmp_path):
    path = tmp_path / "status.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


def test_metrics_are_written_for_tensorboard_when_asked(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with writer_of(tmp_path, tensorboard=True) as writer:
        writer.append("steps", {"step": 7, "epoch": 1, "loss": 0.5})
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("steps/loss")] == [(7, 0.5)]
