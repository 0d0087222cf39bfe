"""Texts to train on: pairs of sentences in two languages, and running text; as batches of subwords."""

from lrexplore.datasets.text.subwords import Subwords
from lrexplore.datasets.text.text_data import TextData, open_pairs, open_texts
from lrexplore.datasets.text.token_batches import TokenBatch, TokenPairs, TokenTexts
