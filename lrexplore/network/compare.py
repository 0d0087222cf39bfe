"""How much a factorized network still says what the original said, what it costs and how fast it is."""

from collections.abc import Hashable, Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg.rank import check_size
from lrexplore.network.answers import Choice, agreements, class_numbers, divergences, logits_of
from lrexplore.network.batches import as_example, call, device_of, input_batches, read_items, run_model, to_device
from lrexplore.network.grouping import Groups, Numbering
from lrexplore.network.intervals import interval_of_mean, interval_of_share
from lrexplore.network.layers import factorized_flops, find_layers
from lrexplore.network.private import private_copy
from lrexplore.network.timing import paired_latency_ms
from lrexplore.nn.attention.narrow import NarrowHeads
from lrexplore.nn.factorized import Factorized
from lrexplore.nn.kinds import FACTORIZED
from lrexplore.nn.rebuilt import all_factorized
from lrexplore.nn.sparse import sparse_layers


def compare(
    model: nn.Module,
    factorized: nn.Module,
    loader: Iterable,
    *,
    groups: Groups = None,
    latency_rounds: int = 7,
    logits: Choice = None,
):
    """DataFrame of both models on the same inputs: one row a quantity, columns `original`, `factorized`, `compared`.

    `compared` is one number on both: the share of inputs with the same most likely class ("top-1 agreement"), the
    share whose five most likely classes of the original hold the factorized model's first ("top-5 agreement"), the mean
    KL divergence of the factorized model's probabilities from the original's, nats, the mean cosine of the logits;
    for parameters, MFLOP (million multiply-adds of one input) and latency (ms of the first batch on this device, the
    models in turns) the ratio. Where the items have labels (class numbers or one-hot), top-1 accuracy is there too.
    `latency_rounds=0` leaves the latency out. `loader` is any iterable of inputs or of (input, label) pairs
    (`lrexplore.network.batches`). `logits` says where they are in an answer of several parts: a name, a place or a
    function of the answer; without it, they are what is called logits, else the first tensor.
    `low` and `high` are the 95 % interval of `compared` for other inputs like these, by `groups` of inputs that belong
    together, as for `lr.calibrate`: a group is one independent input (`lrexplore.network.intervals`); NaN for a single
    one. `attrs["independent_inputs"]` says how many there were.
    Raises ValueError for an empty loader, labels that are none, or models whose logits are not (inputs, classes) of one
    shape.

    >>> import lrexplore as lr, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> small = lr.factorize(model, rank_scale=0.25)
    >>> table = lr.compare(model, small, [torch.randn(16, 8)], latency_rounds=0)
    >>> bool(table.loc["parameters", "compared"] < 1)
    True
    """
    import pandas as pd  # slow to import, and only tables need it

    check_size(latency_rounds, "latency_rounds", 0)
    agreement, first = _Agreement(), None
    device = device_of(factorized)
    model, factorized = private_copy(model), private_copy(factorized)
    with torch.no_grad():
        for item in read_items(loader, model, groups):
            batch = to_device(item.inputs, device)
            first = batch if first is None else first
            own, other = (logits_of(run_model(net, batch), logits) for net in (model, factorized))
            if own.is_meta or other.is_meta:
                raise ValueError("`model` must hold values, got answers on the meta device. Load the weights first.")
            agreement.add(own, other, item.labels, item.groups)
        if not agreement.num_inputs:
            raise ValueError("`loader` must give inputs, got batches of none. Pass some inputs.")
        rows = agreement.rows()
        rows["parameters"] = [_num_parameters(net) for net in (model, factorized)]
        flops = network_flops(model, factorized, as_example(first))
        rows["MFLOP"] = [None if value is None else value / 1e6 for value in flops]
        if latency_rounds:
            runs = [partial(call, net, first) for net in (model, factorized)]
            rows["latency ms"] = paired_latency_ms(runs, device, latency_rounds)
    for row in rows.values():
        if len(row) == 2:
            row.append(row[1] / row[0] if row[0] and row[1] is not None else None)
        row += [None] * (5 - len(row))
    columns = ["original", "factorized", "compared", "low", "high"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    table.attrs["independent_inputs"] = agreement.num_groups
    return table.astype(float).rename_axis("quantity")


def layer_drift(model: nn.Module, factorized: nn.Module, loader: Iterable):
    """DataFrame of how far each factorized layer's output moved: columns `layer`, `own`, `total`.

    `total`: relative squared difference of the layer's outputs in the two networks; it has the errors of all earlier
    layers in it. `own`: the same with the original's inputs given to the factorized layer.
    """
    import pandas as pd

    names = list(all_factorized(factorized))
    seen, sums, hooks = {}, {name: torch.zeros(3, dtype=torch.float64) for name in names}, []

    def remember(name, module, args, output):
        own = factorized.get_submodule(name).forward(args[0])
        seen[name] = output
        sums[name][:2] += torch.stack([_square(output), _square(own - output)])

    def judge(name, module, args, output):
        sums[name][2] += _square(output - seen.pop(name))

    model, factorized = private_copy(model), private_copy(factorized)
    with torch.no_grad():
        try:
            for name in names:
                hooks.append(model.get_submodule(name).register_forward_hook(partial(remember, name)))
                hooks.append(factorized.get_submodule(name).register_forward_hook(partial(judge, name)))
            for batch in input_batches(loader, model):
                run_model(model, batch)
                run_model(factorized, batch)
        finally:
            for hook in hooks:
                hook.remove()
    rows = [(name, float(own / energy), float(total / energy)) for name, (energy, own, total) in sums.items()]
    return pd.DataFrame(rows, columns=["layer", "own", "total"])


def network_flops(model: nn.Module, factorized: nn.Module, example_input) -> tuple[int | None, int | None]:
    """Multiply-adds of one input in both networks; None when unknown."""
    layers, modules = find_layers(model, example_input), dict(factorized.named_modules())
    if layers.flops is None:
        return None, None
    if any(isinstance(module, NarrowHeads) for module in modules.values()):  # which are in no layer's place
        return layers.flops, find_layers(factorized, example_input).flops
    after = layers.flops
    for layer in layers:
        module = modules.get(layer.name)
        if isinstance(module, FACTORIZED):
            after += factorized_flops(layer, module.rank, getattr(module, "scheme", "channel")) - layer.flops
        elif isinstance(module, Factorized):
            after += sum(module.multiply_adds(call.input_size, call.output_size) for call in layer.calls) - layer.flops
    return layers.flops, after


def _num_parameters(model: nn.Module) -> int:
    """Parameters; of pruned weights those that are left."""
    zeros = sum(layer.mask.numel() - layer.num_kept for layer in sparse_layers(model).values())
    return sum(parameter.numel() for parameter in model.parameters()) - zeros


def _square(x: Tensor) -> Tensor:
    return x.double().square().sum().cpu()


class _Agreement:
    def __init__(self):
        self._parts: list[Tensor] = []
        self._labelled: list[Tensor] = []
        self._numbering = Numbering()
        self._groups: list[int] = []  # of each input

    @property
    def num_inputs(self) -> int:
        return len(self._groups)

    @property
    def num_groups(self) -> int:
        return len(set(self._groups))

    def add(self, own: Tensor, other: Tensor, labels, groups: tuple[Hashable, ...] | None) -> None:
        if own.shape != other.shape:
            raise ValueError(
                f"`factorized` must answer like `model`, got logits {tuple(other.shape)} beside {tuple(own.shape)}. "
                "Pass what `lr.factorize(model, ...)` returned."
            )
        similar = F.cosine_similarity(own, other)
        parts = [agreements(own, other), agreements(own, other, 5), divergences(own, other), similar]
        self._parts.append(torch.stack([part.double() for part in parts]).cpu())
        if labels is not None:
            labels = class_numbers(labels, *own.shape).to(own.device)
            self._labelled.append(torch.stack([own.argmax(1) == labels, other.argmax(1) == labels]).double().cpu())
        self._groups += self._numbering.of(groups, len(own))

    def rows(self) -> dict[str, list]:
        names = ("top-1 agreement", "top-5 agreement", "KL divergence", "cosine of logits")
        rows = {}
        for name, values in zip(names, torch.cat(self._parts, 1).numpy(), strict=True):
            find = interval_of_share if "agreement" in name else interval_of_mean
            rows[name] = [None, None, float(values.mean()), *find(values, self._groups)]
        if self._labelled:
            before, after = torch.cat(self._labelled, 1).mean(1).tolist()
            rows["top-1 accuracy"] = [before, after, after - before]
        return rows
