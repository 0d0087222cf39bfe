"""`lrexplore allocate` and `lrexplore factorize`: ranks for a network, and the network with them."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

PHOTOGRAPHS = "photographs"


def allocate(arguments: Sequence[str]) -> int:
    """Prints a rank plan and saves it; the exit status."""
    from lrexplore.disk.paths import output_path
    from lrexplore.linalg.tensors import FORMS
    from lrexplore.ranks import METHODS
    from lrexplore.ranks import allocate as allocate_ranks

    parser = argparse.ArgumentParser(
        "lrexplore allocate", description="Choose the rank of every layer of a network under one budget."
    )
    _add_model(parser)
    budget = parser.add_mutually_exclusive_group(required=True)
    for name, counted in (("parameter", "parameters"), ("flop", "multiply-adds"), ("latency", "time")):
        budget.add_argument(f"--{name}-ratio", type=float, metavar="X", help=f"{counted} after / before, such as 0.5")
    parser.add_argument("--method", choices=METHODS, default="optimal", help="(default: %(default)s)")
    parser.add_argument("--scheme", choices=("channel", "spatial", "best"), default="channel")
    parser.add_argument(
        "--forms", nargs="+", choices=FORMS, default=[FORMS[0]], help="what kernels may become (default: matrix)"
    )
    parser.add_argument(
        "--rank-multiple", type=int, default=1, metavar="N", help="only multiples of it, such as 8 for tensor cores"
    )
    parser.add_argument("--heads", action="store_true", help="allocate attention heads like layers")
    parser.add_argument("--pin", action="append", default=[], metavar="LAYER=RANK", help="RANK may be 'keep'")
    parser.add_argument("--out", type=Path, default=Path("plan.json"), help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    output_path(options.out, "--out")
    model, loader = _model(options), _loader(options)
    plan = allocate_ranks(
        model, parameter_ratio=options.parameter_ratio, flop_ratio=options.flop_ratio,
        latency_ratio=options.latency_ratio, initializer=options.initializer, scheme=options.scheme, loader=loader,
        forms=options.forms, pinned=dict(map(_pin, options.pin)), method=options.method,
        rank_multiple=options.rank_multiple, heads=options.heads, progress=_progress,
    )  # fmt: skip
    scheme = "scheme" if options.forms == [FORMS[0]] else "form"
    columns = ["name", "rank", scheme, "error", "parameters_before", "parameters_after", "reason"]
    print(plan.table()[columns].to_string(index=False))
    print(plan)
    plan.save(options.out)
    print(f"Saved as {options.out}")
    return 0


def factorize(arguments: Sequence[str]) -> int:
    """Factorizes a network, prints what became of it and saves it; the exit status."""
    from lrexplore.disk.paths import output_path
    from lrexplore.network.compare import compare
    from lrexplore.network.files import save
    from lrexplore.network.programs import export, export_path
    from lrexplore.network.replace import report
    from lrexplore.ranks import RankPlan
    from lrexplore.ranks import factorize as factorize_model

    parser = argparse.ArgumentParser(
        "lrexplore factorize", description="Factorize a network, compare it with the original, save it."
    )
    _add_model(parser)
    ranks = parser.add_mutually_exclusive_group(required=True)
    ranks.add_argument("--plan", type=Path, help="a plan that `lrexplore allocate` saved")
    ranks.add_argument("--rank-scale", type=float, metavar="X", help="one rank scale for all layers")
    ranks.add_argument("--tolerance", type=float, metavar="X", help="each layer at its numerical rank, such as 1e-4")
    parser.add_argument("--rank-multiple", type=int, default=1, metavar="N", help="round the ranks of a scale to it")
    parser.add_argument("--out", type=Path, default=Path("factorized.safetensors"), help="(default: %(default)s)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="also as .pt2 (torch.export) or .onnx")
    options = parser.parse_args(arguments)
    output_path(options.out, "--out")
    if options.export:
        export_path(options.export)
    model, loader = _model(options), _loader(options)
    plan = RankPlan.load(options.plan) if options.plan else None
    small = factorize_model(
        model, plan=plan, rank_scale=options.rank_scale, tolerance=options.tolerance,
        rank_multiple=options.rank_multiple, initializer=options.initializer, loader=loader, progress=_progress,
    )  # fmt: skip
    if options.tolerance is not None:
        print(report(small)[["name", "rank", "parameters_before", "parameters_after", "reason"]].to_string(index=False))
    if about := report(small).attrs["batch norms"]:
        print(about)
    if loader is not None:
        _print_comparison(compare(model, small, _loader(options, part="held_out")))
    save(small, options.out)
    print(f"Saved as {options.out}")
    if options.export:
        example = next(iter(loader)) if loader is not None else _example(options)
        export(small, options.export, example)
        print(f"Exported as {options.export}")
    return 0


def compare(arguments: Sequence[str]) -> int:
    """Compares a saved network with the original on images; the exit status."""
    from lrexplore.network.compare import compare as compare_networks
    from lrexplore.opening import load

    parser = argparse.ArgumentParser(
        "lrexplore compare", description="How far a factorized network still says what the original says."
    )
    parser.add_argument("model", help="the original: a name such as resnet50, or the path of a checkpoint")
    parser.add_argument("small", type=Path, help="the factorized network, as `lrexplore factorize` saved it")
    parser.add_argument("--weights", help="of the original: DEFAULT, imagenet or a checkpoint (default: random)")
    parser.add_argument(
        "--images", default=PHOTOGRAPHS, metavar="FOLDER",
        help="a folder of images, or 'photographs', scikit-learn's two, a first look and no evidence "
        "(default: %(default)s)",
    )  # fmt: skip
    _add_groups(parser)
    parser.add_argument("--part", choices=("held_out", "all"), default="held_out", help="(default: %(default)s)")
    parser.add_argument("--num-images", type=int, default=64, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which images of the folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    model, small = _model(options), load(options.small)
    part = None if options.part == "all" else options.part
    _print_comparison(compare_networks(model, small, _loader(options, part=part)))
    return 0


def _print_comparison(table) -> None:
    print(table.to_string(float_format="{:.4g}".format, na_rep="–"))
    count = table.attrs["independent_inputs"]
    sure = "low and high: 95 % interval" if count > 1 else "too few to say how sure that is"
    print(f"On {count} independent input{'s' if count > 1 else ''}; {sure}.")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a name such as resnet50, or the path of a checkpoint")
    parser.add_argument("--weights", help="DEFAULT, imagenet or a checkpoint (default: random)")
    parser.add_argument(
        "--images", default="none", metavar="FOLDER",
        help="a folder of your images to fit to and judge by, 'photographs' (scikit-learn's two) or 'none': what the "
        "network's batch norms imply, else Gaussian inputs (default: %(default)s)",
    )  # fmt: skip
    _add_groups(parser)
    parser.add_argument("--num-images", type=int, default=64, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which images of the folder (default: %(default)s)")
    parser.add_argument(
        "--initializer",
        help="a name or package.module:function (default: whitened with images; without, implied for a trained network "
        "with batch norms, else function)",
    )  # fmt: skip


def _add_groups(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--groups", choices=("file", "folder"), default="file",
        help="what is one independent input: an image file, near duplicates together, or all images of a folder, such "
        "as frames of one film (default: %(default)s)",
    )  # fmt: skip


def _model(options):
    from lrexplore.models import load_model

    return load_model(options.model, options.weights)


def _loader(options, part: str | None = "calibration"):
    """Batches of the chosen images for the chosen model; None for no images.

    Of a folder they are of all its folders alike, at random by the seed; every fourth image is "held_out".
    """
    from itertools import islice

    from lrexplore.datasets.loader import ImageLoader
    from lrexplore.datasets.photographs import image_folder, photographs
    from lrexplore.models import names, preprocess

    chosen = options.images
    if options.num_images < 1:
        raise ValueError(f"`--num-images` must be 1 or more, got {options.num_images}. Leave it out for 64.")
    if chosen == "none":
        return None
    # A checkpoint is preprocessed like most ImageNet networks.
    name = options.model.lower() if options.model.lower() in names() else "resnet50"
    if chosen == PHOTOGRAPHS:
        return ImageLoader(photographs(options.num_images, part=part or "held_out"), partial(preprocess, name))

    def of_folder() -> "Iterator[Image]":
        return islice(image_folder(chosen, part=part, seed=options.seed), options.num_images)

    group = _folder_of if options.groups == "folder" else None
    return ImageLoader(of_folder, partial(preprocess, name), group=group)


def _folder_of(image: "Image") -> str:
    return str(Path(image.info["path"]).parent)


def _example(options):
    import torch

    return torch.zeros(2, 3, 224, 224)


def _pin(text: str) -> tuple[str, int | None]:
    name, _, rank = text.rpartition("=")
    if not name or not (rank == "keep" or rank.isdecimal()):
        raise ValueError(f"`--pin` must be LAYER=RANK or LAYER=keep, got {text!r}. For example --pin fc=64.")
    return name, None if rank == "keep" else int(rank)


def _progress(done: int, total: int, what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total} {what:<40}", end="" if what else "\n", file=sys.stderr, flush=True)
