"""`lrexplore bench pipeline`: images/s of reading JPEG files, on the CPU's workers and by the GPU's decoder."""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.io import decode_jpeg, read_file
from torchvision.transforms import v2

from lrexplore.bench.init import processor
from lrexplore.datasets import FolderImages, Request
from lrexplore.disk.whole_file import write_whole

_WIDTH, _HEIGHT, _QUALITY = 500, 375, 90


def write_images(folder: Path, count: int) -> Path:
    """JPEG files of ImageNet's usual size in `folder/images`: cuts of photographs with a little noise, else noise."""
    draws = np.random.default_rng(0)
    try:
        from sklearn.datasets import load_sample_images

        sources = [np.asarray(image) for image in load_sample_images().images]
    except ModuleNotFoundError:
        sources = [draws.integers(256, size=(2 * _HEIGHT, 2 * _WIDTH, 3), dtype=np.uint8)]
    place = folder / "images"
    place.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        source = Image.fromarray(sources[number % len(sources)])
        scale = draws.uniform(0.5, 1.0)
        width, height = int(scale * source.width), int(scale * source.height)
        left, top = (int(draws.integers(room + 1)) for room in (source.width - width, source.height - height))
        cut = source.crop((left, top, left + width, top + height)).resize((_WIDTH, _HEIGHT))
        noisy = np.asarray(cut, dtype=np.int16) + draws.integers(-6, 7, size=(_HEIGHT, _WIDTH, 3))
        pixels = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        pixels.save(place / f"{number:05}.jpg", quality=_QUALITY)
    return folder


def decode_on_gpu(paths: Sequence[str], size: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Images (b, 3, size, size) uint8: decoded together by the GPU, each cut at random and mirrored half the time."""
    decoded = decode_jpeg([read_file(path) for path in paths], device=device)
    cuts = []
    for image in decoded:
        height, width = image.shape[-2:]
        area = float(torch.empty(()).uniform_(0.08, 1.0, generator=generator)) ** 0.5
        aspect = float(torch.empty(()).uniform_(0.75**0.5, (4 / 3) ** 0.5, generator=generator))
        h, w = min(height, max(1, round(height * area * aspect))), min(width, max(1, round(width * area / aspect)))
        top = int(torch.randint(height - h + 1, (), generator=generator))
        left = int(torch.randint(width - w + 1, (), generator=generator))
        cut = v2.functional.resized_crop(image, top, left, h, w, [size, size], antialias=True)
        cuts.append(cut.flip(-1) if torch.rand((), generator=generator) < 0.5 else cut)
    return torch.stack(cuts)


def on_cpu(images: FolderImages, batches: list[list[int]], workers: int) -> Iterator[Tensor]:
    """The batches as training reads them: Pillow in worker processes."""
    requests = [Request(indices, seed=number) for number, indices in enumerate(batches)]
    loader: DataLoader = DataLoader(
        cast(Dataset, images), batch_size=None, sampler=requests, num_workers=workers, collate_fn=_as_it_is
    )
    yield from (batch.images for batch in loader)


def on_gpu(images: FolderImages, batches: list[list[int]], device: torch.device) -> Iterator[Tensor]:
    """The batches by torchvision's CUDA decoder, cut on the GPU too."""
    generator = torch.Generator().manual_seed(0)
    size = images.size
    yield from (decode_on_gpu([images.samples[i][0] for i in part], size, generator, device) for part in batches)


def rate(batches: Iterator[Tensor], device: torch.device, skip: int) -> float:
    """Images/s between the end of batch number `skip` and the last: starting workers does not count."""
    sizes, times = [], []
    for batch in batches:
        batch.to(device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        sizes.append(len(batch))
        times.append(perf_counter())
    return sum(sizes[skip:]) / (times[-1] - times[skip - 1])


def main(arguments: Sequence[str] | None = None) -> int:
    """0 once everything is measured and printed, whatever the numbers are."""
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser("lrexplore bench pipeline", description=__doc__)
    parser.add_argument("--num-images", type=int, default=512, help="files to write and read (512)")
    parser.add_argument("--num-batches", type=int, default=24, help="batches a measurement (24)")
    parser.add_argument("--batch-size", type=int, default=128, help="images a batch (128)")
    parser.add_argument("--workers", type=int, nargs="+", default=[cores], help=f"worker processes ({cores})")
    parser.add_argument("--repeats", type=int, default=3, help="measurements, of which the median counts (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory(prefix="lrexplore-bench-") as folder:
        images = FolderImages(write_images(Path(folder), options.num_images), 224)
        order = np.random.default_rng(0).integers(len(images), size=(options.num_batches, options.batch_size)).tolist()
        kib = median(Path(path).stat().st_size for path, _ in images.samples) / 1024
        print(f"{len(images)} JPEG files of {_WIDTH} x {_HEIGHT} pixels, median {kib:.0f} KiB, cut to 224 x 224")
        where = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU"
        print(f"{processor()}, {cores} cores; {where}; load average (1 min) {os.getloadavg()[0]:.2f}\n")
        ways: dict[str, Callable[[], Iterator[Tensor]]] = {
            f"Pillow, {n} workers": partial(on_cpu, images, order, n) for n in options.workers
        }
        if device.type == "cuda":
            ways["CUDA decoder, one process"] = partial(on_gpu, images, order, device)
        rows = []
        for way, start in ways.items():
            skip = min(4, options.num_batches - 1)
            images_per_s = median(rate(start(), device, skip) for _ in range(options.repeats))
            rows.append({"way": way, "images_per_s": images_per_s})
            print(f"{way:<28}{images_per_s:>10,.0f} images/s", flush=True)
        if device.type != "cuda":
            print("CUDA decoder: not measured, there is no CUDA device")
    if options.json:
        about = {"cpu": processor(), "cores": cores, "device": where, "torch": torch.__version__, "kib": kib}
        write_whole(options.json, json.dumps({**about, "rows": rows}, indent=1), name="--json")
    return 0


def _as_it_is(batch):
    return batch
