"""The ranks that a person set layer by layer, as a plan that a training can read."""

from collections.abc import Mapping

from lrexplore.explorer.subject import Subject
from lrexplore.linalg import num_factor_parameters
from lrexplore.network.attention.head_layers import is_head
from lrexplore.ranks.plan import LayerPlan, RankPlan
from lrexplore.recipes.which_layers import which_layers


def plan_of(subject: Subject, ranks: Mapping[str, int], scheme: str, initializer: str) -> RankPlan:
    """The plan with these ranks, without the first convolution and the last linear layer: those stay whole, for the
    last one has another size when the classes are others. Attention heads are left out: a run makes its own.

    Raises ValueError where no layer is left.
    """
    inner = {x.name for x in which_layers([x for x in subject.layers.values() if not is_head(x)], "inner")}
    layers, saved = [], 0
    for name, rank in ranks.items():
        if name not in inner:
            continue
        layer = subject.layers[name]
        after = layer.groups * num_factor_parameters(layer.matrix_shape(scheme), rank)
        saved += layer.num_parameters - after
        sizes = {"parameters_before": layer.num_parameters, "parameters_after": after}
        shape = tuple(layer.weight_shape)
        layers.append(LayerPlan(name=name, weight_shape=shape, rank=rank, scheme=scheme, pinned=True, **sizes))
    if not layers:
        raise ValueError(
            "`ranks` must leave a layer between the first convolution and the last linear layer that saves parameters, "
            "got none. Set smaller ranks in the layer's tab."
        )
    total = subject.num_parameters
    return RankPlan(
        layers=tuple(layers), initializer=initializer, inputs="none", method="by hand", budget="none",
        error=float("nan"), gap=None, parameters=(total, total - saved),
    )  # fmt: skip
