import json
import math
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
from training.runs import StopAfter, numbers, same_weights, weights
from training.test_processes import two_processes
from training.texts import tiny_text, write_pairs, write_text

from lrexplore.models.language import LANGUAGE
from lrexplore.models.language.head_initialization import HEAD_INITIALIZERS
from lrexplore.models.language.separate_attention import attentions
from lrexplore.recipes import configure
from lrexplore.recipes.arguments import command_line, parse
from lrexplore.recipes.config import CHOICES, LANGUAGE_MODELS
from lrexplore.recipes.names import default_name
from lrexplore.records import Reader
from lrexplore.training.learner import learning_rate
from lrexplore.training.run import run
from lrexplore.training.tasks.translation_task import bleu


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return {"translation": write_pairs(folder / "pairs"), "masked-lm": write_text(folder / "text.txt")}


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    config = tiny_text("translation", data["translation"], tmp_path_factory.mktemp("whole"), "whole")
    assert run(config) == "done"
    return config


def test_a_translation_records_loss_hits_and_bleu(whole):
    found = numbers(whole)
    assert all(math.isfinite(row["loss"]) and 0 <= row["top1"] <= 100 for row in found["steps"])
    assert found["steps"][-1]["loss"] < found["steps"][0]["loss"]
    assert all(0 <= row["held_out_bleu"] <= 100 for row in found["epochs"][:-1])
    assert 0 <= found["epochs"][-1]["test_bleu"] <= 100
    reader = Reader(Path(whole.runs, whole.name))
    reader.poll()
    assert (reader.columns("steps")["tokens_per_s"] > 0).all()


def test_bleu_is_100_for_the_references_themselves_and_0_for_other_words():
    texts = ["one two three four five", "the market is on Monday"]
    assert bleu(texts, texts) == pytest.approx(100)
    assert bleu(["six seven eight nine", "x y z w v"], texts) < 1


@pytest.mark.parametrize("questions", [0, 4, 7])
def test_a_translation_stopped_anywhere_goes_on_with_the_same_bits(whole, data, tmp_path, questions):
    config = tiny_text("translation", data["translation"], tmp_path, "parts")
    assert run(config, should_stop=StopAfter(questions)) == "stopped"
    assert run(config) == "done"
    assert numbers(config) == numbers(whole)
    assert same_weights(config, whole)


def test_a_translation_killed_again_and_again_goes_on_with_the_same_bits(whole, data, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lrexplore.training.run"])
    config = tiny_text("translation", data["translation"], tmp_path, "killed")
    for rows in (1, 3):
        process = context.Process(target=run, args=(config,))
        process.start()
        reader = Reader(tmp_path / "killed")
        while len(reader.columns("steps").get("step", ())) < rows and process.is_alive():
            reader.poll()
            process.join(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert run(config) == "done"
    assert numbers(config) == numbers(whole)
    assert same_weights(config, whole)


def test_a_masked_language_model_learns_by_flambe_and_goes_on_with_the_same_bits(data, tmp_path):
    choices = {
        "recipe": "flambe",
        "steps": 3,
        "lr": 0.01,
        "checkpoint_steps": 99,
        "batch_size": 960,
        "warmup_epochs": 0.0,
        "norms_steps": 9,
    }
    first, parts = (tiny_text("masked-lm", data["masked-lm"], tmp_path, name, **choices) for name in "ab")
    assert run(first) == "done"
    rows = numbers(first)
    assert rows["steps"][-1]["loss"] < rows["steps"][0]["loss"] and 0 <= rows["epochs"][-1]["test_top1"] <= 100
    assert run(parts, should_stop=StopAfter(2)) == "stopped"
    assert run(parts) == "done"
    assert numbers(parts) == rows
    assert same_weights(parts, first)


def test_two_processes_translate_and_learn_as_one_does(data, tmp_path):
    configs = [tiny_text("translation", data["translation"], tmp_path, name, steps=3) for name in "ab"]
    run(configs[0])
    two_processes(configs[1])
    one, two = map(numbers, configs)
    for stream in ("steps", "epochs"):
        for mine, theirs in zip(one[stream], two[stream], strict=True):
            assert {k: v for k, v in theirs.items() if v is not None} == pytest.approx(
                {k: v for k, v in mine.items() if v is not None}, rel=1e-3
            )


@pytest.mark.parametrize(
    ("choices", "moved"),
    [
        ({"qk_decay": "frobenius"}, ["q", "k"]),
        ({"ov_decay": "frobenius"}, ["o", "v"]),
        ({"qk_decay": "frobenius", "ov_decay": "frobenius"}, ["q", "k", "o", "v"]),
        ({"decay": "frobenius"}, ["left", "right"]),
        ({"qk_decay": "weight"}, ["q", "k"]),
    ],
    ids=str,
)
def test_each_switch_decays_what_it_names_and_nothing_else(data, tmp_path, choices, moved):
    none = {"decay": "none", "qk_decay": "none", "ov_decay": "none"}
    common = {"steps": 1, "decay_strength": 10.0, "dropout": 0.0, "beam": 1, "norms_steps": 9}
    plain = tiny_text("translation", data["translation"], tmp_path, "plain", **common, **none)
    other = tiny_text("translation", data["translation"], tmp_path, "other", **common, **{**none, **choices})
    run(plain), run(other)
    before, after = weights(plain), weights(other)
    changed = {name.removesuffix(".weight") for name in before if not before[name].equal(after[name])}
    assert {name.rpartition(".")[2] for name in changed} == set(moved)


def test_the_records_measure_every_heads_products(whole):
    reader = Reader(Path(whole.runs, whole.name))
    reader.poll()
    names = reader.description["layers"]
    assert sum(":qk." in name for name in names) == sum(":ov." in name for name in names) == 6 * 4
    model = trained(whole)
    measured = dict(zip(names, reader.lists("layers")["frobenius_norm"][-1], strict=True))
    for name, attention in attentions(model).items():
        for product in ("qk", "ov"):
            left, right = attention.pairs(product)
            for head, norm in enumerate((left @ right).flatten(1).norm(dim=1).tolist()):
                assert measured[f"{name}:{product}.{head}"] == pytest.approx(norm, rel=1e-5)


def trained(config):
    from lrexplore.training.model import trained_network

    return trained_network(Path(config.runs, config.name))


def test_the_network_of_a_run_comes_back_with_its_heads_and_ranks(whole):
    model = trained(whole)
    assert {attention.head_dim for attention in attentions(model).values()} == {32}
    assert {record.name.rpartition(".")[0] for record in model.factorization if record.rank} == {
        f"{side}.{number}.feed_forward" for side in ("encoder", "decoder") for number in (0, 1)
    }
    kept = weights(whole)
    assert all(kept[name].equal(value) for name, value in model.state_dict().items())


def test_a_run_does_not_go_on_with_other_texts_than_it_began_with(tmp_path):
    folder = write_pairs(tmp_path / "pairs")
    config = tiny_text("translation", folder, tmp_path, "a")
    assert run(config, should_stop=StopAfter(0)) == "stopped"
    path = folder / "train.de"
    path.write_text(path.read_text(encoding="utf-8").replace("hundert", "hunnert"), encoding="utf-8")
    with pytest.raises(ValueError, match="`data` must hold the texts that the run a began with, got others in"):
        run(config)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"model": "resnet20", "head_scale": 0.5}, "`head_scale` must be left out for a network that is none of"),
        ({"model": "resnet20", "qk_decay": "frobenius"}, "`qk_decay` must be left out"),
        ({"model": "translation", "execution": "fastest"}, "`execution` must be factors or product for translation"),
        ({"model": "translation", "batch_size": 8}, "`batch_size` must have room for 1 of the longest texts"),
        ({"model": "translation", "micro_batch_size": 7}, "`batch_size` must be a multiple of the pieces that 1"),
        ({"model": "translation", "num_images": 1000}, r"`num_images` must lie in 1\.\."),
    ],
)
def test_choices_that_do_not_go_together_are_refused_in_four_parts(data, tmp_path, choices, message):
    config = configure(**{"data": str(data["translation"]), "vocabulary": 320, "batch_size": 480,
                          "runs": str(tmp_path), "name": "a", "epochs": 1.0, **choices})  # fmt: skip
    with pytest.raises(ValueError, match=rf"{message}.*, got .*\. .*\."):
        run(config)


