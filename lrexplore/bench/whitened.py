"""`lrexplore bench whitened`: function error on held-out photographs of spectral, whitened and refined factors."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

INITIALIZERS = ("spectral", "whitened_plain", "whitened_centred", "whitened", "whitened_function", "refined")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one line a layer and the mean ratios to spectral; the exit status says whether they hold the bars."""
    parser = argparse.ArgumentParser(
        "lrexplore bench whitened",
        description="Errors of EfficientNet-Lite0's expansion convolutions on held-out photographs, at one rank scale.",
    )
    parser.add_argument("--rank-scale", type=float, default=0.25)
    parser.add_argument("--num-images", type=int, default=64)
    parser.add_argument("--images", help="a folder of images to judge by (default: the held-out part)")
    options = parser.parse_args(arguments)
    table = measure(options.rank_scale, options.num_images, options.images)
    print(table.to_string(float_format="{:.4f}".format))
    means = table[list(INITIALIZERS)].mean()
    ratios = means / means["spectral"]
    print("\nmean error over spectral's\n" + ratios.to_string(float_format="{:.3f}".format))
    return 0 if ratios["whitened"] <= 0.55 and ratios["refined"] <= 0.50 else 1


def measure(rank_scale: float = 0.25, num_images: int = 64, folder: str | None = None):
    """DataFrame of the function errors, one row an expansion convolution, one column an initializer."""
    import pandas as pd

    from lrexplore.calibration import calibrate
    from lrexplore.datasets.loader import ImageLoader
    from lrexplore.datasets.photographs import image_folder, photographs
    from lrexplore.init import REAL_INPUTS, initialize
    from lrexplore.init.real import input_error
    from lrexplore.linalg import rank_from_scale
    from lrexplore.models import load_model, preprocess
    from lrexplore.network import find_layers

    name = "efficientnet_lite0"
    model, transform = load_model(name, "imagenet"), partial(preprocess, name)
    layers = [
        layer for layer in find_layers(model)
        if layer.name.endswith("conv_pw") and layer.weight_shape[0] > layer.weight_shape[1]
    ]  # fmt: skip
    names = [layer.name for layer in layers]
    judged = list(image_folder(folder)) if folder else photographs(num_images, part="held_out")
    fit = calibrate(model, ImageLoader(photographs(num_images), transform), layers=names)
    judge = calibrate(model, ImageLoader(judged, transform), layers=names, num_samples=4096)
    rows = {}
    for layer in layers:
        weight = model.get_parameter(f"{layer.name}.weight").detach()
        rank = rank_from_scale(layer.matrix_shape(), rank_scale)
        entry = replace(judge[layer.name], held_out=judge[layer.name].samples)
        row: dict[str, float] = {"rank": rank}
        for initializer in INITIALIZERS:
            start = time.perf_counter()
            real, follows = initializer in REAL_INPUTS, layer.follows.activation
            inputs = fit[layer.name] if real else None
            factors = initialize(weight, rank, initializer=initializer, activation=follows, calibration=inputs)
            row[f"{initializer} s"] = time.perf_counter() - start
            row[initializer] = input_error(weight, factors, entry, activation=layer.follows.activation)
        rows[layer.name] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table[["rank", *INITIALIZERS, *(f"{name} s" for name in INITIALIZERS)]]
