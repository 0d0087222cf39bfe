"""`lrexplore bench tensors`: tensors beside pairs of factors at equal parameters: errors, seconds, decay in a step.

tensorly-torch stands beside them where it is installed (pip install tensorly tensorly-torch).
"""

import argparse
import copy
import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.bench.decay import measure
from lrexplore.bench.init import pinned, processor
from lrexplore.disk.whole_file import write_whole
from lrexplore.init import initialize
from lrexplore.linalg import Factors, matrix_shape, num_factor_parameters
from lrexplore.linalg.tensors import TENSOR_FORMS, ranks_within
from lrexplore.models import load_model
from lrexplore.network import replace_layers
from lrexplore.network.forms import replace_by_tensors
from lrexplore.network.timing import paired_latency_ms

SECONDS, ERROR, TIME_RATIO, SHARE = 2.0, 0.920, 1.0, 0.03
Kernels = dict[str, nn.Conv2d]


def kernels_of(model: nn.Module) -> Kernels:
    """Name -> the convolutions with taps, one group each: those that have a tensor form and are no matrix."""
    convs = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    return {name: conv for name, conv in convs.items() if max(conv.kernel_size) > 1 and conv.groups == 1}


def tensor_ranks(kernels: Kernels, form: str, ratio: float, multiple: int = 1) -> dict[str, tuple[int, ...]]:
    """Layer -> ranks within this share of its kernel's numbers."""
    return {name: ranks_within(form, tuple(conv.weight.shape), ratio, multiple) for name, conv in kernels.items()}


def pair_ranks(kernels: Kernels, ratio: float) -> dict[str, int]:
    """Layer -> the largest rank of its spatial pair within this share of its kernel's numbers."""
    shapes = {name: matrix_shape(tuple(conv.weight.shape), "spatial") for name, conv in kernels.items()}
    return {
        name: max(1, min(int(ratio * shape[0] * shape[1] / num_factor_parameters(shape, 1)), *shape))
        for name, shape in shapes.items()
    }


def fits(kernels: Kernels, ratio: float, *, cp: bool) -> list[dict[str, Any]]:
    """What each way of fitting all kernels costs and loses: seconds, mean relative error |W - Y| / |W|, parameters."""
    ways: list[tuple[str, Callable[[str, nn.Conv2d], tuple[Tensor, int]]]] = []
    pairs = pair_ranks(kernels, ratio)

    def by_pair(name: str, conv: nn.Conv2d) -> tuple[Tensor, int]:
        factors: Factors = initialize(conv.weight, pairs[name], initializer="spectral", scheme="spatial")
        c_out, c_in, k_h, k_w = conv.weight.shape
        return factors.product().view(c_out, k_h, c_in, k_w).transpose(1, 2), factors.num_parameters

    ways.append(("spatial pair", by_pair))
    for form in TENSOR_FORMS:
        if form == "cp" and not cp:
            continue
        ranks = tensor_ranks(kernels, form, ratio)

        def by_form(name: str, conv: nn.Conv2d, form: str = form, ranks: Any = ranks) -> tuple[Tensor, int]:
            factors = initialize(conv.weight, ranks[name], form=form, initializer="spectral")
            return factors.product(), factors.num_parameters

        ways.append((form, by_form))
    if find_spec("tltorch"):
        for label, options in (("tensorly-torch tucker", {"fixed_rank_modes": "spatial"}), ("its default", {})):

            def by_tensorly(name: str, conv: nn.Conv2d, options: Any = options) -> tuple[Tensor, int]:
                made = _theirs(conv, ratio, **options)
                return made.weight.to_tensor(), sum(p.numel() for p in made.weight.parameters())

            ways.append((label, by_tensorly))
    return [_row(label, way, kernels) for label, way in ways]


def _row(label: str, way: Callable, kernels: Kernels) -> dict[str, Any]:
    took, busy, errors, parameters = 0.0, 0.0, [], 0
    for name, conv in kernels.items():
        start, begun = perf_counter(), process_time()
        with torch.no_grad():
            product, count = way(name, conv)
        took, busy = took + perf_counter() - start, busy + process_time() - begun  # products are formed within it too
        lost = (product - conv.weight.detach()).square().sum() / conv.weight.detach().square().sum()
        errors.append(float(lost.sqrt()))
        parameters += count
    total = sum(conv.weight.numel() for conv in kernels.values())
    return {
        "way": label, "seconds": took, "cpu_s": busy, "error": sum(errors) / len(errors), "largest_error": max(errors),
        "parameter_ratio": parameters / total,
    }  # fmt: skip


def _theirs(conv: nn.Conv2d, ratio: float, **options: Any) -> Any:
    import tensorly
    from tltorch import FactorizedConv

    tensorly.set_backend("pytorch")
    return FactorizedConv.from_conv(conv, rank=ratio, factorization="tucker", implementation="factorized", **options)


