"""What is known of each class of attention: where its projections are, how many heads, what happens to the queries."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One class of attention. Paths are those of submodules and attributes, from the attention module.

    `q`, `k`, `v`, `o`: its projections (linear layers, or transformers' Conv1D); two or three of one path are fused
    into one layer, in this order. `heads`: the number of query heads. `rotary`: "half" where dimension i turns with i +
    d/2, "pairs" where 2i turns with 2i + 1. `normalized`: what acts on queries and keys after their projections, so
    that no product of weights is the form; `between`: what acts on the heads' outputs before `o`. Where these are None
    or an nn.Identity they do nothing. `head_width`, `total_width`: attributes of the size of a head and of all heads
    that its forward reads, where setting them makes the heads narrower and leaves the scale alone. `causal`: the
    attribute that says whether a query sees no later key. `logit_bias`: positions add to the logits. `reads`: the
    forward reads the projections' weights and does not call them.
    """

    cls: str
    q: str
    k: str
    v: str
    o: str
    heads: str
    rotary: str = ""
    normalized: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    head_width: tuple[str, ...] = ()
    total_width: tuple[str, ...] = ()
    causal: str = ""
    logit_bias: bool = False
    reads: bool = False

    @property
    def projections(self) -> tuple[str, ...]:
        """The paths of the layers, each once."""
        return tuple(dict.fromkeys((self.q, self.k, self.v, self.o)))


_BERT = [("bert", "Bert"), ("roberta", "Roberta"), ("xlm_roberta", "XLMRoberta"), ("electra", "Electra")]
_LLAMA = [("llama", "Llama"), ("qwen2", "Qwen2"), ("mistral", "Mistral"), ("qwen3", "Qwen3"), ("gemma", "Gemma")]
_VIT = [("vit", "ViT"), ("deit", "DeiT"), ("dinov2", "Dinov2")]
_BART = [("bart", "Bart"), ("mbart", "MBart"), ("marian", "Marian"), ("opt", "OPT"), ("clip", "CLIP")]

ARCHITECTURES: list[Architecture] = [
    Architecture(
        cls="torch.nn.modules.activation.MultiheadAttention", q="", k="", v="", o="out_proj", heads="num_heads",
    ),
    Architecture(
        cls="lrexplore.nn.attention.multihead.FactorizedMultiheadAttention", q="q", k="k", v="v", o="o",
        heads="num_heads",
    ),
    Architecture(
        cls="lrexplore.models.language.separate_attention.MultiHead", q="q", k="k", v="v", o="o", heads="num_heads",
        head_width=("head_dim",),
    ),
    Architecture(
        cls="torchvision.models.swin_transformer.ShiftedWindowAttention", q="qkv", k="qkv", v="qkv", o="proj",
        heads="num_heads", logit_bias=True, reads=True,
    ),
    Architecture(
        cls="torchvision.models.swin_transformer.ShiftedWindowAttentionV2", q="qkv", k="qkv", v="qkv", o="proj",
        heads="num_heads", normalized=("logit_scale",), logit_bias=True, reads=True,
    ),
    Architecture(
        cls="timm.layers.attention.Attention", q="qkv", k="qkv", v="qkv", o="proj", heads="num_heads",
        normalized=("q_norm", "k_norm"), between=("norm", "gate"),
    ),
    Architecture(
        cls="timm.models.swin_transformer.WindowAttention", q="qkv", k="qkv", v="qkv", o="proj",
        heads="num_heads", logit_bias=True,
    ),
    *(
        Architecture(
            cls=f"transformers.models.{room}.modeling_{room}.{name}Attention", q="self.query", k="self.key",
            v="self.value", o="output.dense", heads="self.num_attention_heads",
            head_width=("self.attention_head_size",), total_width=("self.all_head_size",),
            causal="self.is_causal",
        )
        for room, name in _BERT
    ),
    *(
        Architecture(
            cls=f"transformers.models.{room}.modeling_{room}.{name}Attention", q="q_proj", k="k_proj", v="v_proj",
            o="o_proj", heads="num_attention_heads", head_width=("head_dim",),
        )
        for room, name in _VIT
    ),
    *(
        Architecture(
            cls=f"transformers.models.{room}.modeling_{room}.{name}Attention", q="q_proj", k="k_proj", v="v_proj",
            o="out_proj", heads="num_heads", head_width=("head_dim",), causal="is_causal",
        )
        for room, name in _BART
    ),
    *(
        Architecture(
            cls=f"transformers.models.{room}.modeling_{room}.{name}Attention", q="q_proj", k="k_proj", v="v_proj",
            o="o_proj", heads="config.num_attention_heads", rotary="half", normalized=("q_norm", "k_norm"),
            causal="is_causal",
        )
        for room, name in _LLAMA
    ),
    Architecture(
        cls="transformers.models.gpt2.modeling_gpt2.GPT2Attention", q="q_attn", k="c_attn", v="c_attn", o="c_proj",
        heads="num_heads", head_width=("head_dim",), total_width=("split_size",), causal="is_causal",
    ),
    Architecture(
        cls="transformers.models.gpt2.modeling_gpt2.GPT2Attention", q="c_attn", k="c_attn", v="c_attn", o="c_proj",
        heads="num_heads", head_width=("head_dim",), total_width=("split_size",), causal="is_causal",
    ),
    Architecture(
        cls="transformers.models.t5.modeling_t5.T5Attention", q="q", k="k", v="v", o="o", heads="n_heads",
        head_width=("key_value_proj_dim",), total_width=("inner_dim",), logit_bias=True,
    ),
    Architecture(
        cls="transformers.models.distilbert.modeling_distilbert.DistilBertSelfAttention", q="q_lin", k="k_lin",
        v="v_lin", o="out_lin", heads="n_heads", head_width=("attention_head_size",),
    ),
]  # fmt: skip


