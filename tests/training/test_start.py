"""Runs that start from what is there: weights, a factorized network, a run; frozen layers, rates, a teacher."""

import multiprocessing
import os
import random
import signal

import pytest
import torch
from training.runs import StopAfter, numbers, same_weights, tiny, weights
from training.test_processes import two_processes

import lrexplore as lr
from lrexplore.datasets import open_data
from lrexplore.datasets.batch import Request
from lrexplore.network.files import described_layers
from lrexplore.ranks import allocate
from lrexplore.recipes import configure
from lrexplore.recipes.arguments import command_line, parse
from lrexplore.records import Run
from lrexplore.training.finetuning.teacher import divergence
from lrexplore.training.run import run

UNCUT = {"rank_scale": None, "decay": "weight"}
SHORT = {"steps": 2, "num_images": 16, "batch_size": 8, "norms_steps": 9}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run of an unfactorized network, and its network."""
    folder = tmp_path_factory.mktemp("trained")
    assert run(tiny(folder, "whole", **UNCUT, steps=3)) == "done"
    return folder / "whole", lr.load(folder / "whole")


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    """A factorized network with its plan in a file of `lr.save`."""
    _, model = trained
    path = tmp_path_factory.mktemp("saved") / "small.safetensors"
    lr.save(lr.factorize(model, plan=allocate(model, parameter_ratio=0.3, initializer="spectral")), path)
    return path


def events(config):
    return Run(os.path.join(config.runs, config.name)).records.table("events")


def held_out_top1(model, config):
    data = open_data(config.data, image_size=config.image_size)
    batch = data.held_out[Request(list(range(len(data.held_out))))]
    pixels = (batch.images / 255 - torch.tensor(data.mean)[:, None, None]) / torch.tensor(data.std)[:, None, None]
    with torch.no_grad():
        return 100 * float((model(pixels).argmax(1) == batch.labels).float().mean())


def test_a_run_starts_with_the_factorized_network_and_the_plan_that_a_file_holds(saved, tmp_path):
    config = tiny(tmp_path, "a", rank_scale=None, start=str(saved), lr=1e-12, **SHORT)
    run(config)
    given, ended = lr.load(saved), lr.load(tmp_path / "a")
    assert described_layers(ended) == described_layers(given) != {}
    assert ended.rank_plan == given.rank_plan
    for name, module in given.named_parameters():
        torch.testing.assert_close(ended.get_parameter(name), module, atol=1e-6, rtol=1e-5)
    first = numbers(config)["epochs"][0]
    assert (first["epoch"], first["step"]) == (0, 0)
    assert first["held_out_top1"] == pytest.approx(held_out_top1(given, config))


@pytest.mark.parametrize("kind", ["run", "weights", "lr.save"])
def test_a_run_starts_with_the_weights_of_a_run_a_checkpoint_or_a_saved_network_and_cuts_them(trained, tmp_path, kind):
    folder, model = trained
    start = {"run": folder, "weights": tmp_path / "best.pt", "lr.save": tmp_path / "whole.safetensors"}[kind]
    if kind == "weights":
        torch.save({"state_dict": model.state_dict(), "epoch": 3}, start)
    elif kind == "lr.save":
        lr.save(model, start)
    config = tiny(tmp_path, "a", start=str(start), lr=1e-12, **SHORT)
    run(config)
    ended = lr.load(tmp_path / "a")
    ranks = {name: layer["rank"] for name, layer in described_layers(ended).items()}
    by_hand = lr.factorize(model, ranks=ranks, initializer="spectral")
    assert numbers(config)["epochs"][0]["held_out_top1"] == pytest.approx(held_out_top1(by_hand, config))
    for name, value in by_hand.named_parameters():
        torch.testing.assert_close(ended.get_parameter(name), value, atol=1e-5, rtol=1e-4)
    before = events(config).set_index("event").loc["before the cut", "held_out_top1"]
    assert before == pytest.approx(held_out_top1(model, config))


def test_other_classes_get_a_new_classifier_and_it_is_said(tmp_path, trained, capfd):
    model = lr.load_model("resnet20")  # ten classes, the images have two
    torch.save(model.state_dict(), tmp_path / "ten.pt")
    config = tiny(tmp_path, "a", start=str(tmp_path / "ten.pt"), lr=1e-12, **{**UNCUT, **SHORT})
    run(config)
    said = "a new classifier `linear` for 2 classes in the place of 10"
    head = next(name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    said = said.replace("linear", head)
    assert said in capfd.readouterr().err and said in set(events(config)["event"])
    ended = lr.load(tmp_path / "a")
    assert ended.get_submodule(head).out_features == 2
    stem = next(name for name, module in model.named_modules() if isinstance(module, torch.nn.Conv2d))
    torch.testing.assert_close(ended.get_submodule(stem).weight, model.get_submodule(stem).weight)


def test_published_weights_start_a_run(tmp_path, monkeypatch):
    from lrexplore.training.finetuning import origin

    model = lr.load_model("mobilenet_v3_small")
    monkeypatch.setattr(origin, "load_model", lambda name, weights: model if weights == "DEFAULT" else None)
    choices = {**UNCUT, **SHORT, "steps": 1}
    config = tiny(tmp_path, "a", model="mobilenet_v3_small", start="imagenet", lr=1e-12, image_size=32, **choices)
    run(config)
    stem = lr.load(tmp_path / "a").features[0][0].weight
    torch.testing.assert_close(stem, model.features[0][0].weight)


def test_a_network_of_ones_own_starts_from_its_weights(tmp_path, monkeypatch):
    (tmp_path / "mine_to_start.py").write_text(
        "from torch import nn\n"
        "def build(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, num_classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine_to_start

    model = mine_to_start.build(5)
    torch.save(model.state_dict(), tmp_path / "best.pt")
    lr.save(lr.factorize(model, ranks={"4": 2}), tmp_path / "small.safetensors")
    for file in ("best.pt", "small.safetensors"):
        choices = {**UNCUT, **SHORT, "start": str(tmp_path / file), "model": "mine_to_start:build", "lr": 1e-12}
        run(tiny(tmp_path / "runs", file, **choices))
        ended = lr.load(tmp_path / "runs" / file)
        torch.testing.assert_close(ended[0].weight, model[0].weight)
        assert ended[6].out_features == 2 and list(described_layers(ended)) == (["4"] if file != "best.pt" else [])
    torch.save(lr.load_model("resnet20").state_dict(), tmp_path / "other.pt")
    with pytest.raises(ValueError, match="`start` must hold a network mine_to_start:build, got another"):
        run(tiny(tmp_path, "c", **{**choices, "start": str(tmp_path / "other.pt")}))


def test_frozen_layers_and_their_statistics_stay_bit_by_bit_and_all_others_move(trained, tmp_path):
    folder, model = trained
    names = [name for name, module in model.named_children()]
    config = tiny(tmp_path, "a", start=str(folder), freeze=f"{names[0]},{names[1]}", **SHORT)
    run(config)
    before, after = model.state_dict(), lr.load(tmp_path / "a")
    frozen = [key for key, value in after.state_dict().items() if key.split(".")[0] in names[:2]]
    assert any("running_mean" in key for key in frozen)
    for key in frozen:
        if key in before:
            assert torch.equal(after.state_dict()[key], before[key]), key
    moved = [key for key in before if key in after.state_dict() and key not in frozen and "num_batches" not in key]
    assert moved and not any(torch.equal(after.state_dict()[key], before[key]) for key in moved)


def test_a_layers_rate_is_its_share_of_the_rate(trained, tmp_path):
    folder, model = trained
    head = next(name for name, module in reversed(list(model.named_modules())) if isinstance(module, torch.nn.Linear))
    steps = {**SHORT, **UNCUT, "steps": 1, "decay_strength": 0.0, "warmup_epochs": 0.0}
    changes = {}
    for name, share in (("whole", None), ("half", f"*=2,{head}=0.5")):
        run(tiny(tmp_path, name, start=str(folder), layer_lr=share, **steps))
        ended = lr.load(tmp_path / name)
        changes[name] = {key: value - model.get_parameter(key) for key, value in ended.named_parameters()}
    for key, change in changes["whole"].items():
        share = 0.5 if key.startswith(f"{head}.") else 2.0
        torch.testing.assert_close(changes["half"][key], share * change, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("choice", ["freeze", "layer_lr"])
def test_a_name_that_no_layer_has_is_refused_with_those_there_are(trained, tmp_path, choice):
    with pytest.raises(ValueError, match=f"`{choice}` must name layers of the network, got 'nowhere'.*At the top"):
        run(tiny(tmp_path, "a", **SHORT, **{choice: "nowhere" if choice == "freeze" else "nowhere=0.1"}))


def test_freezing_all_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`freeze` must leave a layer to train"):
        run(tiny(tmp_path, "a", freeze="*", **SHORT))


def test_the_softened_divergence_is_its_definition_and_nothing_where_both_agree():
    own, other = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    p, q = (other / 3).softmax(1), (own / 3).softmax(1)
    torch.testing.assert_close(divergence(own, other, 3.0), 9 * (p * (p / q).log()).sum(1))
    assert divergence(own, own, 3.0).abs().max() < 1e-12


def test_a_teachers_loss_is_the_mixture_of_its_divergence_and_the_labels_loss(trained, tmp_path):
    folder, model = trained
    common = {**SHORT, "start": str(folder), "steps": 1, "lr": 1e-12}
    losses = {}
    for weight in (0.0, 1.0, 0.25):
        config = tiny(tmp_path, f"w{weight}", teacher="original", teacher_weight=weight, **common)
        run(config)
        losses[weight] = numbers(config)["steps"][0]["loss"]
    plain = tiny(tmp_path, "plain", **common)
    run(plain)
    assert losses[0.0] == pytest.approx(numbers(plain)["steps"][0]["loss"])
    assert losses[0.25] == pytest.approx(0.75 * losses[0.0] + 0.25 * losses[1.0])
    by_path = tiny(tmp_path, "path", teacher=str(folder), teacher_weight=1.0, **common)
    run(by_path)
    assert numbers(by_path)["steps"][0]["loss"] == pytest.approx(losses[1.0])


def test_a_teacher_alone_needs_no_labels(trained, tmp_path, monkeypatch):
    folder, _ = trained
    common = {**SHORT, "start": str(folder), "teacher": "original", "teacher_weight": 1.0}
    given, none = tiny(tmp_path, "given", **common), tiny(tmp_path, "none", **common)
    run(given)
    from lrexplore.datasets.folder import FolderImages

    read = FolderImages.__getitem__
    monkeypatch.setattr(FolderImages, "__getitem__", lambda self, request: without_labels(read(self, request)))
    run(none)
    assert same_weights(given, none)


def without_labels(batch):
    return batch._replace(labels=torch.zeros_like(batch.labels))


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"start": "nowhere.pt"}, "`start` must be a file, got no such file"),
        ({"teacher": "original"}, '`teacher` must be "original" only with a `start`'),
        ({"start": "SAVED"}, "`start` must be unfactorized to get ranks"),
        ({"start": "SAVED", "rank_scale": None, "teacher": "original"}, "`teacher` must be a file where `start`"),
        ({"start": "RUN", "rank_scale": None, "teacher": "original"}, "`teacher` must be another network"),
        ({"start": "RUN", "model": "resnet32"}, "`start` must hold a network resnet32, got another"),
        ({"teacher": "TEN"}, "`teacher` must know the 2 classes of the data"),
        ({"start": "TEN", "teacher": "original"}, "`teacher` must know the classes of the data"),
        ({"layer_lr": "fc"}, "`layer_lr` must be names of layers with shares"),
        ({"freeze": "a,,b"}, "`freeze` must be names of layers with commas"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_trains(trained, saved, tmp_path, choices, words):
    torch.save(lr.load_model("resnet20").state_dict(), tmp_path / "ten.pt")
    places = {"SAVED": str(saved), "RUN": str(trained[0]), "TEN": str(tmp_path / "ten.pt")}
    choices = {key: places.get(value, value) for key, value in choices.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        run(tiny(tmp_path, "a", **SHORT, **choices))
    assert not (tmp_path / "a" / "run.json").exists()


def test_a_fine_tuning_stopped_anywhere_goes_on_with_the_same_bits_without_its_start(saved, tmp_path):
    start = tmp_path / "small.safetensors"
    start.write_bytes(saved.read_bytes())
    choices = {"rank_scale": None, "start": str(start), "steps": 4}
    head, stem = ends(lr.load(saved))
    choices |= {"freeze": stem, "layer_lr": f"{head}=0.3"}
    whole = tiny(tmp_path, "whole", **choices)
    run(whole)
    for questions in (0, 1, 2, 4):
        start.write_bytes(saved.read_bytes())
        parts = tiny(tmp_path, f"parts{questions}", **choices)
        assert run(parts, should_stop=StopAfter(questions)) == "stopped"
        start.unlink()
        assert run(parts) == "done"
        assert numbers(parts) == numbers(whole)
        assert same_weights(parts, whole)


def ends(model):
    names = [name for name, module in model.named_modules() if hasattr(module, "weight") or hasattr(module, "left")]
    return names[-1], names[0]


def test_a_run_with_a_teacher_asks_for_the_same_one_when_it_goes_on(trained, tmp_path):
    _, model = trained
    start = tmp_path / "best.pt"
    torch.save(model.state_dict(), start)
    config = tiny(tmp_path, "a", start=str(start), teacher="original", **SHORT)
    assert run(config, should_stop=StopAfter(3)) == "stopped"
    torch.save({**model.state_dict(), "more": torch.zeros(1)}, start)
    with pytest.raises(ValueError, match="`start` must be the file that it was when the run began"):
        run(config)


def test_kills_at_random_moments_change_no_bit_of_a_fine_tuning_with_a_teacher(trained, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lrexplore.training.run"])
    choices = {"start": str(trained[0]), "teacher": "original", "steps": 10, "freeze": ends(trained[1])[1]}
    whole = tiny(tmp_path, "whole", **choices)
    run(whole)
    draws, kills, finished = random.Random(0), 0, 0
    while kills < 5 or not finished:
        process = context.Process(target=run, args=(tiny(tmp_path, f"killed-{finished}", **choices),))
        process.start()
        process.join(draws.uniform(0.2, 1.2) if kills < 5 else None)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        finished += process.exitcode == 0
    for number in range(finished):
        config = tiny(tmp_path, f"killed-{number}", **choices)
        assert numbers(config) == numbers(whole)
        assert same_weights(config, whole)


def test_two_processes_fine_tune_as_one_does(trained, tmp_path):
    choices = {"start": str(trained[0]), "teacher": "original", "micro_batch_size": 4, **SHORT}
    one, two = tiny(tmp_path, "one", **choices), tiny(tmp_path, "two", **choices)
    run(one)
    two_processes(two)
    mine, theirs = weights(one), weights(two)
    for name in (name for name in mine if "running" not in name and "num_batches" not in name):
        value = mine[name]
        torch.testing.assert_close(theirs[name], value, atol=1e-5, rtol=1e-4)


def test_the_command_line_says_a_start_as_its_configuration_does(tmp_path):
    config = configure("finetune", model="resnet20", start="best.pt", teacher="original", rank_ratio=0.2,
                       teacher_weight=1.0, temperature=4.0, freeze="conv1", layer_lr="stages.*=0.1")  # fmt: skip
    assert parse("lrexplore train", command_line(config)) == config
    assert (config.epochs, config.decay) == (1.0, "frobenius") and config.lr < configure(model="resnet20").lr


def test_the_table_of_runs_shows_a_network_before_its_cut_after_it_and_after_fine_tuning(saved, trained, tmp_path):
    from lrexplore.explorer.training.frame import run_table
    from lrexplore.explorer.training.runs import RunList

    config = tiny(tmp_path, "a", recipe="finetune", rank_scale=None, start=str(saved), teacher=str(trained[0]), **SHORT)
    assert run(config, should_stop=StopAfter(3)) == "stopped"
    assert run(config) == "done"  # the numbers outlive a stop
    run(tiny(tmp_path, "plain", **SHORT))
    runs = RunList(tmp_path)
    runs.poll()
    table = run_table(list(runs.runs.values()), "runs")
    keys = [column["key"] for column in table["columns"]]
    assert keys[-4:] == ["before_cut", "after_cut", "held_out", "test"]
    rows = {row["name"]: row for row in table["rows"]}
    before, after = (held_out_top1(model, config) for model in (trained[1], lr.load(saved)))
    assert (rows["a"]["before_cut"], rows["a"]["after_cut"]) == (f"{before:.2f}", f"{after:.2f}")
    epochs = Run(tmp_path / "a").records.table("epochs")
    assert epochs["held_out_top1"][0] == pytest.approx(after) and epochs["epoch"][0] == 0  # where the curve begins
    assert rows["plain"]["before_cut"] == "–"
    assert "before_cut" not in [column["key"] for column in run_table([runs.runs["plain"]], "runs")["columns"]]
