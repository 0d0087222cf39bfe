import pytest

from lrexplore.recipes import RECIPES, configure
from lrexplore.training.learner import learning_rate
from lrexplore.training.loading import StepPlan


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"initializer": "best"}, "initializer"),
        ({"decay": "l2"}, "decay"),
        ({"rank_scale": 0.0}, "rank_scale"),
        ({"rank_scale": 1.5}, "rank_scale"),
        ({"rank_scale": 0.1, "plan": "plan.json"}, "rank_scale"),
        ({"rank_scale": 0.1, "rank_multiple": 0}, "rank_multiple"),
        ({"rank_ratio": 0.1, "rank_multiple": 8}, "rank_multiple"),
        ({"execution": "both"}, "execution"),
        ({"lr": -1.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"epochs": 1.0, "steps": 3}, "epochs"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"decay": "normalized"}, "norms_from"),
        ({"norms_from": "runs/a"}, "norms_from"),
        ({"name": "a/b"}, "name"),
        ({"name": ".."}, "name"),
        ({"recipe": "best"}, "recipe"),
        ({"learning_rate": 0.1}, "learning_rate"),
    ],
)
def test_a_choice_that_makes_no_sense_is_named_with_the_rule_and_the_way_out(choices, field):
    with pytest.raises(ValueError, match=rf"`{field}` must be .*, got .*\. .*\."):
        configure(**{"model": "resnet20", **choices})


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_makes_a_configuration_that_any_choice_overrides(recipe):
    assert configure(recipe, model="resnet50").recipe == recipe
    assert configure(recipe, model="resnet50", lr=0.123).lr == 0.123
    assert configure(recipe, model="resnet50", steps=7).epochs is None
    assert configure(recipe, model="resnet50", epochs=7.0).steps is None


def rates(config, steps_per_epoch, num_steps=None):
    num_steps = num_steps or config.steps or round(config.epochs * steps_per_epoch)
    return [learning_rate(config, step, num_steps, steps_per_epoch) for step in range(num_steps)]


def test_fnls_schedule_is_a_tenth_after_half_and_after_three_quarters_of_the_epochs():
    found = rates(configure("fnl", model="resnet20"), 391)
    assert len(found) == 200 * 391
    assert found[0] == found[100 * 391 - 1] == 0.1
    assert found[100 * 391] == found[150 * 391 - 1] == pytest.approx(0.01)
    assert found[150 * 391] == found[-1] == pytest.approx(0.001)


def test_fnls_deep_networks_begin_with_an_epoch_at_a_tenth():
    found = rates(configure("fnl-deep", model="resnet110"), 391)
    assert found[0] == found[390] == pytest.approx(0.01) and found[391] == 0.1


def test_nlis_schedule_rises_to_its_rate_in_1560_steps_and_falls_as_a_cosine_over_60440():
    config = configure("nli", model="resnet50")
    found = rates(config, 1_281_167 // 4096)
    assert len(found) == 62_000
    assert found[1559] == pytest.approx(1.6) and found[0] == pytest.approx(1.6 / 1560)
    assert found[1560 + 30_220] == pytest.approx(0.8)
    assert 0 < found[-1] < 1e-8


def test_one_process_and_many_cut_a_step_into_the_same_micro_batches():
    config = configure(model="resnet20", batch_size=64, micro_batch_size=8, epochs=2.0)
    assert [StepPlan.of(config, 1000, count).num_micro_batches for count in (1, 2, 4, 8)] == [8, 4, 2, 1]
    assert StepPlan.of(config, 1000, 1).num_steps == 30
    with pytest.raises(ValueError, match="3 processes"):
        StepPlan.of(config, 1000, 3)
