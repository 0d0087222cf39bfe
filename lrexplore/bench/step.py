"""`lrexplore bench step`: what low rank saves in a training step and in a prediction, and how much of it is time."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lrexplore.bench.init import pinned, processor
from lrexplore.disk.whole_file import write_whole
from lrexplore.models import load_model
from lrexplore.network import choose_execution, find_layers, replace_layers
from lrexplore.network.layers import factorized_flops
from lrexplore.network.timing import paired_latency_ms
from lrexplore.nn import EXECUTIONS, factorized_layers, set_execution
from lrexplore.optim import FrobeniusDecay, parameter_groups

_STRENGTH = 1e-4


@dataclass(frozen=True)
class Variant:
    """One network of the grid: unfactorized where `rank_scale` is None."""

    scheme: str | None = None
    rank_scale: float | None = None
    compiled: bool = False
    execution: str = "factors"
    rank_multiple: int = 1

    def build(self, model: nn.Module) -> nn.Module:
        """The network, its weights independent of the device."""
        if self.rank_scale is None:
            return model
        scheme = self.scheme or "channel"
        return replace_layers(
            model,
            initializer="independent",
            rank_scale=self.rank_scale,
            rank_multiple=self.rank_multiple,
            scheme=scheme,
        )


@dataclass(frozen=True)
class Row:
    """What was measured of one variant. Times are medians of single steps; the memory is the largest allocated.

    `num_by_product` of the `num_layers` factorized layers compute by the product of their factors. `flop_ratio` is
    that of the factors, whatever the execution.
    """

    model: str
    scheme: str | None
    rank_scale: float | None
    compiled: bool
    execution: str
    rank_multiple: int
    num_layers: int
    num_by_product: int
    parameter_ratio: float
    flop_ratio: float
    step_ms: float
    frobenius_step_ms: float | None
    images_per_s: float
    peak_mib: float | None
    latency_ms: dict[int, float]


def flop_ratio(model: nn.Module, small: nn.Module) -> float:
    """Multiply-adds of the network's linear layers and convolutions after `factorize` over those before."""
    ranks = {record.name: record for record in getattr(small, "factorization", ()) if record.rank is not None}
    before = after = 0
    for layer in find_layers(model):
        flops = layer.flops or 0
        record = ranks.get(layer.name)
        before += flops
        after += (factorized_flops(layer, record.rank, record.scheme) or 0) if record else flops
    return after / before


def training_ms(model: nn.Module, images, timing: dict[str, Any], *, compiled: bool, half: bool, decay: str) -> float:
    """Milliseconds of a step of momentum SGD: forward, backward, decay, update."""
    groups = parameter_groups(model, decay=decay, decay_strength=_STRENGTH, decay_norms=True)
    optimizer = torch.optim.SGD(groups, lr=1e-3, momentum=0.9)
    if decay == "frobenius":
        FrobeniusDecay(model, _STRENGTH).attach(optimizer)
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
    forward = torch.compile(model) if compiled else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            loss = F.cross_entropy(forward(images).float(), labels)
        loss.backward()
        optimizer.step()

    model.train()
    return paired_latency_ms([step], images.device, **timing, gradients=True)[0]


def latencies_ms(
    model: nn.Module, images, timing: dict[str, Any], sizes, *, compiled: bool, half: bool
) -> dict[int, float]:
    """Milliseconds of one prediction, by batch size."""
    forward = torch.compile(model) if compiled else model
    model.eval()
    times = {}
    with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        for size in sizes:
            part = images[:size]
            [times[size]] = paired_latency_ms([partial(forward, part)], images.device, **timing)
    return times


def measure(name: str, variant: Variant, options: argparse.Namespace, device: torch.device) -> Row:
    """The row of one variant of a network with random weights on random images."""
    gpu, half = device.type == "cuda", options.precision == "bf16"
    torch.manual_seed(0)
    model = load_model(name)
    small = variant.build(model)
    ratios: dict[str, Any] = {
        "parameter_ratio": sum(p.numel() for p in small.parameters()) / sum(p.numel() for p in model.parameters()),
        "flop_ratio": flop_ratio(model, small),
    }
    small = small.to(device).to(memory_format=torch.channels_last)
    size = options.image_size
    images = torch.randn(options.batch_size, 3, size, size, device=device).to(memory_format=torch.channels_last)
    timing: dict[str, Any] = {"num_rounds": options.repeats, "warm_up": 5 if gpu else 1}
    by_product = _settle(small, variant.execution, images, half)
    chosen = {"compiled": variant.compiled, "half": half}
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step_ms = training_ms(small, images, timing, decay="weight", **chosen)
    peak = torch.cuda.max_memory_allocated() / 2**20 if gpu else None
    frobenius = None
    if variant.rank_scale is not None:
        frobenius = training_ms(small, images, timing, decay="frobenius", **chosen)
    for parameter in small.parameters():
        parameter.grad = None
    return Row(
        model=name, **asdict(variant), **ratios,
        num_layers=len(factorized_layers(small)), num_by_product=by_product,
        step_ms=step_ms, frobenius_step_ms=frobenius, images_per_s=1e3 * len(images) / step_ms, peak_mib=peak,
        latency_ms=latencies_ms(small, images, timing, options.latency_batch, **chosen),
    )  # fmt: skip


