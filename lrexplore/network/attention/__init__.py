"""A model's attention heads: which there are, what they lose by fewer dimensions, and models with smaller ones."""

from lrexplore.network.attention.find_heads import Head, find_heads, head_grams
from lrexplore.network.attention.head_choices import choose_head_ranks
from lrexplore.network.attention.head_table import heads_table
from lrexplore.network.attention.smaller_heads import balance_heads, collapse_heads, smaller_heads

heads = heads_table