def class_name(cls: type) -> str:
    """The full name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def register_attention(
    cls: type[nn.Module], *, q: str, k: str, v: str, o: str, heads: str, rotary: str = "",
    normalized: tuple[str, ...] = (), between: tuple[str, ...] = (), head_width: tuple[str, ...] = (),
    total_width: tuple[str, ...] = (), causal: str = "", logit_bias: bool = False, reads: bool = False,
) -> Architecture:  # fmt: skip
    """The record of a class of attention, which `lr.heads` and `lr.factorize` know from now on in this process.

    `q`, `k`, `v`, `o` are the paths of its projections from the module (one path for fused ones), `heads` that of its
    number of query heads; the projections must be called as layers and split head by head, and the attention be a
    softmax of q^T k. See `lrexplore.nn.attention.Architecture` for the rest. Without `head_width` the smaller heads are
    filled up with zeros, which saves weights and not the products of the attention. Raises TypeError for what is no
    class of modules, ValueError for another `rotary`.

    >>> class Mixer(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.heads, self.qkv, self.out = 2, torch.nn.Linear(8, 24), torch.nn.Linear(8, 8)
    >>> record = lr.register_attention(Mixer, q="qkv", k="qkv", v="qkv", o="out", heads="heads")
    >>> lr.heads(Mixer())["name"].tolist()
    [':qk.0', ':qk.1', ':ov.0', ':ov.1']
    """
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        raise TypeError(f"`cls` must be a class of modules, got {cls!r}. Pass the class, as `type(module)`.")
    if rotary not in ("", "half", "pairs"):
        raise ValueError(
            f"`rotary` must be '', 'half' or 'pairs', got {rotary!r}. Leave it out without rotary positions."
        )
    for name, path in (("q", q), ("k", k), ("v", v), ("o", o), ("heads", heads)):
        if not isinstance(path, str) or not path:
            raise ValueError(f"`{name}` must be a path such as 'attn.{name}', got {path!r}. See `cls.__init__` for it.")
    record = Architecture(
        cls=class_name(cls), q=q, k=k, v=v, o=o, heads=heads, rotary=rotary, normalized=tuple(normalized),
        between=tuple(between), head_width=tuple(head_width), total_width=tuple(total_width), causal=causal,
        logit_bias=logit_bias, reads=reads,
    )  # fmt: skip
    ARCHITECTURES[:] = [record, *(other for other in ARCHITECTURES if other.cls != record.cls)]
    return record


def architecture_of(module: nn.Module) -> Architecture | None:
    """The record of a module that is a known attention with its projections in place; None for any other.

    A subclass counts where it computes by its base's forward.
    """
    for kind in type(module).__mro__:
        if kind is nn.Module:
            return None
        name = class_name(kind)
        for record in ARCHITECTURES:
            if record.cls == name and all(_has(module, path) for path in record.projections):
                return record if type(module).forward is kind.forward else None  # type: ignore[attr-defined]
    return None


def _has(module: nn.Module, path: str) -> bool:
    try:
        return isinstance(module.get_submodule(path), nn.Module)
    except AttributeError:
        return False


def attribute_at(module: nn.Module, path: str) -> object:
    """What an attribute path leads to from a module; None where it leads nowhere."""
    value: object = module
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def set_at(module: nn.Module, path: str, value: int) -> None:
    """Sets the attribute that a path leads to."""
    *above, last = path.split(".")
    setattr(attribute_at(module, ".".join(above)) if above else module, last, value)


def is_active(module: nn.Module, path: str) -> bool:
    """Whether something that acts is at a path."""
    value = attribute_at(module, path)
    return value is not None and not isinstance(value, nn.Identity)