def _settle(model: nn.Module, execution: str, images, half: bool) -> int:
    """Sets how the factorized layers compute; how many do so by their product."""
    if execution == "fastest":
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            choose_execution(model.train(), images)
    else:
        set_execution(model, execution)
    return sum(layer.execution == "product" for layer in factorized_layers(model).values())


def share_of_saving(row: Row, reference: Row) -> float:
    """The saving in time of a step over the saving in multiply-adds; NaN where those save nothing."""
    saved = 1 - row.flop_ratio
    return (1 - row.step_ms / reference.step_ms) / saved if saved > 0 else float("nan")


def variants(options: argparse.Namespace) -> list[Variant]:
    """The grid: the unfactorized network first, for eager and then for compiled code."""
    modes = {"eager": (False,), "compiled": (True,), "both": (False, True)}[options.mode]
    return [
        variant
        for compiled in modes
        for variant in (
            Variant(compiled=compiled),
            *(
                Variant(scheme, scale, compiled, execution, options.rank_multiple)
                for scheme in options.scheme
                for scale in options.rank_scale
                for execution in options.execution
            ),
        )
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser("lrexplore bench step", description=__doc__)
    parser.add_argument("--model", nargs="+", default=["resnet50", "efficientnet_b0"], help="names for lr.load_model")
    parser.add_argument("--scheme", nargs="+", choices=["channel", "spatial"], default=["channel", "spatial"])
    parser.add_argument("--rank-scale", type=float, nargs="+", default=[0.05, 0.1, 0.25, 0.5], help="in (0, 1]")
    parser.add_argument("--rank-multiple", type=int, default=1, help="round ranks to multiples of it (1)")
    parser.add_argument(
        "--execution", nargs="+", choices=[*EXECUTIONS, "fastest"], default=["factors", "fastest"],
        help="how factorized layers compute: see lr.choose_execution (factors and fastest)",
    )  # fmt: skip
    parser.add_argument("--mode", choices=["eager", "compiled", "both"], default="eager", help="torch.compile or not")
    parser.add_argument("--batch-size", type=int, default=256 if gpu else 8, help="images of a step (256; 8 on a CPU)")
    parser.add_argument("--latency-batch", type=int, nargs="+", default=[1, 64] if gpu else [1], help="of a prediction")
    parser.add_argument("--image-size", type=int, default=224, help="pixels (224)")
    parser.add_argument("--precision", choices=["32", "bf16"], default="bf16" if gpu else "32")
    parser.add_argument("--repeats", type=int, default=15 if gpu else 3, help="steps measured")
    parser.add_argument("--threads", type=int, default=2, help="threads on a CPU (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too, after every row")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 once everything is measured and printed, whatever the numbers are."""
    options = _options(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark = gpu
    about = {
        "device": torch.cuda.get_device_name() if gpu else f"{processor()}, {options.threads} threads",
        "torch": torch.__version__, "cuda": torch.version.cuda, "precision": options.precision,
        "batch_size": options.batch_size, "image_size": options.image_size, "repeats": options.repeats,
        "memory_format": "channels_last", "inputs": "random images on the device",
    }  # fmt: skip
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    load = f"load average (1 min) {os.getloadavg()[0]:.2f}; "
    print(f"{load}time saved: of a step, over the saving in multiply-adds\n")
    latency = "".join(f"{f'batch {size} ms':>13}" for size in options.latency_batch)
    heads = "".join(f"{head:>10}" for head in ("FLOPs", "step ms", "+Frob ms", "images/s", "peak MiB", "saved"))
    print(f"{'model':<16}{'':<9}{'scheme':<9}{'scale':>6}  {'by product':<12}{heads}{latency}")
    rows: list[Row] = []
    with pinned(options.threads):
        for name in options.model:
            references: dict[bool, Row] = {}
            for variant in variants(options):
                row = measure(name, variant, options, device)
                rows.append(row)
                print(_line(row, references.setdefault(row.compiled, row)), flush=True)
                if options.json:
                    text = json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=1)
                    write_whole(options.json, text, name="--json")
                torch.compiler.reset()
    return 0


def _line(row: Row, reference: Row) -> str:
    frobenius = "" if row.frobenius_step_ms is None else f"{row.frobenius_step_ms:.1f}"
    saved = "" if row is reference else f"{share_of_saving(row, reference):.2f}"
    peak = "" if row.peak_mib is None else f"{row.peak_mib:,.0f}"
    cells = (f"{row.flop_ratio:.3f}", f"{row.step_ms:.1f}", frobenius, f"{row.images_per_s:,.0f}", peak, saved)
    mode, scheme = "compiled" if row.compiled else "eager", row.scheme or "none"
    scale = "" if row.rank_scale is None else f"{row.rank_scale:g}"
    by_product = f"{row.num_by_product} of {row.num_layers}" if row.num_layers else ""
    latency = "".join(f"{value:>13.2f}" for value in row.latency_ms.values())
    head = f"{row.model:<16}{mode:<9}{scheme:<9}{scale:>6}  {by_product:<12}"
    return head + "".join(f"{cell:>10}" for cell in cells) + latency
