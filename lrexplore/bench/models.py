"""`lrexplore bench models`: what works on the networks of others, one row each."""

import argparse
import copy
import gc
import re
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.bench.crowd import Member, crowd
from lrexplore.linalg import Factors
from lrexplore.network import find_layers, replace_layers
from lrexplore.network.batches import call, example_inputs, tensors_of
from lrexplore.network.files import save
from lrexplore.network.private import skeleton, why
from lrexplore.network.programs import export
from lrexplore.opening import load

TOLERANCE = 1e-4
COST_TOLERANCE = 0.02
LARGEST_SVD = 3e8  # m n min(m, n) of a matrix; larger ones get factors without one


@dataclass
class Row:
    """What became of one network; `told` says why something is not done, `failed` what went wrong."""

    name: str
    num_layers: int = 0
    num_factorizable: int = 0
    gflop: float | None = None
    published: float | None = None
    error: float | None = None
    saved: str = "-"
    exported: str = "-"
    seconds: float = 0.0
    told: str = ""
    failed: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; the exit status is 1 where a network failed."""
    parser = argparse.ArgumentParser(
        "lrexplore bench models",
        description="Networks of timm, torchvision and transformers with random weights: layers listed, multiply-adds "
        "beside published ones, full rank, saved, loaded, exported.",
    )
    parser.add_argument("--only", metavar="PATTERN", default="", help="names that a regular expression finds")
    parser.add_argument("--no-export", action="store_true", help="leave out what takes longest")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    members = [member for member in crowd() if re.search(options.only, member.name)]
    if not members:
        raise ValueError(f"`--only` must find a network, got {options.only!r}. Leave it out to see all names.")
    print(f"{'network':58}{'layers':>7}{'of them':>8}{'GFLOP':>8}{'known':>8}{'error':>9} saved export    s")
    rows = [measured(member, exports=not options.no_export) for member in members]
    failed = [row for row in rows if row.failed]
    published = [row for row in rows if row.published]
    print(
        f"\n{len(rows)} networks, {len(failed)} failed. Full rank within {TOLERANCE:g}: "
        f"{sum(row.error is not None and row.error <= TOLERANCE for row in rows)}; multiply-adds within "
        f"{COST_TOLERANCE:.0%} of {len(published)} published: {sum(_near(row) for row in published)}; "
        f"saved and loaded: {sum(row.saved == 'yes' for row in rows)}; "
        f"exported: {sum(row.exported == 'yes' for row in rows)}, "
        f"{sum(row.exported == 'no' for row in rows)} said why not."
    )
    for row in failed:
        print(f"FAILED {row.name}: {row.failed}")
    return 1 if failed else 0


def measured(member: Member, *, exports: bool = True) -> Row:
    """The row of one network, printed as soon as it is known. Whatever it raises is in the row."""
    row, start = Row(member.name, published=member.published), time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _measure(member, row, exports)
    except Exception as error:  # the network is someone else's: it may raise anything
        row.failed = row.failed or why(error)
    row.seconds = time.perf_counter() - start
    gc.collect()

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    said = row.failed or row.told
    print(
        f"{row.name:58}{row.num_layers:7}{row.num_factorizable:8}{number(row.gflop, '.3g'):>8}"
        f"{number(row.published, '.3g'):>8}{number(row.error, '.1e'):>9} {row.saved:>5} {row.exported:>6}"
        f"{row.seconds:5.0f}{'  FAILED' if row.failed else ''}{f'  {said}' if said else ''}",
        flush=True,
    )
    return row


def _measure(member: Member, row: Row, exports: bool) -> None:
    model = _stirred(member.make().eval())
    example = member.example()
    layers = find_layers(model, example)
    row.num_layers = len(layers)
    chosen = {layer.name: min(layer.matrix_shape()) for layer in layers if layer.skip_reason is None}
    row.num_factorizable = len(chosen)
    judged = find_layers(model, member.published_for()) if member.published_for else layers
    row.gflop = None if judged.flops is None else judged.flops / 1e9
    if row.gflop and member.counts_norms:
        row.gflop += _norm_operations(model, example) / 1e9
    problems = []
    if judged.flops is None:
        problems.append(f"its multiply-adds are {layers[0].measured if layers else 'unknown'}")
    elif row.published and not _near(row, member.digits):
        problems.append(f"{row.gflop:.4g} G multiply-adds, {row.published:g} published")
    if not chosen:
        row.told = "; ".join(dict.fromkeys(layer.skip_reason or "" for layer in layers))[:200]
        small = model
    else:
        small = replace_layers(model, ranks=chosen, initializer=_full_rank)
        row.error = _distance(member, model, small, example)
        if not row.error <= TOLERANCE and not member.part and isinstance(example, Tensor):
            row.told = f"{row.error:.1e} in float32, whose rounding it amplifies"
            exact = copy.deepcopy(model).double()
            twin = replace_layers(exact, ranks=chosen, initializer=_full_rank)
            row.error = _distance(member, exact, twin, example.double())
        if not row.error <= TOLERANCE:
            problems.append(f"at full rank its outputs differ by {row.error:.1e}")
    problems += filter(None, [_saved(row, model, small, member, example)])
    if exports:
        problems += filter(None, [_exported(row, small, member, example)])
    row.failed = "; ".join(problems)


def _norm_operations(model: nn.Module, example: Tensor) -> int:
    """What fvcore counts of one input beside products: norms by the numbers they take, and pooling to one pixel."""
    total = 0

    def count(module: nn.Module, args: tuple, output: object) -> None:
        nonlocal total
        by_statistics = isinstance(module, nn.modules.batchnorm._BatchNorm)
        each = 2 if by_statistics else 1 if isinstance(module, nn.AdaptiveAvgPool2d) else 5
        total += each * args[0].numel()

    copied = skeleton(model)
    for module in copied.modules():
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.AdaptiveAvgPool2d)):
            module.register_forward_hook(count)
    with torch.no_grad():
        copied(example[:1].to("meta"))
    return total


def _near(row: Row, digits: float = 5e-3) -> bool:
    return bool(row.published and row.gflop and abs(row.gflop - row.published)
                <= COST_TOLERANCE * row.published + digits)  # fmt: skip


def _full_rank(problem, rank: int, *, generator, **options) -> Factors:
    """Exact factors: of a small matrix by its singular vectors, of a large one by a matrix of ones and zeros."""
    m, n = problem.matrix.shape
    if m * n * min(m, n) <= LARGEST_SVD:
        u, s, vh = torch.linalg.svd(problem.matrix, full_matrices=False)
        return Factors(u * s, vh)
    unit = torch.eye(min(m, n), dtype=problem.matrix.dtype, device=problem.matrix.device)
    return Factors(problem.matrix, unit) if n <= m else Factors(unit, problem.matrix)


@torch.no_grad()
def _stirred(model: nn.Module) -> nn.Module:
    """The model with what its initialization made zero or tiny drawn anew, so that every branch is heard."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.numel() and float(parameter.abs().max()) < 1e-2:
            scale = 0.3 if name.endswith(("weight", "gamma")) and parameter.ndim == 1 else 0.02
            parameter.copy_(scale * torch.rand(parameter.shape, generator=generator))
    return model


