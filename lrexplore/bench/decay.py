"""`lrexplore bench decay`: what Frobenius decay adds to a training step, measured within the same steps."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch.nn import functional as F

from lrexplore.bench.init import pinned, processor
from lrexplore.disk.whole_file import write_whole
from lrexplore.models import load_model
from lrexplore.network import replace_layers
from lrexplore.optim import FrobeniusDecay, add_frobenius_decay, parameter_groups

BAR = 0.03


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, the device's work included."""
    _wait(device)
    start = perf_counter()
    run()
    _wait(device)
    return perf_counter() - start


def measure(model: torch.nn.Module, images: torch.Tensor, repeats: int, half: bool) -> list[tuple[float, float]]:
    """Pairs: seconds of a step of momentum SGD without the decay, and of the decay on the gradients of that step."""
    device = images.device
    groups = parameter_groups(model, decay="frobenius", decay_strength=1e-4, decay_norms=True)
    optimizer = torch.optim.SGD(groups, lr=1e-3, momentum=0.9)
    decayed = FrobeniusDecay(model, 1e-4).modules
    labels = torch.zeros(len(images), dtype=torch.long, device=device)

    def step():
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    pairs = []
    for number in range(repeats + 2):
        pair = seconds(step, device), seconds(lambda: add_frobenius_decay(decayed, 1e-4), device)
        if number > 1:  # the first two also make buffers and choose kernels
            pairs.append(pair)
    return pairs


def main(argv: Sequence[str] | None = None) -> int:
    """0 once everything is measured and printed, whatever the numbers are."""
    parser = argparse.ArgumentParser("lrexplore bench decay", description=__doc__)
    parser.add_argument("--model", default="resnet50", help="a name for lr.load_model (resnet50)")
    parser.add_argument("--rank-scale", type=float, default=0.1, help="in (0, 1] (0.1)")
    parser.add_argument("--batch-size", type=int, help="images a step (32 on a CPU, 256 on a GPU)")
    parser.add_argument("--image-size", type=int, default=224, help="pixels (224)")
    parser.add_argument("--repeats", type=int, default=5, help="steps measured (5)")
    parser.add_argument("--threads", type=int, default=2, help="threads on a CPU (2)")
    parser.add_argument("--precision", choices=["32", "bf16"], help="(32 on a CPU, bf16 on a GPU)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    options = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gpu = device.type == "cuda"
    batch, half = (
        options.batch_size or (256 if gpu else 32),
        (options.precision or ("bf16" if gpu else "32")) == "bf16",
    )
    where = torch.cuda.get_device_name() if gpu else f"{processor()}, {options.threads} threads"
    print(f"{options.model}, batch {batch}, {options.image_size} pixels, rank scale {options.rank_scale}")
    print(f"{where}, torch {torch.__version__}, {'bf16' if half else 'float32'}, channels last")
    print(f"medians of {options.repeats} steps; decay and step in turn\n")
    print(f"{'scheme':<10}{'step s':>10}{'decay s':>10}{'share':>9}{'bar':>7}")
    rows = []
    with pinned(options.threads):
        torch.manual_seed(0)
        model = load_model(options.model)
        images = torch.randn(batch, 3, options.image_size, options.image_size, device=device)
        images = images.to(memory_format=torch.channels_last)
        for scheme in ("channel", "spatial"):
            low = replace_layers(model, rank_scale=options.rank_scale, initializer="spectral", scheme=scheme)
            low = low.to(device).to(memory_format=torch.channels_last).train()
            pairs = measure(low, images, options.repeats, half)
            share = median(decay / step for step, decay in pairs)
            step_s, decay_s = (median(times) for times in zip(*pairs, strict=True))
            rows.append({"scheme": scheme, "step_s": step_s, "decay_s": decay_s, "share": share, "pairs": pairs})
            verdict = "ok" if share <= BAR else "ABOVE"
            print(f"{scheme:<10}{step_s:>10.4f}{decay_s:>10.4f}{share:>9.4f}{BAR:>7.2f}  {verdict}", flush=True)
    if options.json:
        about = {"model": options.model, "batch_size": batch, "where": where, "torch": torch.__version__}
        write_whole(options.json, json.dumps({**about, "rows": rows}, indent=1), name="--json")
    return 0


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
