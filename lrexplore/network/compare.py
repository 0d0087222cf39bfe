"""How much a factorized network still says what the original said, what it costs and how fast it is."""

from collections.abc import Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.network.batches import as_example, call, device_of, evaluation, run_model, to_device
from lrexplore.network.costs import factorized_flops
from lrexplore.network.layers import find_layers
from lrexplore.network.timing import paired_latency_ms
from lrexplore.nn.kinds import FACTORIZED, factorized_layers


def compare(model: nn.Module, factorized: nn.Module, loader: Iterable, *, latency_rounds: int = 7):
    """DataFrame of both models on the same inputs: one row a quantity, columns `original`, `factorized`, `compared`.

    `compared` is one number on both: the share of inputs with the same most likely class ("top-1 agreement"), the
    share whose five most likely classes of the original hold the factorized model's first ("top-5 agreement"), the mean
    KL divergence of the factorized model's probabilities from the original's, nats, the mean cosine of the logits;
    for parameters, MFLOP (million multiply-adds of one input) and latency (ms of the first batch on this device, the
    models in turns) the ratio. Where the items are (input, label) pairs, top-1 accuracy is there too.
    `latency_rounds=0` leaves the latency out. `loader` is any iterable of inputs or (input, label) pairs; an input that
    is a dict gives the forward's arguments by name.
    Raises ValueError for an empty loader, or models whose outputs are not (inputs, classes) of one shape.
    """
    import pandas as pd  # slow to import, and only tables need it

    agreement, first = _Agreement(), None
    device = device_of(factorized)
    with evaluation(model), evaluation(factorized):
        for item in loader:
            batch, labels = item if isinstance(item, (tuple, list)) else (item, None)
            batch = to_device(batch, device)
            first = batch if first is None else first
            agreement.add(_logits(model, batch), _logits(factorized, batch), labels)
        if first is None:
            raise ValueError("`loader` must give at least one batch, got none. Check that it is not used up.")
        rows = agreement.rows()
        rows["parameters"] = [sum(p.numel() for p in net.parameters()) for net in (model, factorized)]
        flops = network_flops(model, factorized, as_example(first))
        rows["MFLOP"] = [None if value is None else value / 1e6 for value in flops]
        if latency_rounds:
            runs = [partial(call, net, first) for net in (model, factorized)]
            rows["latency ms"] = paired_latency_ms(runs, device, latency_rounds)
    for row in rows.values():
        if len(row) == 2:
            row.append(row[1] / row[0] if row[0] and row[1] is not None else None)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["original", "factorized", "compared"])
    return table.astype(float).rename_axis("quantity")


def layer_drift(model: nn.Module, factorized: nn.Module, loader: Iterable):
    """DataFrame of how far each factorized layer's output moved: columns `layer`, `own`, `total`.

    `total`: relative squared difference of the layer's outputs in the two networks; it has the errors of all earlier
    layers in it. `own`: the same with the original's inputs given to the factorized layer.
    """
    import pandas as pd

    names = list(factorized_layers(factorized))
    seen, sums, hooks = {}, {name: torch.zeros(3, dtype=torch.float64) for name in names}, []

    def remember(name, module, args, output):
        own = factorized.get_submodule(name).forward(args[0])
        seen[name] = output
        sums[name][:2] += torch.stack([_square(output), _square(own - output)])

    def judge(name, module, args, output):
        sums[name][2] += _square(output - seen.pop(name))

    with evaluation(model), evaluation(factorized):
        try:
            for name in names:
                hooks.append(model.get_submodule(name).register_forward_hook(partial(remember, name)))
                hooks.append(factorized.get_submodule(name).register_forward_hook(partial(judge, name)))
            for item in loader:
                batch = item[0] if isinstance(item, (tuple, list)) else item
                run_model(model, batch)
                run_model(factorized, batch)
        finally:
            for hook in hooks:
                hook.remove()
    rows = [(name, float(own / energy), float(total / energy)) for name, (energy, own, total) in sums.items()]
    return pd.DataFrame(rows, columns=["layer", "own", "total"])


def network_flops(model: nn.Module, factorized: nn.Module, example_input) -> tuple[int | None, int | None]:
    """Multiply-adds of one input in the linear layers and convolutions of both networks; None when unknown."""
    before = after = 0
    modules = dict(factorized.named_modules())
    for layer in find_layers(model, example_input):
        if layer.flops is None:
            return None, None
        before += layer.flops
        module = modules.get(layer.name)
        if isinstance(module, FACTORIZED):
            after += factorized_flops(layer, module.rank, getattr(module, "scheme", "channel"))
        else:
            after += layer.flops
    return before, after


def _square(x: Tensor) -> Tensor:
    return x.double().square().sum().cpu()


def _logits(model: nn.Module, batch) -> Tensor:
    logits = run_model(model, batch)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"`model` must answer with logits (inputs, classes), got {found}. Wrap it in a module that does."
        )
    return logits.double()


class _Agreement:
    def __init__(self):
        self._sums, self._count, self._labelled = torch.zeros(6, dtype=torch.float64), 0, 0

    def add(self, own: Tensor, other: Tensor, labels) -> None:
        if own.shape != other.shape:
            raise ValueError(
                f"`factorized` must answer like `model`, got logits {tuple(other.shape)} beside {tuple(own.shape)}. "
                "Pass what `lr.factorize(model, ...)` returned."
            )
        said, now = own.argmax(1), other.argmax(1)
        top = own.topk(min(5, own.shape[1])).indices
        divergence = F.kl_div(other.log_softmax(1), own.log_softmax(1), log_target=True, reduction="none").sum(1)
        parts = [now == said, (top == now[:, None]).any(1), divergence, F.cosine_similarity(own, other)]
        if labels is not None:
            labels = torch.as_tensor(labels, device=own.device)
            parts += [said == labels, now == labels]
            self._labelled += len(own)
        self._sums[: len(parts)] += torch.stack([part.double().sum() for part in parts]).cpu()
        self._count += len(own)

    def rows(self) -> dict[str, list]:
        names = ("top-1 agreement", "top-5 agreement", "KL divergence", "cosine of logits")
        rows = {name: [None, None, float(value) / self._count] for name, value in zip(names, self._sums, strict=False)}
        if self._labelled:
            shares = (self._sums[4:] / self._labelled).tolist()
            rows["top-1 accuracy"] = [*shares, shares[1] - shares[0]]
        return rows