def _outputs(member: Member, model: nn.Module, example: Any) -> list[Tensor]:
    with torch.no_grad():
        if member.part:
            return tensors_of(model.get_submodule(member.part)(torch.stack(example[0])))
        return [x for x in tensors_of(call(model, example_inputs(example, model))) if x.is_floating_point()]


def _distance(member: Member, model: nn.Module, other: nn.Module, example: Any) -> float:
    """The largest difference of any output, relative to the largest entry of that output."""
    pairs = zip(_outputs(member, model, example), _outputs(member, other, example), strict=True)
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-30)) for a, b in pairs)


def _saved(row: Row, model: nn.Module, small: nn.Module, member: Member, example: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "small.safetensors")
        save(small, path)
        loaded = load(path, model)
        distance = _distance(member, small, loaded, example)
    row.saved = "yes" if distance <= TOLERANCE else "no"
    return "" if row.saved == "yes" else f"loaded from its file its outputs differ by {distance:.1e}"


def _exported(row: Row, small: nn.Module, member: Member, example: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "small.pt2")
        try:
            export(small, path, example)
        except ValueError as error:
            row.exported = "no"
            row.told = row.told or why(error)
            return "" if str(error).startswith("`model` must be one that") else f"its export raised {why(error)}"
        program = torch.export.load(path).module()
    inputs: Any = example_inputs(example, small)
    with torch.no_grad():
        said = tensors_of(call(program, copy.deepcopy(inputs)))
        own = tensors_of(call(small, inputs))
    pairs = [(a, b) for a, b in zip(own, said, strict=False) if a.is_floating_point()]
    distance = max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-30)) for a, b in pairs)
    row.exported = "yes" if distance <= TOLERANCE else "no"
    return "" if row.exported == "yes" else f"exported its outputs differ by {distance:.1e}"
