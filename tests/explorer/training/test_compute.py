"""Curves of groups of runs against the numbers that were recorded."""

import numpy as np
import pytest
from explorer.recorded import CONFIG, LAYERS, append_steps, record

from lrexplore.explorer.training.averages import smooth
from lrexplore.explorer.training.compute import NUM_COLUMNS, NUM_POINTS, RunCurves, View
from lrexplore.explorer.training.figures import STEP_QUANTITIES, curve_plot
from lrexplore.explorer.training.groups import group_runs
from lrexplore.explorer.training.runs import RunList
from lrexplore.records import Writer, read


def followed(folder, grouping="all but the seed"):
    runs = RunList(folder)
    runs.poll()
    curves = RunCurves()
    curves.follow(runs.runs.values())
    return curves, group_runs(list(runs.runs.values()), grouping), runs


def test_a_mean_and_its_spread_are_those_of_the_recorded_seeds(tmp_path):
    for seed in range(3):
        record(tmp_path / f"a{seed}", seed=seed)
    curves, (group,), _ = followed(tmp_path)
    line = curves.line(group, "steps", "loss", View())
    table = read(tmp_path, "steps").pivot(index="step", columns="seed", values="loss")
    np.testing.assert_array_equal(line.x, table.index)
    np.testing.assert_allclose(line.y, table.mean(axis=1))
    np.testing.assert_allclose(line.spread, table.std(axis=1))
    assert line.count == 3
    assert len(line.raw_x) == 0


def test_a_seed_that_was_run_twice_counts_once_as_the_mean_of_its_runs(tmp_path):
    for name, seed in (("a0", 0), ("a1", 1), ("again", 1)):
        record(tmp_path / name, seed=seed, num_steps=20 if name != "again" else 30, record_norms=name == "again")
    curves, (group,), _ = followed(tmp_path)
    assert group.label.endswith("(3 runs of 2 seeds)")
    line = curves.line(group, "steps", "loss", View())
    table = read(tmp_path, "steps").query("step <= 20").pivot(index="step", columns="run", values="loss")
    seeds = np.stack([table["a0"], (table["a1"] + table["again"]) / 2])
    np.testing.assert_allclose(line.y, seeds.mean(axis=0))
    np.testing.assert_allclose(line.spread, seeds.std(axis=0, ddof=1))
    assert line.count == 2


def test_repeats_of_one_seed_alone_have_a_mean_and_no_band(tmp_path):
    for name in ("a", "again"):
        record(tmp_path / name, record_norms=name == "again")
    curves, (group,), _ = followed(tmp_path)
    line = curves.line(group, "steps", "loss", View(smoothing=0.5))
    assert line.count == 1
    assert np.isnan(line.spread).all()
    assert len(line.raw_x) == 0


def test_a_single_run_is_drawn_with_what_was_smoothed_away_behind_it(tmp_path):
    record(tmp_path / "a")
    curves, (group,), _ = followed(tmp_path, "single runs")
    line = curves.line(group, "steps", "loss", View(smoothing=0.8))
    np.testing.assert_array_equal(line.raw_y, read(tmp_path, "steps")["loss"])
    np.testing.assert_allclose(line.y, smooth(line.raw_y, 0.8))
    assert np.isnan(line.spread).all()


@pytest.mark.parametrize("stream, quantity", [("epochs", "held_out_top1"), ("layers", "frobenius_norm")])
def test_what_is_not_of_every_step_is_not_smoothed(tmp_path, stream, quantity):
    record(tmp_path / "a")
    curves, (group,), _ = followed(tmp_path)
    plain, smoothed = (curves.line(group, stream, quantity, View(smoothing=weight)) for weight in (0, 0.9))
    np.testing.assert_array_equal(plain.y, smoothed.y)


def test_layers_are_drawn_one_by_one_or_by_their_median(tmp_path):
    record(tmp_path / "a")
    curves, (group,), runs = followed(tmp_path)
    steps = np.array([5, 10, 15, 20])
    np.testing.assert_array_equal(curves.line(group, "layers", "frobenius_norm", View(), LAYERS[1]).y, steps + 2)
    np.testing.assert_array_equal(curves.line(group, "layers", "frobenius_norm", View()).y, steps + 1.5)
    assert len(curves.line(group, "layers", "frobenius_norm", View(), "elsewhere").y) == 0
    assert curves.layers() == LAYERS
    x, names, values = curves.heat(runs.runs["a"], "nuclear_norm", "step")
    assert names == LAYERS
    np.testing.assert_array_equal(x, steps)
    np.testing.assert_array_equal(values, [steps + 1, steps + 2])


