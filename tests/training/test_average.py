import pytest
import torch
from torch.nn import functional as F
from training.runs import tiny

from lrexplore.datasets import normalize, open_data
from lrexplore.training.learner import Learner
from lrexplore.training.loading import StepPlan, evaluation_batches, training_batches
from lrexplore.training.model import build_model
from lrexplore.training.processes import Processes

KEPT = 0.7
ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def learner_after_steps(tmp_path):
    """A learner after four steps with the state of its model after each of them."""
    config = tiny(tmp_path, "run", ema=KEPT, steps=4)
    data = open_data(config.data, image_size=config.image_size, num_images=config.num_images)
    learner = Learner(build_model(config, data.num_classes), config, data, ALONE)
    plan, states = StepPlan.of(config, len(data.train), 1), []
    for step, batches in enumerate(training_batches(config, data, plan, ALONE, 0)):
        learner.step(batches, step, lr=0.05, stop=False)
        states.append({key: value.clone() for key, value in learner.model.state_dict().items()})
    return learner, config, states


def test_the_average_keeps_its_share_at_every_step(learner_after_steps):
    learner, _, states = learner_after_steps
    assert len(states) == 4
    for key, found in learner.average.module.state_dict().items():
        if found.is_floating_point():
            expected = states[0][key]
            for state in states[1:]:
                expected = KEPT * expected + (1 - KEPT) * state[key]
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_evaluations_use_the_average_and_training_does_not(learner_after_steps):
    learner, config, states = learner_after_steps
    found = learner.evaluate(evaluation_batches(learner.data.test, config, 64, ALONE), lambda: False)
    (batch,) = evaluation_batches(learner.data.test, config, 64, ALONE)
    images = normalize(batch.images, learner.data.mean, learner.data.std)
    with torch.no_grad():
        losses = [
            float(F.cross_entropy(model.eval()(images), batch.labels))
            for model in (learner.average.module, learner.model)
        ]
    assert found["loss"] == pytest.approx(losses[0], rel=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-3
    assert all(value.equal(states[-1][key]) for key, value in learner.model.state_dict().items())
