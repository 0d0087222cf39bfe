"""Images in WebDataset shards: tar files that are read in a row, from a disk or over a network.

`shards.json` lies beside them and says what there is:

    {"num_classes": 1000,
     "train": {"shards": "train-{0000..0145}.tar", "images": 1271167},
     "held_out": {"shards": "train-0146.tar", "images": 10000},
     "test": {"shards": "val-{00..06}.tar", "images": 50000}}

A sample is an image (jpg, jpeg, png or webp) and its label (cls), as WebDataset names them. Needs the extra
`webdataset`. The names are files beside this one, also where it lies at an address; they are never commands.
"""

import io
import itertools
import json
import random
import tarfile
from collections.abc import Iterator

import torch
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from lrexplore.datasets.addresses import beside, load_webdataset, open_shard, read_address
from lrexplore.datasets.augmentation import prepare
from lrexplore.datasets.batch import Batch
from lrexplore.datasets.split import mix
from lrexplore.disk.paths import printable

MANIFEST = "shards.json"
_SUFFIXES = ("jpg", "jpeg", "png", "webp")
_SHUFFLED = 2000
MOST_CLASSES, _MOST_IMAGES = 1_000_000, 10**12


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
            name = printable(f"{row['__url__']}:{row['__key__']}")
            data = next((row[suffix] for suffix in _SUFFIXES if suffix in row), b"")
            seed = None if self.seed is None else mix(self.seed, *name.encode())
            try:
                with Image.open(io.BytesIO(data)) as image:
                    images.append(prepare(image, self.shards.size, seed))
                labels.append(int(row["cls"]))
            except MemoryError:
                raise
            except Exception:  # what Pillow raises for a broken image depends on where it is broken
                images = images[: len(labels)]
                corrupt.append(name)
        size = self.shards.size
        stacked = torch.stack(images) if images else torch.empty(0, 3, size, size, dtype=torch.uint8)
        return Batch(stacked, torch.tensor(labels, dtype=torch.long), corrupt)


def open_shards(address: str, size: int) -> dict:
    """Keyword arguments of `Data` for a manifest on a disk or at an address: the three splits, and `num_classes`."""
    load_webdataset()
    try:
        text = read_address(address)
    except OSError as error:
        raise FileNotFoundError(
            f"`data` must be the address of a {MANIFEST} that can be read, got {address} ({error}). Check it."
        ) from error
    try:
        manifest = json.loads(text)
        splits = {}
        for split, part in ((split, manifest[split]) for split in ("train", "held_out", "test")):
            patterns = [part["shards"]] if isinstance(part["shards"], str) else part["shards"]
            addresses = [shard for pattern in patterns for shard in beside(address, pattern)]
            splits[split] = Shards(addresses, _whole(part, "images", _MOST_IMAGES), size)
        return {**splits, "num_classes": _whole(manifest, "num_classes", MOST_CLASSES)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"`{address}` must give `num_classes`, and `shards` and `images` of train, held_out and test, got"
            f" {type(error).__name__}: {error}. See `lrexplore.datasets.shards` for an example."
        ) from error


def _whole(entries: dict, key: str, most: int) -> int:
    value = entries[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"`{key}` must be a whole number in 1..{most:,}, got {str(value)[:40]}")
    return value


def _samples(addresses: list[str]) -> Iterator[dict]:
    """The samples of some shards, one after the other. Raises ValueError for a shard that is missing or torn."""
    tariterators = load_webdataset().tariterators
    for address in addresses:
        try:
            with open_shard(address) as stream:
                files = tariterators.tar_file_expander([{"url": address, "stream": stream}])
                yield from tariterators.group_by_keys(files)
        except (OSError, ValueError, EOFError, tarfile.TarError) as error:
            reason = str(error.args[0] if error.args else error).partition(" @ ")[0]
            raise ValueError(
                f"`data` must have shards that are whole, got {printable(address)} ({reason}). Write it again."
            ) from error


def _endless(addresses: list[str], seed: int) -> Iterator[dict]:
    """Samples without end: shards in a new order every time, then mixed within a window."""
    for epoch in itertools.count():
        draws, had_samples = random.Random(mix(seed, epoch)), False
        shuffled = draws.sample(addresses, len(addresses))
        for sample in load_webdataset().shuffle(_SHUFFLED, rng=draws)(_samples(shuffled)):
            had_samples = True
            yield sample
        if not had_samples:
            raise ValueError(
                f"`data` must have samples in its shards, got none in {', '.join(map(printable, addresses[:3]))}."
                " Write them again, or name fewer."
            )
