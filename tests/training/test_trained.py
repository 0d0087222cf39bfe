import pytest
import torch
from training.runs import numbers, tiny, weights

import lrexplore as lr
from lrexplore.datasets import Request, normalize, open_data
from lrexplore.ranks import allocate
from lrexplore.training.model import build_model
from lrexplore.training.run import run


def top1(model, config):
    """Percent of the test images that a network names, as the run's last evaluation has it."""
    data = open_data(config.data, image_size=config.image_size)
    batch = data.test[Request(list(range(len(data.test))))]
    with torch.no_grad():
        answers = model(normalize(batch.images, data.mean, data.std)).argmax(1)
    return 100 * float((answers == batch.labels).float().mean())


@pytest.mark.parametrize("choices", [{}, {"scheme": "spatial"}, {"rank_scale": None}, {"ema": 0.5}], ids=str)
def test_a_runs_network_comes_back_from_its_folder_with_its_test_result(tmp_path, choices):
    config = tiny(tmp_path, "done", **choices)
    run(config)
    drawn = torch.get_rng_state()
    model = lr.load(tmp_path / "done")
    assert torch.equal(torch.get_rng_state(), drawn) and not model.training
    if "ema" not in choices:
        assert all(torch.equal(value, weights(config)[name]) for name, value in model.state_dict().items())
    assert top1(model, config) == pytest.approx(numbers(config)["epochs"][-1]["test_top1"])


def test_the_network_of_a_plan_comes_back_without_the_plans_file(tmp_path):
    path = tmp_path / "plan.json"
    model = build_model(tiny(tmp_path, "any", rank_scale=None), 2)
    allocate(model, parameter_ratio=0.4, initializer="spectral").save(path)
    config = tiny(tmp_path, "planned", rank_scale=None, plan=str(path), steps=1)
    run(config)
    path.unlink()
    ranks = {record.name: record.rank for record in lr.load(tmp_path / "planned").factorization if record.rank}
    assert ranks and len(set(ranks.values())) > 1


def test_a_folder_without_a_run_or_without_weights_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be the folder of a run"):
        lr.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="must be a run with its weights"):
        lr.load("data/records/resnet20-function-0.1-frobenius-seed0")
