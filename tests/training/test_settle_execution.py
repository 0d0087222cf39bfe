import pandas as pd
import pytest
from training.runs import numbers, same_weights, tiny

from lrexplore.records.layout import read_json
from lrexplore.training import settle_execution as execution
from lrexplore.training.run import run


def stand_in(calls):
    """A measurement that says "product" for every other layer."""

    def choose(model, images):
        calls.append(images.shape)
        names = list(execution.factorized_layers(model))
        return pd.DataFrame({"name": names, "execution": ["product", "factors"] * (len(names) // 2)})

    return choose


def test_a_run_by_the_products_has_the_losses_of_one_by_the_factors(tmp_path):
    losses = []
    for name in ("factors", "product"):
        config = tiny(tmp_path, name, execution=name, lr=1e-5)  # a rate at which rounding does not grow
        run(config)
        losses.append([row["loss"] for row in numbers(config)["steps"]])
    # Sums in another order: the last of a float32's seven digits, over six steps.
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] != losses[1]


def test_what_is_fastest_is_measured_once_on_a_batch_and_kept_by_a_resumed_run(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(execution, "choose_execution", stand_in(calls))
    whole, parts = (tiny(tmp_path, name, execution="fastest") for name in ("whole", "parts"))
    run(whole)
    assert calls == [(16, 3, 16, 16)]
    left = iter([False, False, False, True])
    assert run(parts, should_stop=lambda: next(left)) == "stopped"
    chosen = read_json(tmp_path / "parts" / "run.json")["execution"]
    assert set(chosen.values()) == {"factors", "product"}
    monkeypatch.setattr(execution, "choose_execution", None)
    assert run(parts) == "done"
    assert numbers(parts) == numbers(whole) and same_weights(parts, whole)


def test_a_real_measurement_says_one_way_for_every_layer(tmp_path):
    config = tiny(tmp_path, "measured", execution="fastest", steps=1)
    run(config)
    described = read_json(tmp_path / "measured" / "run.json")
    replaced = [layer["name"] for layer in described["factorization"] if layer["rank"] is not None]
    assert list(described["execution"]) == replaced
    assert set(described["execution"].values()) <= {"factors", "product"}
