"""Low-rank neural networks: initialize factors by function, see what rank costs, explore in JupyterLab."""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "Factors": "lrexplore.linalg",
    "spectrum": "lrexplore.linalg",
    "frobenius_error": "lrexplore.linalg",
    "BatchNorm": "lrexplore.dual",
    "function_error": "lrexplore.dual",
    "ACTIVATIONS": "lrexplore.dual",
    "activation": "lrexplore.dual",
    "INITIALIZERS": "lrexplore.init",
    "initialize": "lrexplore.init",
    "initializer": "lrexplore.init",
    "error_curve": "lrexplore.init",
    "lower_bound": "lrexplore.proof",
    "certificate": "lrexplore.proof",
    "provable": "lrexplore.proof",
    "layers": "lrexplore.network",
    "heads": "lrexplore.network.attention",
    "head_error": "lrexplore.ranks",
    "register_attention": "lrexplore.nn.attention",
    "factorize": "lrexplore.ranks",
    "overcomplete": "lrexplore.network.forms",
    "prune": "lrexplore.network.pruning",
    "collapse": "lrexplore.network",
    "choose_execution": "lrexplore.network",
    "report": "lrexplore.network",
    "set_execution": "lrexplore.nn",
    "FactorizedLinear": "lrexplore.nn",
    "FactorizedConv2d": "lrexplore.nn",
    "FrobeniusDecay": "lrexplore.optim",
    "parameter_groups": "lrexplore.optim",
    "load_model": "lrexplore.models",
    "preprocess": "lrexplore.models",
    "REAL_INPUTS": "lrexplore.init",
    "input_error": "lrexplore.init.real",
    "calibrate": "lrexplore.calibration",
    "Calibration": "lrexplore.calibration",
    "implied_inputs": "lrexplore.calibration",
    "allocate": "lrexplore.ranks",
    "RankPlan": "lrexplore.ranks",
    "compare": "lrexplore.network.compare",
    "save": "lrexplore.network.files",
    "load": "lrexplore.opening",
    "register_transformers": "lrexplore.nn.huggingface",
    "export": "lrexplore.network.programs",
    "train": "lrexplore.training",
    "finetune": "lrexplore.training",
    "runs": "lrexplore.records",
    "outcomes": "lrexplore.records",
    "intervals": "lrexplore.records",
    "Run": "lrexplore.records",
    "explore": "lrexplore.explorer",
    "Explorer": "lrexplore.explorer",
    "watch": "lrexplore.explorer",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """The public name, imported from its room on first use (so that `import lrexplore` stays cheap)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lrexplore' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
