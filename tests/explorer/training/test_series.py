"""The numbers of one run, followed and turned into lines."""

import numpy as np
import pytest
from explorer.recorded import CONFIG, LAYERS, append_steps, record

from lrexplore.explorer.training.series import RunSeries
from lrexplore.records import Writer, read


def followed(folder):
    series = RunSeries(folder)
    series.poll()
    return series


def test_a_line_has_the_recorded_numbers_at_their_steps(tmp_path):
    x, y = followed(record(tmp_path / "a")).line("steps", "loss", "step")
    expected = read(tmp_path / "a", "steps")
    np.testing.assert_array_equal(x, expected["step"])
    np.testing.assert_array_equal(y, expected["loss"])


def test_an_epoch_counts_its_fractions_and_ends_with_its_number(tmp_path):
    series = followed(record(tmp_path / "a"))
    x, _ = series.line("steps", "loss", "epoch")
    np.testing.assert_allclose(x, np.arange(1, 21) / 10)
    np.testing.assert_array_equal(series.line("epochs", "held_out_top1", "epoch")[0], [1, 2])


def test_before_the_first_epoch_is_over_its_length_is_taken_as_told(tmp_path):
    with Writer(tmp_path / "a", {"name": "a", "config": CONFIG, "layers": LAYERS}) as writer:
        append_steps(writer, range(1, 6))
    series = followed(tmp_path / "a")
    np.testing.assert_allclose(series.line("steps", "loss", "epoch", 20)[0], np.arange(1, 6) / 20)
    np.testing.assert_array_equal(series.line("steps", "loss", "epoch")[0], 1)


def test_records_of_which_few_steps_were_kept_count_the_same_epochs(tmp_path):
    with Writer(tmp_path / "a", {"name": "a", "config": CONFIG, "layers": LAYERS}) as writer:
        for step in (4, 8, 12, 16, 20):
            writer.append("steps", {"step": step, "epoch": 1 + (step > 10), "loss": 1.0})
        unfinished = followed(tmp_path / "a")
        assert unfinished.line("steps", "loss", "epoch", 10)[0].tolist() == [0.4, 0.8, 1.2, 1.6, 2]
        for epoch in (1, 2):
            writer.append("epochs", {"step": 10 * epoch, "epoch": epoch, "held_out_loss": 1.0})
    series = followed(tmp_path / "a")
    assert series.line("steps", "loss", "epoch", 7)[0].tolist() == [0.4, 0.8, 1.2, 1.6, 2]


def test_time_is_in_seconds_also_for_what_was_measured_without_a_clock(tmp_path):
    series = followed(record(tmp_path / "a"))
    np.testing.assert_allclose(series.line("steps", "loss", "time")[0], np.arange(1, 21) / 2)
    np.testing.assert_allclose(series.table("frobenius_norm", "time")[0], [2.5, 5, 7.5, 10])


def test_a_layer_table_has_a_row_a_measurement_and_a_column_a_layer(tmp_path):
    x, values = followed(record(tmp_path / "a")).table("frobenius_norm", "step")
    np.testing.assert_array_equal(x, [5, 10, 15, 20])
    np.testing.assert_array_equal(values, np.stack([x + 1, x + 2], axis=1))


def test_rows_without_the_quantity_are_left_out(tmp_path):
    x, y = followed(record(tmp_path / "a")).line("epochs", "test_top1", "step")
    assert (x.tolist(), y.tolist()) == ([20], [79.5])


def test_what_was_not_recorded_is_empty(tmp_path):
    series = followed(record(tmp_path / "a"))
    assert [len(part) for part in series.line("steps", "test_top1", "step")] == [0, 0]
    assert [len(part) for part in followed(tmp_path / "nowhere").table("lr", "step")] == [0, 0]


def test_new_lines_appear_at_the_next_poll_and_only_then(tmp_path):
    with Writer(tmp_path / "a", {"name": "a", "config": CONFIG, "layers": LAYERS}) as writer:
        append_steps(writer, range(1, 6))
        series = followed(tmp_path / "a")
        version = series.version
        append_steps(writer, range(6, 11))
        assert len(series.line("steps", "loss", "step")[0]) == 5
        assert series.poll()
    assert series.version == version + 1
    assert len(series.line("steps", "loss", "step")[0]) == 10
    np.testing.assert_array_equal(series.table("effective_lr", "step")[1], [[0.1 / 6, 0.1 / 7], [0.1 / 11, 0.1 / 12]])
    assert not series.poll()


def test_rows_voided_by_a_resumed_run_are_gone(tmp_path):
    with Writer(tmp_path / "a", {"name": "a", "config": CONFIG, "layers": LAYERS}) as writer:
        append_steps(writer, range(1, 11))
        series = followed(tmp_path / "a")
        writer.resume({"steps": 5, "layers": 1})
        append_steps(writer, range(6, 8), seed=7)
        assert series.poll()
    x, y = series.line("steps", "loss", "step")
    assert x.tolist() == list(range(1, 8))
    assert y[-1] == pytest.approx(2 / 7 + 0.01 * np.sin(14) + 0.7)
    assert series.table("nuclear_norm", "step")[0].tolist() == [5]


@pytest.mark.parametrize("axis", ["step", "epoch", "time"])
def test_a_run_of_which_only_parquet_files_were_kept_gives_the_same_lines(tmp_path, axis):
    folder = record(tmp_path / "a", finish=True)
    lines = followed(folder)
    expected = [lines.line("steps", "loss", axis), lines.line("epochs", "held_out_loss", axis)]
    expected.append(lines.table("effective_lr", axis))
    for path in folder.glob("*.jsonl"):
        path.unlink()
    kept = followed(folder)
    found = [kept.line("steps", "loss", axis), kept.line("epochs", "held_out_loss", axis)]
    for mine, theirs in zip([*found, kept.table("effective_lr", axis)], expected, strict=True):
        np.testing.assert_allclose(mine[0], theirs[0])
        np.testing.assert_allclose(mine[1], theirs[1])
