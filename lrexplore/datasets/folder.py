"""Images in one folder a class, the way ImageNet is unpacked."""

from collections.abc import Sequence
from pathlib import Path

import torch

from lrexplore.datasets.augmentation import prepare
from lrexplore.datasets.batch import Batch, Request
from lrexplore.datasets.image_files import image_files, is_visible, open_image
from lrexplore.datasets.split import mix
from lrexplore.disk.paths import printable


class FolderImages:
    """The images of `folder/<class>/*`, decoded when they are asked for; classes are the sorted folder names.

    Hidden folders and those of the system are no classes. A file that cannot be read or decoded is left out of its
    batch and named there.
    Raises FileNotFoundError for a folder that is missing, has no class folders, or one without images.
    """

    def __init__(self, folder: str | Path, size: int, classes: Sequence[str] | None = None):
        self.size, folder = size, Path(folder)
        there = sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
        files_of = {name: image_files(folder / name) for name in filter(is_visible, there)}
        empty = [name for name, files in files_of.items() if not files]
        if not files_of or len(empty) == len(files_of):
            kind = "no such folder" if not folder.is_dir() else "images in none of its folders" if files_of else "none"
            raise FileNotFoundError(
                f"`data` must be a folder with images in one folder a class, got {kind} in {folder}. Check the path; "
                "ImageNet has train/ and val/ there."
            )
        if empty:
            raise FileNotFoundError(
                f"`data` must have images in every class folder of {folder}, got none in {', '.join(empty[:5])}. Put "
                "images there or remove the folder."
            )
        self.classes = list(classes or files_of)
        unknown = sorted(set(files_of) - set(self.classes))
        if unknown:
            raise ValueError(
                f"`{folder}` must have the classes of the training images, got {', '.join(unknown[:3])} besides."
                " Give both splits the same class folders."
            )
        label = {name: number for number, name in enumerate(self.classes)}
        self.samples = [(path, label[name]) for name, files in files_of.items() for path in files]

    def __len__(self) -> int:
        return len(self.samples)

    def select(self, indices: Sequence[int]) -> "FolderImages":
        """The images with these indices, in this order."""
        chosen = object.__new__(FolderImages)
        chosen.size, chosen.classes = self.size, self.classes
        chosen.samples = [self.samples[index] for index in indices]
        return chosen

    def __getitem__(self, request: Request) -> Batch:
        images, labels, corrupt = [], [], []
        for position, index in enumerate(request.indices):
            path, label = self.samples[index]
            try:
                with open_image(path) as image:
                    seed = None if request.seed is None else mix(request.seed, position)
                    images.append(prepare(image, self.size, seed))
            except MemoryError:
                raise
            except Exception:  # what Pillow raises for a broken file depends on where it is broken
                corrupt.append(printable(path))
            else:
                labels.append(label)
        stacked = torch.stack(images) if images else torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return Batch(stacked, torch.tensor(labels, dtype=torch.long), corrupt)
