"""Images in WebDataset shards: tar files that are read in a row, from a disk or over a network.

`shards.json` lies beside them and says what there is:

    {"num_classes": 1000,
     "train": {"shards": "train-{0000..0145}.tar", "images": 1271167},
     "held_out": {"shards": "train-0146.tar", "images": 10000},
     "test": {"shards": "val-{00..06}.tar", "images": 50000}}

A sample is an image (jpg, jpeg, png or webp) and its label (cls), as WebDataset names them. Needs the extra
`webdataset`.
"""

import io
import itertools
import json
import random
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from lrexplore.datasets.augmentation import prepare
from lrexplore.datasets.batch import Batch
from lrexplore.datasets.split import mix

MANIFEST = "shards.json"
_SUFFIXES = ("jpg", "jpeg", "png", "webp")
_SHUFFLED = 2000


class Shards:
    """One split in shards. `stream` gives its batches; their order depends on seed, epoch, processes and workers."""

    def __init__(self, addresses: list[str], num_images: int, size: int):
        self.addresses, self.num_images, self.size = addresses, num_images, size

    def __len__(self) -> int:
        return self.num_images

    def stream(
        self, batch_size: int, *, seed: int | None, process_index: int = 0, num_processes: int = 1
    ) -> "ShardStream":
        """Batches of this process's share of the shards: without end and augmented with a seed, once over without."""
        return ShardStream(self, batch_size, seed, process_index, num_processes)


class ShardStream(IterableDataset):
    """What a DataLoader with any number of workers reads; each worker takes its share of the shards."""

    def __init__(self, shards: Shards, batch_size: int, seed: int | None, process_index: int, num_processes: int):
        self.shards, self.batch_size, self.seed = shards, batch_size, seed
        self.process_index, self.num_processes = process_index, num_processes

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        index, count = self.process_index * count + index, self.num_processes * count
        addresses = self.shards.addresses
        if self.seed is None:
            samples = _samples(addresses[index::count])
        else:
            # More readers than shards: every reader reads them all, in an order of its own.
            shares = addresses[index::count] if len(addresses) >= count else addresses
            samples = _endless(shares, mix(self.seed, index))
        while rows := list(itertools.islice(samples, self.batch_size)):
            yield self._batch(rows)

    def _batch(self, rows: list[dict]) -> Batch:
        images, labels, corrupt = [], [], []
        for row in rows:
            name = f"{row['__url__']}:{row['__key__']}"
            data = next((row[suffix] for suffix in _SUFFIXES if suffix in row), b"")
            seed = None if self.seed is None else mix(self.seed, *name.encode())
            try:
                with Image.open(io.BytesIO(data)) as image:
                    images.append(prepare(image, self.shards.size, seed))
                labels.append(int(row["cls"]))
            except (OSError, ValueError, SyntaxError, KeyError, Image.DecompressionBombError):
                images = images[: len(labels)]
                corrupt.append(name)
        size = self.shards.size
        stacked = torch.stack(images) if images else torch.empty(0, 3, size, size, dtype=torch.uint8)
        return Batch(stacked, torch.tensor(labels, dtype=torch.long), corrupt)


def open_shards(address: str, size: int) -> dict:
    """Keyword arguments of `Data` for a manifest on a disk or at an address: the three splits, and `num_classes`."""
    try:
        if "://" in address:
            with urllib.request.urlopen(address, timeout=30) as answer:
                manifest = json.load(answer)
        else:
            manifest = json.loads(Path(address).read_text(encoding="utf-8"))
        base = address.rpartition("/")[0]
        splits = {
            split: Shards([f"{base}/{name}" for name in _expand(part["shards"])], int(part["images"]), size)
            for split, part in ((split, manifest[split]) for split in ("train", "held_out", "test"))
        }
        return {**splits, "num_classes": int(manifest["num_classes"])}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"`{address}` must give `num_classes`, and `shards` and `images` of train, held_out and test, got"
            f" {type(error).__name__}: {error}. See `lrexplore.datasets.shards` for an example."
        ) from error


def _expand(pattern: str | list[str]) -> list[str]:
    patterns = [pattern] if isinstance(pattern, str) else pattern
    return [name for entry in patterns for name in _webdataset().shardlists.expand_urls(entry)]


def _webdataset():
    try:
        import webdataset
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`shards` need webdataset, got an environment without it. Install the extra: pip install -e '.[webdataset]'"
        ) from error
    return webdataset


def _samples(addresses: list[str]) -> Iterator[dict]:
    if not addresses:
        return iter(())
    webdataset = _webdataset()
    return iter(webdataset.DataPipeline(webdataset.SimpleShardList(addresses), webdataset.tarfile_to_samples()))


def _endless(addresses: list[str], seed: int) -> Iterator[dict]:
    """Samples without end: shards in a new order every time, then mixed within a window."""
    for epoch in itertools.count():
        draws = random.Random(mix(seed, epoch))
        shuffled = draws.sample(addresses, len(addresses))
        yield from _webdataset().shuffle(_SHUFFLED, rng=draws)(_samples(shuffled))
