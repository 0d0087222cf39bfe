"""What decay controls, layer by layer: norms, how far weight decay's bound is from them, the effective rate."""

import torch
from torch import Tensor, nn

from lrexplore.linalg import Factors, matricize, upcast
from lrexplore.models.language.separate_attention import PRODUCTS, attentions
from lrexplore.nn import FACTORIZED
from lrexplore.nn.rebuilt import all_changed
from lrexplore.nn.sparse import SparseWeight, sparse_layers
from lrexplore.optim import frobenius_penalty
from lrexplore.training.chosen_ranks import candidates

_NAMES = ("frobenius_norm", "nuclear_norm", "factor_bound", "non_orthogonality")


def watched_layers(model: nn.Module, layers: str) -> list[str]:
    """The factorized or pruned layers; in another network those that would be factorized. Then the heads of a network
    for text, such as "encoder.0.attention:qk.3"."""
    names = list(all_changed(model)) or [layer.name for layer in candidates(model, layers)]
    heads = [
        f"{name}:{product}.{head}"
        for name, attention in attentions(model).items()
        for product in PRODUCTS
        for head in range(attention.num_heads)
    ]
    return names + heads


@torch.no_grad()
def measure_layers(model: nn.Module, names: list[str], lr: float, scheme: str) -> dict[str, list[float]]:
    """Lists with one number a layer: frobenius_norm and nuclear_norm of the weight, factor_bound
    (|left|^2 + |right|^2) / 2 >= nuclear_norm, non_orthogonality of the factors' Grams, effective_lr = lr / |W|_F^2.

    NaN where the weights are not finite. A layer without factor pairs (of tensors, sparse, ordinary) is measured by
    the weight that acts, matricized by `scheme`; its bound is its nuclear norm, and it has no Grams.
    """
    rows = [
        _measure_head(model, name) if ":" in name else _measure(model.get_submodule(name), scheme) for name in names
    ]
    measured = {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}
    if rows:
        measured["effective_lr"] = [lr / max(row["frobenius_norm"] ** 2, 1e-30) for row in rows]
    return measured


@torch.no_grad()
def product_norms(modules: list[nn.Module]) -> Tensor:
    """|left right|_F of every factorized layer, (layers,) float64."""
    return torch.stack([frobenius_penalty(module).double() for module in modules]).clamp_min(0).sqrt()


def parameters_left(model: nn.Module) -> float:
    """The share of a factorized network's parameters that are left of the one before; 1 where none was replaced."""
    after = sum(parameter.numel() for parameter in model.parameters())
    records = getattr(model, "factorization", ())
    return after / (after + sum(record.parameters_before - record.parameters_after for record in records))


def zeros_at_the_end(model: nn.Module, sparsity: float | None) -> int:
    """Weights that masks leave out: those there are, or with a `sparsity` those that a run will have come to."""
    masks = [layer.mask for layer in sparse_layers(model).values()]
    total = sum(mask.numel() for mask in masks)
    return total - (sum(int(mask.sum()) for mask in masks) if sparsity is None else round((1 - sparsity) * total))


def _measure(module: nn.Module, scheme: str) -> dict[str, float]:
    if not all(torch.isfinite(parameter).all() for parameter in module.parameters(recurse=False)):
        return dict.fromkeys(_NAMES, float("nan"))
    if isinstance(module, FACTORIZED):
        return _measure_pairs(module.factors())
    weight = module.masked() if isinstance(module, SparseWeight) else module.weight
    kernels = upcast(weight).chunk(getattr(module, "groups", 1))
    values = torch.cat([torch.linalg.svdvals(matricize(kernel, scheme)) for kernel in kernels])
    return _norms(values, float(values.sum()), 0.0)


def _measure_head(model: nn.Module, name: str) -> dict[str, float]:
    place, _, which = name.partition(":")
    product, _, head = which.partition(".")
    left, right = (stack[int(head)].detach() for stack in model.get_submodule(place).pairs(product))
    if not (torch.isfinite(left).all() and torch.isfinite(right).all()):
        return dict.fromkeys(_NAMES, float("nan"))
    return _measure_pairs([Factors(left, right)])


def _measure_pairs(pairs: list[Factors]) -> dict[str, float]:
    pairs = [pair.to(torch.float64) for pair in pairs]  # squares of a diverging run overflow
    values = torch.cat([_product_singular_values(pair) for pair in pairs])
    bound = sum(float(pair.left.square().sum() + pair.right.square().sum()) for pair in pairs) / 2
    return _norms(values, bound, sum(_non_orthogonality(pair) for pair in pairs) / len(pairs))


def _norms(values: Tensor, bound: float, slant: float) -> dict[str, float]:
    return {
        "frobenius_norm": float(values.square().sum().sqrt()), "nuclear_norm": float(values.sum()),
        "factor_bound": bound, "non_orthogonality": slant,
    }  # fmt: skip


def _product_singular_values(pair: Factors) -> Tensor:
    cores = torch.linalg.qr(pair.left, mode="r")[1], torch.linalg.qr(pair.right.mT, mode="r")[1]
    return torch.linalg.svdvals(cores[0] @ cores[1].mT)


def _non_orthogonality(pair: Factors) -> float:
    """Mean over the two Grams of the norm off the diagonal over the whole norm."""
    grams = pair.left.mT @ pair.left, pair.right @ pair.right.mT
    shares = [(gram - gram.diag().diag()).norm() / gram.norm().clamp_min(1e-30) for gram in grams]
    return float(sum(shares)) / 2