def test_without_sacrebleu_a_translation_says_what_installs_it(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    monkeypatch.setattr("lrexplore.training.tasks.translation_task.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"`sacrebleu` must be installed.*pip install -e '\.\[language\]'"):
        run(tiny_text("translation", data["translation"], tmp_path, "a"))


def test_networks_for_text_have_recipes_of_their_own():
    assert set(LANGUAGE_MODELS) == set(LANGUAGE)
    assert CHOICES["qk_initializer"] == CHOICES["ov_initializer"] == HEAD_INITIALIZERS
    for name in LANGUAGE_MODELS:
        config = configure(model=name)
        assert config.recipe == name and config.data in ("numbers-and-dates", "docstrings")
        assert parse("x", command_line(config)) == parse("x", [name]) == config
    assert default_name(configure(model="translation", head_scale=0.5, ov_initializer="drawn", rank_scale=0.5)) == (
        "translation-heads0.5-spectral+drawn-frobenius-spectral-0.5-frobenius-seed0"
    )


def test_the_inverse_square_root_falls_from_the_rate_that_the_warm_up_reached():
    config = configure(model="translation", lr=0.5, warmup_epochs=1.0)
    rates = [learning_rate(config, step, 400, 100) for step in range(400)]
    assert rates[0] == pytest.approx(0.005) and rates[99] == 0.5 == max(rates)
    assert rates[399] == pytest.approx(0.25) and sorted(rates[99:], reverse=True) == rates[99:]


def test_a_run_keeps_its_vocabulary_beside_its_records(whole):
    kept = json.loads(Path(whole.runs, whole.name, "subwords.json").read_text(encoding="utf-8"))
    assert len(kept["subwords"]["model"]["vocab"]) == 320


def test_the_training_tab_has_curves_of_bleu_and_of_every_head(whole):
    from lrexplore.explorer.training.figures import EPOCH_QUANTITIES
    from lrexplore.explorer.training.series import RunSeries

    series = RunSeries(Path(whole.runs, whole.name))
    series.poll()
    bleu_of_epochs = [row["held_out_bleu"] for row in numbers(whole)["epochs"][:-1]]
    assert series.line("epochs", EPOCH_QUANTITIES["held-out BLEU"].column, "step")[1].tolist() == bleu_of_epochs
    assert series.table("frobenius_norm", "step")[1].shape == (4, len(series.layers)) and len(series.layers) == 8 + 48
