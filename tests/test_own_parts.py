"""A toy of everything that a person may bring, from outside the package, walks all the places."""

import subprocess
import sys
import time

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.init import INITIALIZERS

TOYS = '''
import torch
from torch import nn

import lrexplore as lr


@lr.initializer("toy")
def toy(problem, rank, *, generator, **options):
    """Twice the spectral product: its Frobenius error is 1, whatever the rank, plus nothing."""
    pair = lr.INITIALIZERS["spectral"](problem, rank)
    return lr.Factors(2 * pair.left, pair.right)


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem, self.body, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3), nn.Linear(16, num_classes)

    def forward(self, x):
        return self.head(self.body(self.stem(x).relu()).relu().mean((2, 3)))


def build(num_classes):
    return Net(num_classes)


def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(96, 1, 12, 12, generator=generator)
    labels = torch.arange(96) % 3
    pairs = [(image, int(label)) for image, label in zip(images, labels)]
    return pairs[:64], pairs[64:80], pairs[80:]
'''


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """The module `toys` of a person, imported from a folder that new processes find too."""
    (tmp_path / "toys.py").write_text(TOYS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("toys", None)
    import toys as module

    yield module
    sys.modules.pop("toys", None)


@pytest.mark.parametrize("way", ["name", "function", "address"])
def test_a_toy_initializer_starts_factors_curves_plans_and_networks(toys, way):
    chosen = {"name": "toy", "function": toys.toy, "address": "toys:toy"}[way]
    network = toys.build(3)
    weight = network.body.weight.detach()
    pair = lr.initialize(weight, 5, initializer=chosen)
    torch.testing.assert_close(pair.product(), 2 * lr.initialize(weight, 5, initializer="spectral").product())
    curve = lr.error_curve(weight, initializer=chosen)
    assert curve.frobenius_error.iloc[-1] == pytest.approx(1, abs=1e-5)  # |2 W - W|^2 / |W|^2 at full rank
    plan = lr.allocate(network, parameter_ratio=0.6, initializer=chosen, example_input=torch.zeros(2, 1, 12, 12))
    assert plan.initializer == "toy"
    small = lr.factorize(network, rank_scale=0.5, initializer=chosen)
    expected = 2 * lr.initialize(weight, small.body.rank, initializer="spectral", activation="relu").product()
    torch.testing.assert_close(small.body.factors()[0].product(), expected)
    planned = lr.report(lr.factorize(network, plan=plan)).set_index("name")
    assert planned["rank"].dropna().to_dict() == plan.ranks


def test_a_toy_initializer_is_in_the_explorers_menu_curves_table_and_exports(toys, tmp_path):
    explorer = lr.explore(toys.build(3), initializer=toys.toy)
    assert explorer.state.initializer == "toy" and "toy" in explorer.controls.initializer.options
    assert explorer.wait(60)
    table = explorer.table()
    mine = table[table.initializer == "toy"].set_index("rank").frobenius_error
    assert mine.iloc[-1] == pytest.approx(1, abs=1e-5)  # |2 W - W|^2 / |W|^2 at full rank
    traces = [trace for trace in explorer.figure().to_dict()["data"] if trace["name"] == "toy"]
    colors = {trace[part]["color"] for trace in traces for part in ("line", "marker") if "color" in trace.get(part, {})}
    assert colors == {INITIALIZERS["toy"].color}
    assert "toy" in explorer.to_html(tmp_path / "page.html").read_text()
    explorer.page("Network").state.initializer = "toy"
    assert explorer.page("Network").wait(120) and explorer.network_plan().initializer == "toy"
    explorer.close()


def test_a_toy_initializer_network_and_data_set_train_resume_and_load(toys):
    choices = {"data": toys.data, "rank_scale": 0.5, "layers": "convolutions", "initializer": toys.toy, "steps": 4}
    choices |= {"batch_size": 16, "workers": 0, "device": "cpu", "decay": "none", "checkpoint_steps": 2}
    run = lr.train(toys.build, name="toy", **choices)
    assert run.wait(time_limit_s=120) and run.status["state"] == "done", run.status
    assert lr.runs("runs").iloc[0].initializer == "toys:toy"
    again = lr.train(toys.build, name="toy", resume=True, **choices)
    assert again.wait(time_limit_s=120) and again.status["state"] == "done"
    network = lr.load("runs/toy")
    assert isinstance(network.body, lr.FactorizedConv2d) and network(torch.zeros(2, 1, 12, 12)).shape == (2, 3)


def test_the_command_line_takes_all_three_and_a_sweep_runs_them(toys):
    arguments = ["--data", "toys:data", "--rank-scale", "0.5", "--layers", "convolutions", "--steps", "2"]
    arguments += ["--batch-size", "16", "--workers", "0", "--device", "cpu", "--seed", "0,1"]
    command = [sys.executable, "-m", "lrexplore", "sweep", "toys:build", "--initializer", "toys:toy,spectral"]
    began = time.monotonic()
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr} after {time.monotonic() - began:.0f} s"
    table = lr.runs("runs")
    assert sorted(zip(table.initializer, table.seed, strict=True)) == [
        ("spectral", 0), ("spectral", 1), ("toys:toy", 0), ("toys:toy", 1),
    ]  # fmt: skip
    assert set(table.state) == {"done"}


def test_a_toy_activation_is_read_where_it_follows_a_layer():
    class Bent(nn.Module):
        def forward(self, x):
            return torch.where(x > 0, x, 0.5 * x)

    lr.activation("bent", lambda x: torch.where(x > 0, x, 0.5 * x), modules=(Bent,))
    model = nn.Sequential(nn.Linear(12, 10), Bent(), nn.Linear(10, 8))
    assert lr.layers(model)["follows"].tolist()[0] == "bent"
    weight = model[0].weight.detach()
    factors = lr.initialize(weight, 3, activation="bent")
    ours = lr.function_error(weight, factors, activation="bent")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200_000, 12, generator=generator)
    wanted, got = Bent()(x @ weight.mT), Bent()(x @ factors.product().mT)
    assert ours == pytest.approx(float((wanted - got).square().sum() / wanted.square().sum()), rel=0.02)
    small, by_hand = lr.factorize(model, ranks={"0": 3}), factors.product()
    torch.testing.assert_close(small[0].left @ small[0].right, by_hand)
    plan = lr.allocate(model, parameter_ratio=0.9)
    curve = lr.error_curve(weight, activation="bent", initializer="function")
    for layer in plan.layers[:1]:
        assert layer.error == pytest.approx(0 if layer.rank is None else curve.function_error[layer.rank - 1], rel=1e-4)
    assert plan.ranks
    explorer = lr.explore(model)
    assert explorer.state.activation == "bent" and "bent" in explorer.controls.activation.options
    explorer.close()
