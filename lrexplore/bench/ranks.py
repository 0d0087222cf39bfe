"""`lrexplore bench ranks`: what calibration, curves and allocation cost, and what the factorized network still says."""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

RATIOS = (0.4, 0.6, 0.8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the measurements; the exit status is 0."""
    parser = argparse.ArgumentParser(
        "lrexplore bench ranks",
        description="Allocation end to end on EfficientNet-Lite0, and the cost of each step on ResNet-50.",
    )
    parser.add_argument("what", nargs="?", choices=("all", "agreement", "cost"), default="all")
    parser.add_argument("--num-images", type=int, default=64)
    options = parser.parse_args(arguments)
    if options.what in ("all", "agreement"):
        print(agreement(options.num_images).to_string(index=False, float_format="{:.4f}".format), "\n")
    if options.what in ("all", "cost"):
        print(cost(options.num_images).to_string(float_format="{:.4g}".format))
    return 0


def agreement(num_images: int = 64):
    """DataFrame of the KL divergence on held-out photographs: the optimal plan beside one rank scale with spectral."""
    import pandas as pd

    from lrexplore.calibration import calibrate
    from lrexplore.datasets.loader import ImageLoader
    from lrexplore.datasets.photographs import photographs
    from lrexplore.models import load_model, preprocess
    from lrexplore.network.compare import compare
    from lrexplore.ranks import RankPlan, factorize
    from lrexplore.ranks.allocate import Allocator

    name = "efficientnet_lite0"
    model, transform = load_model(name, "imagenet"), partial(preprocess, name)
    loader = ImageLoader(photographs(num_images), transform)
    judged = list(ImageLoader(photographs(num_images // 2, part="held_out"), transform))
    calibration = calibrate(model, loader)
    ours = Allocator.of(model, loader=loader, calibration=calibration)
    plain = Allocator.of(model, initializer="spectral")
    rows = []
    for ratio in RATIOS:
        uniform = plain.plan("parameter_ratio", ratio, method="uniform")
        optimal = ours.plan("parameter_ratio", ratio)
        candidates: dict[str, tuple[RankPlan, dict[str, Any]]] = {
            "one rank scale, spectral": (uniform, {}),
            "one rank scale, spectral, norms corrected": (uniform, {"loader": loader}),
            "optimal, whitened": (optimal, {"calibration": calibration}),
            "optimal, whitened, norms corrected": (optimal, {"calibration": calibration, "loader": loader}),
        }
        for said, (plan, inputs) in candidates.items():
            table = compare(model, factorize(model, plan=plan, **inputs), judged, latency_rounds=0)["compared"]
            agreed = {key: float(table[key]) for key in ("KL divergence", "top-1 agreement", "top-5 agreement")}
            rows.append({"parameter_ratio": plan.parameter_ratio, "plan": said, **agreed, "MFLOP": table["MFLOP"]})
    return pd.DataFrame(rows)


def cost(num_images: int = 64):
    """Series of seconds and MiB for each step on ResNet-50 at 224 px, random weights, real photographs."""
    import pandas as pd
    import torch

    from lrexplore.calibration import calibrate
    from lrexplore.datasets.loader import ImageLoader
    from lrexplore.datasets.photographs import photographs
    from lrexplore.models import load_model, preprocess
    from lrexplore.network import find_layers
    from lrexplore.ranks import layer_curves
    from lrexplore.ranks.allocate import Allocator

    torch.manual_seed(0)
    model = load_model("resnet50")
    batches = list(ImageLoader(photographs(num_images), partial(preprocess, "resnet50")))
    layers = find_layers(model)
    small = [layer.name for layer in layers if layer.kernel_size == (1, 1) and layer.skip_reason is None]
    costs: dict[str, float | None] = {}
    with torch.no_grad():
        model(batches[0][:4])
        costs["memory before MiB"] = _peak_mib()
        costs["plain forward passes s"] = plain_s = _seconds(lambda: [model(batch) for batch in batches])
    costs["calibration of 1x1 layers s"] = small_s = _seconds(lambda: calibrate(model, batches, layers=small))
    kept = []
    costs["calibration of all layers s"] = _seconds(lambda: kept.append(calibrate(model, batches)))
    costs["peak memory MiB"] = _peak_mib()
    costs["1x1 layers over plain"] = small_s / plain_s
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("LREXPLORE_CACHE")
        os.environ["LREXPLORE_CACHE"] = folder
        try:
            for initializer, calibration in (("spectral", None), ("whitened", kept[0])):
                for state in ("cold", "from the cache"):
                    run = partial(layer_curves, model, layers, initializer=initializer, calibration=calibration)
                    costs[f"curves, {initializer}, {state} s"] = _seconds(run)
            network = Allocator.of(model, calibration=kept[0], weights="plain")
            for ratio in RATIOS:
                plan = partial(network.plan, "parameter_ratio", ratio)
                costs[f"allocation, parameter ratio {ratio} s"] = _seconds(plan)
                costs[f"proven gap, parameter ratio {ratio}"] = plan().gap
        finally:
            os.environ.pop("LREXPLORE_CACHE")
            if before is not None:
                os.environ["LREXPLORE_CACHE"] = before
    return pd.Series(costs)


def _seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _peak_mib() -> float:
    """The largest memory this process has had; NaN where the platform does not say."""
    try:
        import resource
    except ImportError:
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
