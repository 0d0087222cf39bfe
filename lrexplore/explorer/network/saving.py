"""A plan and its network as files, never over others unasked."""

from pathlib import Path

from torch import nn

from lrexplore.network.files import save
from lrexplore.ranks import RankPlan

SUFFIX = ".safetensors"


def places(text: str, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Paths of the network and of its plan for what was typed: "small" is small.safetensors and small.json.

    Raises ValueError for no name, a folder that is not there, and files that are there already unless `overwrite`.
    """
    path = Path(text.strip()).expanduser()
    if not text.strip() or path.is_dir():
        raise ValueError(f"`path` must be the name of a file, got {text.strip() or 'nothing'!r}. Type one: small.")
    path = path.with_name(path.name.removesuffix(SUFFIX).removesuffix(".json"))
    network, plan = path.with_name(path.name + SUFFIX), path.with_name(path.name + ".json")
    if not network.parent.is_dir():
        raise ValueError(f"`path` must lie in a folder that exists, got {network.parent}. Make it first.")
    there = [place.name for place in (network, plan) if place.exists()]
    if there and not overwrite:
        raise ValueError(
            f"`path` must be a new one, got one where {' and '.join(there)} exists. Choose another name, or tick "
            "'overwrite'."
        )
    return network, plan


def save_both(
    model: nn.Module, plan: RankPlan, network_path: Path, plan_path: Path, architecture: str | None = None
) -> str:
    """Writes the factorized network and its plan; a sentence that says what was written.

    Without its `architecture`, the name it has in `lr.load_model`, that is looked for.
    """
    save(model, network_path, architecture=architecture)
    plan.save(plan_path)
    size = network_path.stat().st_size / 1e6
    return (
        f"Wrote {network_path} ({size:.3g} MB, `lr.load({network_path.name!r})` brings it back) and {plan_path.name}, "
        "its plan."
    )
