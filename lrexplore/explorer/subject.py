"""The network under study: its factorizable layers, their weights, costs and inputs. It knows no view."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lrexplore.dual import BatchNorm
from lrexplore.explorer.head_spectra import HeadSpectra
from lrexplore.explorer.real_inputs import GAUSSIAN, YOURS, RealInputs
from lrexplore.init import Problem
from lrexplore.linalg import SCHEMES, check_finite, quick_singular_values, rank_from_scale, stable_rank
from lrexplore.linalg.tensors import MATRIX
from lrexplore.linalg.tensors.form_ranks import no_tensor
from lrexplore.network import Layer, batch_norm_of, factorized_flops, find_layers, weights_of
from lrexplore.network.attention.head_layers import BY_HEADS, HeadLayer, is_head, with_heads
from lrexplore.network.private import why
from lrexplore.network.replace import nothing_to_factorize
from lrexplore.nn.attention import attentions_of


@dataclass(frozen=True)
class Choice:
    """What a study is of: a layer, its matricization, what is taken to follow it, and which inputs it is given.

    `form` is what it is compared with in another form than factor pairs, "matrix" for nothing. `lacking` names the
    inputs that were wanted, where they are known of other layers but not of this one. `edition` tells a person's inputs
    from those that were "yours" before.
    """

    layer: str
    scheme: str
    activation: str
    batch_norm: bool
    inputs: str = GAUSSIAN
    form: str = MATRIX
    lacking: str = ""
    edition: int = 0


def on_device(model: nn.Module, device) -> nn.Module:
    """The model on a device, where it is for None. Raises ValueError for a device that this machine does not have."""
    try:
        return model if device is None else model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"`device` must be one that this machine has, got {device!r} ({why(error)}). Use None for the CPU."
        ) from error


@dataclass
class Subject:
    """A model with its layers by name, its default `rank_scale`, and `real`, its real inputs.

    Raises ValueError where no layer can be factorized or a weight is not finite, naming the layer.
    """

    model: nn.Module
    name: str
    rank_scale: float = 0.25
    layers: dict[str, Layer] = field(init=False)
    real: RealInputs | None = None
    spectra: HeadSpectra = field(init=False)
    flops: int | None = field(init=False)
    _stable_ranks: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self):
        rank_from_scale((1, 1), self.rank_scale)
        layers = find_layers(self.model)
        # A projection and its heads are both there to be looked at; a whole network is cut by the heads alone.
        whole, both = {layer.name: layer for layer in layers}, with_heads(self.model, layers)
        self.layers = {layer.name: whole.get(layer.name, layer) for layer in both}
        self._by_heads = {layer.name for layer in both if layer.skip_reason == BY_HEADS}
        self.flops, self.spectra = layers.flops, HeadSpectra(self.model)
        if not self.names:
            raise nothing_to_factorize(self.model, list(self.layers.values()), self.name)
        for name, weight in self._weights():
            try:
                check_finite(weight)
            except ValueError as error:
                raise ValueError(f"layer `{name}`: {error}") from None

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        """The weights of what can be factorized, each with the name of its layer or attention."""
        attentions = attentions_of(self.model)
        for name in dict.fromkeys(layer.head.attention for layer in self.heads):
            of = attentions[name]
            for weight in dict.fromkeys(stack.weight for stack in (of.q, of.k, of.v, of.o)):  # fused ones once
                yield name, weight
        for name in self.names:
            if not is_head(self.layers[name]):
                yield name, self.model.get_submodule(name).weight

    @property
    def heads(self) -> list[HeadLayer]:
        """The products of attention heads that can be factorized."""
        usable = (layer for layer in self.layers.values() if layer.skip_reason is None)
        return [layer for layer in usable if isinstance(layer, HeadLayer)]

    @property
    def whole_network(self) -> list[str]:
        """The names that share a budget: of projections whose heads can be factorized those of the heads."""
        return [name for name in self.names if name not in self._by_heads]

    def exclusive(self, ranks: Mapping[str, int]) -> dict[str, int]:
        """The ranks without those of projections of an attention of which heads have some."""
        cut = {self.layers[name].head.attention for name in ranks if is_head(self.layers[name])}  # type: ignore[attr-defined]
        within = tuple(f"{name}." if name else "" for name in cut)
        return {
            name: rank for name, rank in ranks.items()
            if not (name in self._by_heads and within and name.startswith(within))
        }  # fmt: skip

    @property
    def names(self) -> list[str]:
        """Names of the layers and heads that can be factorized, in module order."""
        return [layer.name for layer in self.layers.values() if layer.skip_reason is None]

    def problem(self, choice: Choice) -> Problem:
        """The problem that an initializer gets; of a grouped layer, that of its first group."""
        layer = self.layers[choice.layer]
        weight = weights_of(self.model, layer)[0]
        norm = None
        if choice.batch_norm:
            norm = batch_norm_of(self.model, layer) or BatchNorm(
                torch.ones(layer.weight_shape[0], device=weight.device),
                torch.zeros(layer.weight_shape[0], device=weight.device),
            )
            norm = BatchNorm(*(part[: len(weight)] for part in norm))
        return Problem.of(weight, choice.scheme, choice.activation, norm)

    def inputs(self, name: str, wanted: str) -> str:
        """The inputs that a layer can be studied on: those wanted, or Gaussian ones where these are not known."""
        layer = self.layers[name]
        if self.real is None:
            return GAUSSIAN
        if isinstance(layer, HeadLayer):
            return wanted if self.real.knows_heads(layer.head.attention, wanted) else GAUSSIAN
        return wanted if self.real.entry(name, wanted) is not None else GAUSSIAN

    def lacking(self, name: str, wanted: str) -> str:
        """The inputs wanted, where they are known of other layers but not of this one; else ""."""
        has_others = self.real is not None and self.real.of(wanted) is not None
        return wanted if has_others and self.inputs(name, wanted) != wanted else ""

    def choice(
        self, layer: str, scheme: str, activation: str, batch_norm: bool, wanted: str, form: str = MATRIX
    ) -> Choice:
        """What a study is of, with the inputs that are wanted where they are known, and the form where there is one."""
        inputs, lacking = self.inputs(layer, wanted), self.lacking(layer, wanted)
        edition = self.real.edition if inputs == YOURS else 0
        return Choice(layer, scheme, activation, batch_norm, inputs, self.form(layer, form), lacking, edition)

    @property
    def implies_inputs(self) -> bool:
        """Whether the network's batch norms imply inputs of its layers."""
        return self.real is not None and self.real.implies_inputs

    def form(self, name: str, wanted: str) -> str:
        """The form that a layer can be studied in: the one wanted, or factor pairs where it has none such."""
        layer = self.layers[name]
        if wanted == MATRIX or is_head(layer) or no_tensor(wanted, layer.group_shape):
            return MATRIX
        return wanted

    def default_rank(self, name: str, scheme: str) -> int:
        """The rank of a layer by the rank scale."""
        layer = self.layers[name]
        return rank_from_scale(layer.matrix_shape(scheme), self.rank_scale, layer.rank_step)

    def full_rank(self, name: str, scheme: str) -> int:
        """The largest rank of a layer under a scheme; under "best", that of the larger."""
        schemes = SCHEMES if scheme == "best" else (scheme,)
        return max(min(self.layers[name].matrix_shape(one)) for one in schemes)

    def costs(self, name: str, scheme: str) -> tuple[float, float | None]:
        """Parameters, and multiply-adds or None, that one more rank adds to the layer, over the unfactorized ones."""
        layer = self.layers[name]
        m, n = layer.matrix_shape(scheme)
        if is_head(layer):
            return 1 / m, 1 / m if layer.flops else None
        flops = factorized_flops(layer, 1, scheme)
        return (m + n) / (m * n), flops / layer.flops if flops is not None and layer.flops else None

    @property
    def num_parameters(self) -> int:
        """Numbers in the whole model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def stable_rank(self, name: str) -> float | None:
        """The stable rank of a layer, if `add_stable_ranks` has found it."""
        return self._stable_ranks.get(name)

    def add_stable_ranks(self, stopped: Callable[[], bool]) -> bool:
        """Whether stable ranks were missing and all are known now; looks at `stopped` between layers, small ones first.

        |W|_F^2 / |W|_2^2 of the channel matricization; of a grouped layer, of its first group's.
        """
        missing = [self.layers[name] for name in self.names if name not in self._stable_ranks]
        for layer in sorted(missing, key=lambda layer: layer.num_parameters * min(layer.matrix_shape())):
            if stopped():
                return False
            with torch.inference_mode():
                self._stable_ranks[layer.name] = self._stable_rank(layer)
        return bool(missing)

    def _stable_rank(self, layer: Layer) -> float:
        if isinstance(layer, HeadLayer):
            return stable_rank(self.spectra.values(layer.head))
        return stable_rank(quick_singular_values(weights_of(self.model, layer)[0].flatten(1)))