def test_a_long_run_is_drawn_by_few_of_its_own_points(tmp_path):
    record(tmp_path / "a", num_steps=5000)
    curves, (group,), runs = followed(tmp_path)
    recorded = read(tmp_path, "steps").set_index("step")["loss"]
    for log_x in (False, True):
        line = curves.line(group, "steps", "loss", View(log_x=log_x))
        assert len(line.x) <= NUM_POINTS
        np.testing.assert_array_equal(line.y, recorded[line.x])
        assert line.y.max() == recorded.max()
        assert line.y.min() == recorded.min()
    assert len(curves.heat(runs.runs["a"], "effective_lr", "step")[0]) == NUM_COLUMNS


def test_step_0_is_left_out_where_x_is_logarithmic(tmp_path):
    with Writer(tmp_path / "a", {"name": "a", "config": CONFIG, "layers": LAYERS}) as writer:
        writer.append("layers", {"step": 0, "epoch": 1, "frobenius_norm": [1.0, 2.0]})
        writer.append("layers", {"step": 5, "epoch": 1, "frobenius_norm": [3.0, 4.0]})
        writer.status("running", step=5, num_steps=10)
    curves, (group,), _ = followed(tmp_path)
    line = curves.line(group, "layers", "frobenius_norm", View(log_x=True))
    assert (line.x.tolist(), line.y.tolist()) == ([5], [3.5])


def test_a_line_is_the_same_object_until_one_of_its_runs_has_new_rows(tmp_path):
    with Writer(tmp_path / "a", {"name": "a", "config": CONFIG, "layers": LAYERS}) as writer:
        append_steps(writer, range(1, 5))
        writer.status("running", step=5, num_steps=20)
        curves, (group,), runs = followed(tmp_path)
        before = curves.line(group, "steps", "loss", View())
        assert not curves.poll(runs.runs.values())
        assert curves.line(group, "steps", "loss", View()) is before
        append_steps(writer, range(5, 8))
        assert curves.poll(runs.runs.values())
    after = curves.line(group, "steps", "loss", View())
    assert after.x.tolist() == list(range(1, 8))


def test_a_run_without_rows_leaves_the_mean_to_the_others_and_is_not_counted(tmp_path):
    record(tmp_path / "a")
    with Writer(tmp_path / "b", {"name": "b", "config": {**CONFIG, "seed": 1}, "layers": LAYERS}) as writer:
        writer.status("running", step=0, num_steps=20)
    curves, (group,), _ = followed(tmp_path)
    assert len(group.runs) == 2
    line = curves.line(group, "steps", "loss", View())
    assert line.count == 1
    assert len(line.x) == 20


def test_a_long_record_is_read_in_parts_and_is_whole_when_waited_for(tmp_path, monkeypatch):
    from lrexplore.explorer.training import compute
    from lrexplore.explorer.training.tab import TrainingTab
    from lrexplore.records import Writer, reader

    monkeypatch.setattr(reader, "_BLOCK", 500)
    monkeypatch.setattr(compute, "_READING_S", 0.0)
    with Writer(tmp_path / "a", {"config": {"seed": 0}, "layers": []}) as writer:
        for step in range(1, 201):
            writer.append("steps", {"step": step, "epoch": 1, "loss": 1 / step})
        writer.status("done")
    tab = TrainingTab(tmp_path)
    tab.show(False)
    watch = tab._watch

    def rows():
        return len(watch.curves._series[tmp_path / "a"]._columns("steps")["step"])

    assert 0 < rows() < 100 and watch.is_behind
    before = rows()
    assert tab.poll()
    assert before < rows() < 100
    assert not tab.wait(0)
    assert tab.wait() and rows() == 200 and not watch.is_behind
    tab.close()


def test_changes_of_rank_are_marked_where_they_happened_in_every_curve(tmp_path):
    with Writer(record(tmp_path / "a"), {}) as writer:
        for layer in LAYERS:
            writer.append("events", {"step": 8, "event": "rank", "layer": layer, "old_rank": None, "new_rank": 2})
        writer.append("events", {"step": 8, "event": "2 layers at other ranks", "num_parameters": 100})
    curves, (group,), _ = followed(tmp_path)
    assert curves.rank_changes(group, "step") == [(8.0, "2 layers at other ranks")]
    line = curves.line(group, "steps", "loss", View())
    quantity = STEP_QUANTITIES["training loss"]
    changes = [(group, *change) for change in curves.rank_changes(group, "step")]
    for view, at in ((View(), 8.0), (View(log_x=True), np.log10(8))):
        plot = curve_plot(quantity, [(group, line)], view, changes=changes)
        assert [shape["x0"] for shape in plot["layout"]["shapes"]] == [8.0]
        (mark,) = plot["layout"]["annotations"]
        assert mark["x"] == at and mark["hovertext"].endswith("2 layers at other ranks")
        assert plot["caption"].endswith("Dotted, with ▾: ranks changed.")
    assert "shapes" not in curve_plot(quantity, [(group, line)], View())["layout"]
