import json

import pytest
import torch
from PIL import Image

from lrexplore.cli import main
from lrexplore.models import load_model
from lrexplore.opening import load
from lrexplore.ranks import RankPlan
from tests.attentions import NETWORKS


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    torch.save(load_model("squeezenet1_1").state_dict(), tmp_path / "squeezenet.pth")
    return "squeezenet.pth"


@pytest.mark.parametrize("command", ["allocate", "factorize", "compare"])
def test_help_names_the_command(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"usage: lrexplore {command}" in capsys.readouterr().out


def test_a_plan_and_then_the_network_with_it(checkpoint, capsys):
    assert main(["allocate", checkpoint, "--parameter-ratio", "0.5", "--images", "none", "--initializer", "spectral",
                 "--pin", "classifier.1=keep"]) == 0  # fmt: skip
    assert "classifier.1" in capsys.readouterr().out
    plan = RankPlan.load("plan.json")
    assert plan.parameter_ratio <= 0.5
    assert "classifier.1" not in plan.ranks
    assert main(["factorize", checkpoint, "--plan", "plan.json", "--images", "none"]) == 0
    small = load("factorized.safetensors")
    assert sum(p.numel() for p in small.parameters()) == plan.parameters[1]


def test_a_plan_of_heads_too(capsys, monkeypatch):
    monkeypatch.setattr("lrexplore.cli.networks._model", lambda options: NETWORKS["torchvision ViT"]()[0])
    assert main(["allocate", "vit_b_16", "--parameter-ratio", "0.6", "--images", "none", "--heads"]) == 0
    assert "encoder_layer_0.self_attention:qk.0" in capsys.readouterr().out and RankPlan.load("plan.json").heads


def test_images_of_a_folder_are_used_and_compared_with(checkpoint, tmp_path, capsys):
    _draw_images(tmp_path / "images", 8)
    arguments = ["factorize", checkpoint, "--rank-scale", "0.5", "--images", "images", "--initializer", "spectral"]
    assert main(arguments) == 0
    assert "KL divergence" in capsys.readouterr().out
    assert main(["compare", checkpoint, "factorized.safetensors", "--images", "images", "--part", "all"]) == 0
    said = capsys.readouterr().out
    assert "On 8 independent inputs; low and high: 95 % interval." in said and "top-1 agreement" in said


def test_images_of_one_folder_may_be_one_independent_input(checkpoint, tmp_path, capsys):
    for name in ("first film", "second film"):
        _draw_images(tmp_path / "images" / name, 4, seed=len(name))
    assert main(["factorize", checkpoint, "--rank-scale", "0.5"]) == 0
    for groups, said in (("file", "On 8 independent inputs"), ("folder", "On 2 independent inputs")):
        arguments = ["compare", checkpoint, "factorized.safetensors", "--images", "images", "--part", "all"]
        assert main([*arguments, "--groups", groups]) == 0
        assert said in capsys.readouterr().out


def _draw_images(folder, count, seed=0):
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        small = torch.randint(0, 256, (6, 6, 3), generator=generator, dtype=torch.uint8).numpy()
        Image.fromarray(small).resize((80, 80)).save(folder / f"{number}.png")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--parameter-ratio", "0.001"], "`parameter_ratio` must be at least"),
        (["--parameter-ratio", "0.5", "--pin", "fc"], "`--pin` must be LAYER=RANK"),
        (["--parameter-ratio", "0.5", "--pin", "nothing=3"], "`pinned` must name layers"),
    ],
)
def test_what_cannot_be_ends_with_status_1_and_the_way_out(checkpoint, arguments, words, capsys):
    base = ["allocate", checkpoint, "--images", "none", "--initializer", "spectral"]
    assert main([*base, *arguments]) == 1
    assert words in capsys.readouterr().err


def test_a_file_that_is_no_plan_is_refused(checkpoint, tmp_path, capsys):
    (tmp_path / "plan.json").write_text(json.dumps({"ranks": {}}))
    assert main(["factorize", checkpoint, "--plan", "plan.json", "--images", "none"]) == 1
    assert "`plan` must be json written by" in capsys.readouterr().err


@pytest.mark.parametrize("extra", [["--out", "missing/x"], ["--out", "."], ["--export", "x.foo"]])
def test_where_nothing_can_be_written_is_said_before_the_work(checkpoint, extra, capsys, monkeypatch):
    monkeypatch.setattr("lrexplore.cli.networks._model", lambda options: pytest.fail("the network was loaded first"))
    assert main(["factorize", checkpoint, "--rank-scale", "0.2", "--images", "none", *extra]) == 1
    said = capsys.readouterr().err
    assert said.startswith("lrexplore: `") and "must" in said and said.count("\n") == 1


def test_a_failed_download_is_one_line(capsys, monkeypatch):
    def refuse(*arguments):
        raise ConnectionError("`weights` must be downloaded once, which failed.")

    monkeypatch.setattr("lrexplore.models.load_model", refuse)
    assert main(["factorize", "resnet18", "--rank-scale", "0.2", "--weights", "DEFAULT"]) == 1
    assert capsys.readouterr().err == "lrexplore: `weights` must be downloaded once, which failed.\n"


def test_an_interrupted_command_ends_with_130(capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("lrexplore.models.load_model", interrupt)
    assert main(["factorize", "resnet18", "--rank-scale", "0.2"]) == 130
    assert capsys.readouterr().err == "lrexplore: stopped\n"
