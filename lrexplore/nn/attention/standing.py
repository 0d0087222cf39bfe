"""The modules that stand for an attention's projections once its heads keep fewer dimensions."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from lrexplore.nn.attention.attention_classes import architecture_of, set_at
from lrexplore.nn.attention.multihead import FactorizedMultiheadAttention
from lrexplore.nn.attention.narrow import HeadColumns, HeadRows, NarrowHeads
from lrexplore.nn.attention.stacks import AttentionHeads, attentions_of, heads_of

Kept = Sequence[Sequence[int]]  # the dimensions that each key head keeps


def standing_modules(
    attention: AttentionHeads, qk: Kept, ov: Kept, *, output_bias: bool, device: Any = None
) -> dict[int, nn.Module]:
    """Id of a module -> what stands for it, drawn anew: the attention's projections, or itself where it is torch's.

    `output_bias`: the output projection has a bias, also where it had none.
    """
    share = attention.num_heads // attention.num_groups
    many = {"q": [list(kept) for kept in qk for _ in range(share)], "k": qk, "v": ov}
    outputs = [list(kept) for kept in ov for _ in range(share)]
    module: Any = attention.module
    like: dict[str, Any] = {"device": device or attention.o.weight.device, "dtype": attention.o.weight.dtype}
    if isinstance(module, nn.MultiheadAttention):
        whole = FactorizedMultiheadAttention(
            module.embed_dim, module.num_heads, qk, ov, dropout=module.dropout, bias=module.in_proj_bias is not None,
            out_bias=output_bias, add_zero_attn=module.add_zero_attn, kdim=module.kdim, vdim=module.vdim,
            batch_first=module.batch_first, **like,
        )  # fmt: skip
        return {id(module): whole.train(module.training)}
    record = attention.architecture
    like.update(width=head_width(attention, qk, ov), head_dim=attention.head_dim)
    modules: dict[int, nn.Module] = {}
    for path in record.projections[:-1]:
        old: Any = module.get_submodule(path)
        places = [kept for part in ("q", "k", "v") if getattr(record, part) == path for kept in many[part]]
        transposed = type(old).__name__ == "Conv1D"
        inputs = old.weight.shape[0 if transposed else 1]
        modules[id(old)] = HeadRows(inputs, places, bias=old.bias is not None, transposed=transposed, **like)
    old = module.get_submodule(record.o)
    transposed = type(old).__name__ == "Conv1D"
    outputs_size = old.weight.shape[1 if transposed else 0]
    modules[id(old)] = HeadColumns(outputs_size, outputs, bias=output_bias, transposed=transposed, **like)
    for new in modules.values():
        new.train(module.training)
    return modules


def head_width(attention: AttentionHeads, qk: Kept, ov: Kept) -> int:
    """Numbers a head that its projections give: the largest rank where the class can be told, else its dimension."""
    if attention.architecture.head_width and not attention.architecture.rotary:
        return max(map(len, [*qk, *ov]))
    return attention.head_dim


def tell_width(module: nn.Module) -> None:
    """Sets what an attention's forward reads of the size of its heads to that of its projections as they are now."""
    record = architecture_of(module)
    attention = heads_of(module, record) if record is not None and record.head_width else None
    if attention is None:
        return
    output = module.get_submodule(attention.architecture.o)
    width = output.width if isinstance(output, NarrowHeads) else attention.head_dim
    assert isinstance(width, int)
    for path in attention.architecture.head_width:
        set_at(module, path, width)
    for path in attention.architecture.total_width:
        set_at(module, path, width * attention.num_heads)


def kept_dimensions(attention: AttentionHeads) -> tuple[list[list[int]], list[list[int]]]:
    """The dimensions that the key heads of a factorized attention keep of queries and keys, and of values."""
    module, record = attention.module, attention.architecture
    share = attention.num_heads // attention.num_groups
    output: Any = module.get_submodule(record.o)
    keys: Any = module.get_submodule(record.k)
    first = attention.num_heads if record.k == record.q else 0
    qk = [list(kept) for kept in keys.places[first : first + attention.num_groups]]
    return qk, [list(kept) for kept in output.places[::share]]


def factorized_heads(model: nn.Module) -> dict[str, dict]:
    """Name of an attention whose heads are factorized -> the dimensions they keep, in plain values."""
    described = {}
    for name, attention in attentions_of(model).items():
        if attention.is_narrow:
            qk, ov = kept_dimensions(attention)
            described[name] = {"qk": qk, "ov": ov, "output_bias": attention.output_bias is not None}
    return described
