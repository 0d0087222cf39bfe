"""Which parameter gets which decay, decided by the module that owns it and never by its name."""

from collections.abc import Iterable
from numbers import Real

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from lrexplore.nn import Factorized
from lrexplore.nn.attention import HeadRows
from lrexplore.nn.kinds import check_module
from lrexplore.optim.head_decay import head_decays

DECAYS = ("frobenius", "weight", "none")
_BIASES = (nn.MultiheadAttention, nn.RNNBase)  # whose biases have names such as in_proj_bias
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def parameter_groups(
    model: nn.Module, *, decay: str = "frobenius", decay_strength: float, decay_norms: bool, linear: bool = True,
    qk: bool | None = None, ov: bool | None = None,
) -> list[dict]:  # fmt: skip
    """Optimizer groups `factors`, `weights` and `norms and biases` (their key `name`), each trainable parameter once.

    Weights get weight decay `decay_strength`. Factors get it under `decay="weight"`, else 0: with "frobenius" attach
    `FrobeniusDecay(model, decay_strength)` to the optimizer, "none" leaves them free. `decay_norms` says whether gains
    and shifts of normalizations and all biases get weight decay as well: True is what Khodak et al. 2021 and torch's
    default do, False is common for AdamW. Empty groups are left out. `linear`, `qk` and `ov` say what counts as
    factors: factorized layers, and the weights of attention heads by their query-key and output-value products (None:
    of factorized heads only), as in `FrobeniusDecay`; the rest are weights. Raises ValueError for another `decay`.

    >>> model = torch.nn.Sequential(lr.FactorizedLinear(16, 32, rank=4), torch.nn.Linear(32, 8))
    >>> groups = lr.parameter_groups(model, decay_strength=1e-3, decay_norms=False)
    >>> [(group["name"], group["weight_decay"]) for group in groups]
    [('factors', 0.0), ('weights', 0.001), ('norms and biases', 0.0)]
    """
    check_module(model)
    if not isinstance(decay_strength, Real) or not 0 <= decay_strength < float("inf"):
        raise ValueError(f"`decay_strength` must be a number >= 0, got {decay_strength!r}. Use 0 for none.")
    if not isinstance(decay_norms, bool):
        raise TypeError(f"`decay_norms` must be True or False, got {decay_norms!r}. Choose one of them.")
    if not isinstance(linear, bool):
        raise TypeError(f"`linear` must be True or False, got {linear!r}. Choose one of them.")
    if not isinstance(decay, str) or decay not in DECAYS:
        raise ValueError(f"`decay` must be one of {', '.join(DECAYS)}, got {decay!r}. Choose one of them.")
    factors, small, weights = [], [], []
    of_heads = {id(weight) for each in head_decays(model, qk, ov) for weight in each.weights()}
    for module in model.modules():
        is_pair = linear and isinstance(module, Factorized)
        own_factors = of_heads | set(map(id, module.factor_parameters())) if is_pair else of_heads
        for attribute, parameter in module._parameters.items():
            if parameter is None or not parameter.requires_grad:
                continue
            if id(parameter) in own_factors:
                factors.append(parameter)
            elif (
                isinstance(module, _NORMS)
                or attribute == "bias"
                or (isinstance(module, HeadRows) and attribute == "shift")
                or (isinstance(module, _BIASES) and "bias" in attribute)
            ):
                small.append(parameter)
            else:
                weights.append(parameter)
    groups, seen = [], set()
    for name, parameters, amount in (
        ("factors", factors, decay_strength if decay == "weight" else 0.0),
        ("weights", weights, decay_strength),
        ("norms and biases", small, decay_strength if decay_norms else 0.0),
    ):
        fresh = [p for p in dict.fromkeys(parameters) if id(p) not in seen]
        seen |= {id(parameter) for parameter in fresh}
        if fresh:
            groups.append({"name": name, "params": fresh, "weight_decay": amount})
    return groups


def without_weight_decay(groups: list[dict], parameters: Iterable[nn.Parameter]) -> list[dict]:
    """The optimizer's groups with these parameters in one of their own, `heads`, that has weight decay 0."""
    chosen = {id(parameter) for parameter in parameters}
    taken = [parameter for group in groups for parameter in group["params"] if id(parameter) in chosen]
    left = [{**group, "params": [p for p in group["params"] if id(p) not in chosen]} for group in groups]
    heads = [{"name": "heads", "params": taken, "weight_decay": 0.0}] if taken else []
    return [group for group in left if group["params"]] + heads
