"""What a run is called: by its choices, and with a number where that name is taken."""

import itertools
from pathlib import Path

from lrexplore.disk.paths import made_folder
from lrexplore.recipes.config import LANGUAGE_MODELS, Config


def default_name(config: Config) -> str:
    """A name from the choices that runs are compared by, such as resnet20-function-0.1-frobenius-seed0."""
    ranks = next((str(v) for v in (config.rank_scale, config.rank_ratio) if v is not None), "plan")
    model, initializer = config.model.replace(":", "."), config.initializer.replace(":", ".")
    if config.start is not None:
        model += f"-from-{Path(config.start).stem.replace(':', '.')}"
    if config.rank_change is not None:
        model += f"-{config.rank_change}"
    if config.form != "matrix":
        initializer = f"{config.form}-{initializer}"
    parts = [model, initializer, ranks] if config.factorized else [model, config.overcomplete or "unfactorized"]
    if config.sparsity is not None:
        parts = [model, config.prune, f"{config.sparsity:g}"]
    if config.model in LANGUAGE_MODELS:
        starts, decays = ((config.qk_initializer, config.ov_initializer), (config.qk_decay, config.ov_decay))
        heads = [f"heads{config.head_scale:g}", "+".join(dict.fromkeys(starts)), "+".join(dict.fromkeys(decays))]
        parts = [model, *heads, *parts[1:]]
    return "-".join([*parts, config.decay, f"seed{config.seed}"])


def new_name(runs: str | Path, name: str) -> str:
    """The name, with a number where it is taken. Its folder is made: whoever asks next gets another one."""
    runs = made_folder(runs, "runs")
    for candidate in itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2))):
        try:
            (runs / candidate).mkdir()
        except FileExistsError:
            continue
        return candidate
    raise AssertionError("there is a number that is not taken")
