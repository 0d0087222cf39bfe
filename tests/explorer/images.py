"""Small image files for tests of a person's own images."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: int = 40) -> Image.Image:
    """A smooth color image of its own."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few bytes that claims to be `side` pixels wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def image_folder(folder: Path, num_images: int = 12) -> Path:
    """A folder with so many images in two folders, and three files that cannot be read as any."""
    for number in range(num_images):
        place = folder / ("odd" if number % 2 else "even")
        place.mkdir(parents=True, exist_ok=True)
        picture(number).save(place / f"{number:03}.png")
    (folder / "odd" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "odd" / "bomb.png").write_bytes(bomb())
    (folder / "even" / "program.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (folder / "even" / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    return folder
