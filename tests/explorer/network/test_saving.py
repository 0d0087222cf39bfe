"""A saved network comes back with its plan, and nothing is overwritten unasked."""

import pytest
import torch
from explorer.networks import small_network

import lrexplore as lr
from lrexplore.explorer.network.saving import places, save_both


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
