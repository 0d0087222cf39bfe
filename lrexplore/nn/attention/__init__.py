"""Attention whose heads hold factors of their own rank: one record an architecture, and the modules that stand in."""

from lrexplore.nn.attention.attention_classes import Architecture, architecture_of, register_attention
from lrexplore.nn.attention.multihead import FactorizedMultiheadAttention
from lrexplore.nn.attention.narrow import HeadColumns, HeadRows
from lrexplore.nn.attention.stacks import AttentionHeads, HeadStack, attentions_of, heads_of
