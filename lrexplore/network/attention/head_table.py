"""The heads of a model as a table."""

import torch
from torch import nn

from lrexplore.linalg import effective_rank, gram_values, stable_rank
from lrexplore.network.attention.find_heads import OV, QK, find_heads, head_grams
from lrexplore.nn.attention import attentions_of


def heads_table(model: nn.Module):
    """The attention heads of a model as a pandas DataFrame, one row a head and product.

    Columns: name (such as `blocks.0.attn:qk.3`), kind ("QK": queries and keys; "OV": output and values), dimension (the
    largest rank), model_dimension, stable_rank and effective_rank of the product, parameters (of its factors), reason
    (why it cannot be factorized; empty where it can). Query heads that share a key head are one row. Values come from
    d x d Gram matrices: the small ones have half their digits.

    >>> table = lr.heads(torch.nn.MultiheadAttention(16, 2))
    >>> table[["name", "kind", "dimension", "parameters"]].values.tolist()[0]
    [':qk.0', 'QK', 8, 272]
    """
    import pandas as pd  # slow to import, and only tables need it

    values = {}
    for name, attention in attentions_of(model).items():
        for kind, reason in ((QK, attention.qk_reason), (OV, attention.ov_reason)):
            if reason is None and not attention.q.weight.is_meta:
                spectra = gram_values(*head_grams(attention, kind, torch.float32))
                values[name, kind] = [(stable_rank(row), effective_rank(row)) for row in spectra]
    rows = []
    for head in find_heads(model):
        ranks = values.get((head.attention, head.kind))
        stable, effective = ranks[head.place] if ranks else (float("nan"), float("nan"))
        rows.append(
            (
                head.name,
                head.kind,
                head.dimension,
                head.model_dimension,
                stable,
                effective,
                head.parameters,
                head.reason or "",
            )
        )
    columns = (
        "name", "kind", "dimension", "model_dimension", "stable_rank", "effective_rank", "parameters", "reason",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