def inference(model: nn.Module, ratio: float, images: Tensor, rounds: int) -> dict[str, float]:
    """Milliseconds of a prediction, the networks in turns: unfactorized, and all kernels in each form at this ratio.

    Ours have ranks of multiples of 8, and so a little less than the others.
    """
    kernels = kernels_of(model)
    ranks = {form: tensor_ranks(kernels, form, ratio, multiple=8) for form in ("tucker", "tt")}
    networks = {"unfactorized": model}
    networks["spatial pair"] = replace_layers(
        model, ranks=pair_ranks(kernels, ratio), initializer="spectral", scheme=dict.fromkeys(kernels, "spatial")
    )
    for form, chosen in ranks.items():
        networks[form] = replace_by_tensors(model, form=form, ranks=chosen, initializer="independent")
    if find_spec("tltorch"):
        networks["tensorly-torch tucker"] = theirs = copy.deepcopy(model)
        for name, conv in kernels.items():
            parent, _, last = name.rpartition(".")
            setattr(theirs.get_submodule(parent), last, _theirs(conv, ratio, fixed_rank_modes="spatial"))
    runs: list[Callable[[], object]] = [partial(net.eval(), images) for net in networks.values()]
    with torch.no_grad():
        times = paired_latency_ms(runs, images.device, rounds)
    return dict(zip(networks, times, strict=True))


def decay_shares(model: nn.Module, ratio: float, images: Tensor, repeats: int) -> dict[str, float]:
    """Form -> the share of a training step that Frobenius decay of its factors adds, median over steps."""
    shares = {}
    for form in TENSOR_FORMS:
        ranks = tensor_ranks(kernels_of(model), form, ratio)
        small = replace_by_tensors(model, form=form, ranks=ranks, initializer="independent").train()
        pairs = measure(small, images, repeats, False)
        shares[form] = median(decay / step for step, decay in pairs)
    return shares


def main(argv: Sequence[str] | None = None) -> int:
    """0 once everything is measured and printed, whatever the numbers are."""
    parser = argparse.ArgumentParser("lrexplore bench tensors", description=__doc__)
    parser.add_argument("--model", default="resnet50", help="a name for lr.load_model (resnet50)")
    parser.add_argument("--weights", help="its weights (random, seed 0)")
    parser.add_argument("--ratio", type=float, default=0.1, help="share of each kernel's numbers that is kept (0.1)")
    parser.add_argument("--inference-ratio", type=float, default=0.25, help="the same for the times (0.25)")
    parser.add_argument("--batch-size", type=int, default=8, help="images (8)")
    parser.add_argument("--step-batch-size", type=int, default=32, help="images of a training step (32)")
    parser.add_argument("--image-size", type=int, default=224, help="pixels (224)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of predictions and steps (5)")
    parser.add_argument("--threads", type=int, default=1, help="threads (1)")
    parser.add_argument("--cp", action="store_true", help="fit CP too: a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    options = parser.parse_args(argv)
    torch.manual_seed(0)
    model = load_model(options.model, options.weights).eval()
    images = torch.randn(options.batch_size, 3, options.image_size, options.image_size)
    kernels = kernels_of(model)
    where = f"{processor()}, {options.threads} threads, torch {torch.__version__}"
    print(f"{options.model}: {len(kernels)} kernels larger than 1 x 1; {where}")
    if not find_spec("tltorch"):
        print("tensorly-torch is not installed: pip install tensorly tensorly-torch")
    with pinned(options.threads):
        print(f"\nfits at {options.ratio} of the numbers; error is the mean of |W - Y| / |W|")
        print(f"{'form':<24}{'seconds':>9}{'CPU s':>9}{'error':>9}{'largest':>9}{'kept':>9}")
        rows = fits(kernels, options.ratio, cp=options.cp)
        for row in rows:
            bar = ""
            if row["way"] == "tucker":
                ok = row["cpu_s"] <= SECONDS and row["error"] <= ERROR
                bar = f"   bars {SECONDS} CPU s, {ERROR}: {'ok' if ok else 'ABOVE'}"
            print(
                f"{row['way']:<24}{row['seconds']:>9.2f}{row['cpu_s']:>9.2f}{row['error']:>9.4f}{row['largest_error']:>9.4f}"
                f"{row['parameter_ratio']:>9.4f}{bar}"
            )
        print(f"\nprediction, batch {options.batch_size}, {options.inference_ratio} of the numbers, ms")
        times = inference(model, options.inference_ratio, images, options.repeats)
        theirs = times.get("tensorly-torch tucker")
        for name, took in times.items():
            bar = ""
            if name == "tucker" and theirs:
                ratio = took / theirs
                bar = f"   {ratio:.3f} of tensorly-torch's: {'ok' if ratio <= TIME_RATIO else 'ABOVE 1'}"
            print(f"{name:<24}{took:>9.1f}{bar}", flush=True)
        print(f"\nFrobenius decay, share of a training step of batch {options.step_batch_size}")
        images = torch.randn(options.step_batch_size, *images.shape[1:])
        shares = decay_shares(model, options.inference_ratio, images, options.repeats)
        for form, share in shares.items():
            print(f"{form:<24}{share:>9.4f}   bar {SHARE}: {'ok' if share <= SHARE else 'ABOVE'}", flush=True)
    if options.json:
        about = {"model": options.model, "where": where, "ratio": options.ratio}
        numbers = {**about, "fits": rows, "prediction_ms": times, "decay_shares": shares}
        write_whole(options.json, json.dumps(numbers, indent=1), name="--json")
    return 0
