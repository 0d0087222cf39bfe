"""What the explorer says to a training on its command line."""

from pathlib import Path

import pytest
from torch import nn

from lrexplore.datasets.data import NAMES
from lrexplore.explorer.training import start as run_start
from lrexplore.explorer.training.form import TrainingForm
from lrexplore.explorer.training.start import check_start, why_not
from lrexplore.recipes import configure
from lrexplore.recipes.arguments import command_line, parse
from lrexplore.recipes.config import CHOICES, Config
from lrexplore.recipes.names import default_name, new_name
from lrexplore.records import Run


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"rank_scale": 0.1, "decay": "weight", "steps": 7, "augment": False, "milestones": (0.25, 0.5, 0.75)},
        {"recipe": "nli", "rank_ratio": 0.3, "precision": "bf16", "compile": True, "clip_norm": 1.5, "seed": 11},
    ],
    ids=["defaults", "many", "recipe"],
)
def test_a_recorded_configuration_comes_back_from_its_command_line(choices):
    config = configure(**{"model": "resnet20", "name": "a", **choices})
    assert parse("test", command_line(Config.of_record(config.as_dict()))) == config


def test_what_the_form_offers_is_what_training_takes():
    form = TrainingForm()
    assert set(form.initializer.options) == set(CHOICES["initializer"])
    assert set(form.decay.options) == set(CHOICES["decay"]) - {"normalized"}
    assert form.data.options == NAMES
    form.close()


@pytest.mark.parametrize("choices", [{"rank_scale": 0.1}, {}, {"rank_ratio": 0.5, "seed": 3, "decay": "weight"}])
def test_a_run_gets_the_name_that_the_command_line_would_give_it(tmp_path, choices):
    config = configure(model="resnet20", **choices)
    assert new_name(tmp_path, default_name(config)) == default_name(config)
    assert new_name(tmp_path, default_name(config)) == f"{default_name(config)}-2"


def test_a_network_of_ones_own_is_refused_with_the_reason():
    reason = why_not(type(nn.Sequential()).__name__)
    assert "`model` must be a network that lrexplore knows by name" in reason
    assert "'Sequential'" in reason
    with pytest.raises(ValueError, match="knows by name"):
        check_start({"model": "Sequential", "runs": "runs", "name": "a"})


@pytest.mark.parametrize("model", ["resnet20", "resnet50", "efficientnet_b0"])
def test_a_network_with_a_name_is_not_refused(model):
    assert why_not(model) == ""


@pytest.mark.parametrize("name", ["../a", ".hidden", "a/b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="`name` must be the name of a folder"):
        check_start({"model": "resnet20", "runs": str(tmp_path), "name": name})
    assert not any(tmp_path.iterdir())


def test_a_name_that_is_taken_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="`name` must be new"):
        check_start({"model": "resnet20", "runs": str(tmp_path), "name": "a"})


def test_a_name_is_taken_by_a_run_that_has_not_written_anything_yet_and_free_when_it_has_failed(tmp_path):
    (tmp_path / "a").mkdir()
    choices = {"model": "resnet20", "runs": str(tmp_path), "name": "a"}
    check_start(choices)
    with pytest.raises(ValueError, match="`name` must be new"):
        check_start(choices, {"a"})


def test_a_run_that_was_moved_goes_on_where_it_is_now(tmp_path, monkeypatch):
    from explorer.recorded import record

    record(tmp_path / "old" / "a", state="stopped")
    moved = (tmp_path / "old" / "a").rename(tmp_path / "b")
    started = []
    monkeypatch.setattr(run_start, "start", lambda *given: started.append(given) or Run(given[0]))
    run, config = run_start.resume_run(moved)
    ((folder, arguments),) = started
    assert folder == moved == run.folder
    assert config["seed"] == 0
    assert ["--runs", str(tmp_path)] == arguments[arguments.index("--runs") :][:2]
    assert ["--name", "b"] == arguments[arguments.index("--name") :][:2]
    assert "--resume" in arguments


def test_a_run_that_never_began_cannot_go_on(tmp_path):
    with pytest.raises(FileNotFoundError, match="must have begun"):
        run_start.resume_run(Path(tmp_path))


def test_a_command_that_a_record_names_as_its_data_is_not_run(tmp_path):
    from explorer.recorded import record

    folder = record(tmp_path / "a", state="stopped", data="pipe:touch ran")
    with pytest.raises(ValueError, match="`data` must be no command to go on from here"):
        run_start.resume_run(folder)


@pytest.mark.parametrize("name", ["", " "])
def test_a_start_with_an_empty_name_is_refused_and_writes_nothing(tmp_path, name):
    from lrexplore.explorer.training.runs import RunWatch

    with pytest.raises(ValueError, match="`name` must be"):
        RunWatch(tmp_path).start({"model": "resnet20", "name": name})
    assert not any(tmp_path.iterdir())
