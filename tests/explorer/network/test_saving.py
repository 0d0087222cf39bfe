"""A saved network comes back with its plan, and nothing is overwritten unasked."""

import pytest
import torch
from explorer.networks import small_network

import lrexplore as lr
from lrexplore.explorer.network.saving import places, save_both
from lrexplore.nn import factorized_layers


def test_both_files_are_named_after_what_was_typed(tmp_path):
    expected = tmp_path / "small.safetensors", tmp_path / "small.json"
    for typed in ("small", "small.safetensors", " small.json "):
        assert places(f" {tmp_path}/{typed.strip()} ") == expected
    assert places(str(tmp_path / "v1.2"))[0].name == "v1.2.safetensors"


@pytest.mark.parametrize("typed", ["", "  ", "{folder}", "{folder}/none/small"])
def test_what_names_no_file_is_refused(tmp_path, typed):
    with pytest.raises(ValueError, match="`path` must"):
        places(typed.format(folder=tmp_path))


def test_files_that_are_there_are_kept_unless_asked(tmp_path):
    (tmp_path / "small.json").write_text("{}")
    with pytest.raises(ValueError, match=r"got one where small\.json exists"):
        places(str(tmp_path / "small"))
    assert places(str(tmp_path / "small"), overwrite=True)[1] == tmp_path / "small.json"


def test_the_network_comes_back_with_its_plan(tmp_path):
    model = small_network()
    plan = lr.allocate(model, parameter_ratio=0.5, initializer="spectral")
    made = lr.factorize(model, plan=plan)
    said = save_both(made, plan, tmp_path / "small.safetensors", tmp_path / "small.json")
    assert "small.safetensors" in said and "small.json" in said
    assert lr.RankPlan.load(tmp_path / "small.json") == plan
    again = lr.load(tmp_path / "small.safetensors", small_network())
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(x), made(x))


def test_fine_tune_this_starts_a_run_from_the_planned_network_with_the_one_before_as_teacher(tmp_path, monkeypatch):
    from lrexplore.explorer.training import runs
    from lrexplore.records import Run

    started = []
    monkeypatch.setattr(runs, "start_run", lambda config: started.append(config) or Run(tmp_path / config.name))
    monkeypatch.chdir(tmp_path)
    explorer = lr.Explorer("squeezenet1_1", seed=0)
    try:
        page = explorer.page("Network")
        page.state.initializer = "spectral"
        assert page.wait(300)
        page.controls.buttons["tune"].click()
        assert page.wait(300)
        assert page.panel.error == ""
        assert "fine-tuning as the run" in page.panel.status
        (config,) = started
        assert (config.recipe, config.model, config.factorized) == ("finetune", "squeezenet1_1", False)
        small = lr.load(config.start)
        assert {name: module.rank for name, module in factorized_layers(small).items()} == page.plan().ranks
        assert config.teacher is None  # Fashion-MNIST has other classes than ImageNet
        other = explorer.page("Training").tab.finetune(
            model="squeezenet1_1", start=config.start, teacher=config.start, classes=10, name="again"
        )
        assert started[-1].teacher == config.start and other.name == "again"
    finally:
        explorer.close()


def test_fine_tuning_a_module_without_a_name_says_what_to_do(tmp_path):
    explorer = lr.Explorer(small_network())
    try:
        page = explorer.page("Network")
        assert page.wait(300)
        page.controls.buttons["tune"].click()
        assert "lr.finetune(" in page.panel.error
        page.panel.error = ""
    finally:
        explorer.close()
