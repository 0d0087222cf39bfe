"""What the explorer shows of one product of an attention head, as plain arrays; it knows no widget and no plot."""

import numpy as np
import torch
from torch import nn

from lrexplore.calibration import Calibration
from lrexplore.init.head_factors import head_factors
from lrexplore.linalg import Factors, energy, stable_rank
from lrexplore.network.attention.find_heads import QK, head_grams
from lrexplore.network.attention.head_layers import HeadLayer
from lrexplore.nn.attention import heads_of
from lrexplore.ranks.heads.head_curves import head_curves, head_moments

BEST, PLAIN = "best factors", "truncated SVD"
LOST = {"QK": "logits", "OV": "output"}


class HeadStudy:
    """Spectrum of a head's product, and its error at every rank: all of it is known at once.

    `errors`: name -> (max_rank,), "best factors" and, on real inputs, the "truncated SVD" that knows nothing of them.
    `lost`: what the errors are of, the head's logits or its output. It stands where a `Study` of a layer does, and has
    nothing for long work to fill.
    """

    initializers: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    floor = None
    has_pictures = False

    def __init__(
        self, model: nn.Module, layer: HeadLayer, values: np.ndarray, calibration: Calibration | None, source: str
    ):
        self._model, self._layer, self._calibration = model, layer, calibration
        head = layer.head
        self.lost = LOST[head.kind]
        self.max_rank = head.dimension
        self.singular_values = values
        self.energy = energy(torch.as_tensor(values)).numpy()
        self.stable_rank = stable_rank(torch.as_tensor(values))
        self.errors = {BEST: head_curves(model, [head], calibration)[head.name]}
        self.inputs, self.inputs_in_full = "white inputs", "white inputs: N(0, I), queries and keys independent"
        if head.kind != QK:
            self.inputs_in_full = "white inputs: what is attended to is N(0, I)"
        if calibration is not None:
            self.errors[PLAIN] = head_curves(model, [head], calibration, fitted=False)[head.name]
            self.inputs, self.inputs_in_full = "real inputs", f"real inputs: held-out ones of {source}"

    def factors(self, initializer: str, rank: int) -> Factors:
        """The head's product at a rank: left (columns, rank) has the query bias as its last row, of QK with one.

        Of query heads that share a key head the rows are stacked. An odd rank is the even one below under rotary
        positions. `initializer` changes nothing.
        """
        head = self._layer.head
        attention = heads_of(self._model.get_submodule(head.attention))
        assert attention is not None
        step = self._layer.rank_step
        moment = head_moments(self._model, self._calibration).get(head.name)
        left, right = (gram[head.place] for gram in head_grams(attention, head.kind))
        fitted = head_factors(
            left, right, max(step, rank - rank % step),
            moments=None if moment is None else (moment.left.double().cpu(), moment.right.double().cpu()),
            planes=attention.planes if head.kind == QK else None,
        )  # fmt: skip
        first, second = (attention.q, attention.k) if head.kind == QK else (attention.o, attention.v)
        rows = attention.grouped(first.read().double().cpu())[head.place]
        if head.kind == QK and (bias := first.read_bias()) is not None:
            biases = attention.grouped(bias.double().cpu())[head.place]
            rows = torch.cat([rows, biases[..., None]], -1)
        product = Factors(
            rows.mT.flatten(0, 1) @ fitted.to_left, fitted.to_right @ second.read().double().cpu()[head.place]
        )
        return product.to(attention.o.weight.dtype)

    def to_fill(self, initializer: str) -> list[str]:
        """Nothing: there is no long work."""
        return []

    def num_known(self, initializer: str) -> int:
        """0: no initializer has a curve."""
        return 0

    def is_slow(self, initializer: str) -> bool:
        """Never."""
        return False
