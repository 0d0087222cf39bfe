"""Networks from disk, wherever they were kept: in a file of `lr.save`, or in the folder of a run."""

from pathlib import Path

from torch import nn

from lrexplore.network.files import read
from lrexplore.ranks import RankPlan


def load(path: str | Path, model: nn.Module | None = None) -> nn.Module:
    """The network in a file that `lr.save` wrote, or in the folder of a run, on the CPU and in evaluation mode.

    Of a run it is the network as trained so far (`lrexplore.training.model`). A network of a known architecture needs
    no more. For one of your own give its unfactorized `model` (any weights); it is not changed. The plan it was saved
    with is its `rank_plan`.
    Raises ValueError for a file of another kind or a `model` that does not fit.
    """
    if Path(path).is_dir():
        from lrexplore.training.model import trained_network

        return trained_network(path)
    network, plan = read(path, model)
    if plan:
        network.rank_plan = RankPlan.from_json(plan)
    return network
