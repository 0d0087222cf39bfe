"""Networks from disk, wherever they were kept: in a file of `lr.save`, the folder of a run or of `save_pretrained`."""

import json
from pathlib import Path

from torch import nn
from torch.nn.parameter import is_lazy

from lrexplore.disk.paths import as_path
from lrexplore.network.files import read
from lrexplore.nn.kinds import check_module
from lrexplore.ranks import RankPlan


def load(path: str | Path, model: nn.Module | None = None) -> nn.Module:
    """The network in a file that `lr.save` wrote, or in the folder of a run, on the CPU and in evaluation mode.

    A folder that `save_pretrained` of transformers wrote is opened by the class that it names. Of a run it is the
    network as trained so far (`lrexplore.training.model`). A network of a known architecture needs no more. For one of
    your own give its unfactorized `model` (any weights); it is not changed. The plan it was saved with is its
    `rank_plan`.
    Raises ValueError for a file of another kind or a `model` that does not fit.

    >>> import lrexplore as lr, tempfile, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> path = f"{tempfile.mkdtemp()}/small.safetensors"
    >>> lr.save(lr.factorize(model, rank_scale=0.25), path)
    >>> lr.load(path, model)(torch.zeros(2, 8)).shape
    torch.Size([2, 4])
    """
    path = as_path(path)
    if (path / "config.json").is_file() and not (path / "run.json").is_file():
        return _of_transformers(path)
    if path.is_dir():
        from lrexplore.training.model import trained_network

        return trained_network(path)
    if model is not None and any(map(is_lazy, check_module(model).parameters())):
        raise ValueError("`model` must have its weights, got one that is lazy and has none yet. Run it once first.")
    network, plan = read(path, model)
    if plan:
        network.rank_plan = RankPlan.from_json(plan)  # type: ignore[assignment]  # as in `factorize`
    return network


def _of_transformers(folder: Path) -> nn.Module:
    from lrexplore.nn.huggingface import register_transformers

    register_transformers()
    import transformers

    try:
        [name] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
        kind = getattr(transformers, name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`path` must be a folder whose config.json names a class of transformers, got {folder} "
            f"({type(error).__name__}: {error}). Open it with `from_pretrained` of its class, after "
            "`lr.register_transformers()`."
        ) from None
    return kind.from_pretrained(folder).eval()
