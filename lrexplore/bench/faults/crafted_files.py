"""Files that somebody made up: checkpoints, networks, plans, calibrations, shards and images. No code in one is run."""

import io
import json
import os
import pickle
import random
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

import lrexplore as lr
from lrexplore.bench.faults import random_things as things
from lrexplore.bench.faults.damaged_records import _OTHER, _cut, _flip
from lrexplore.bench.faults.verdict import Tally, Wrong, is_ours
from lrexplore.datasets import Request
from lrexplore.datasets.data import open_data
from lrexplore.datasets.photographs import image_folder

_MARK = "code ran"


class _Command:
    """What a hostile pickle holds."""

    def __init__(self, mark: str):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.mark}'",)


def crafted_files(count: int, seed: int, first: int = 0) -> Tally:
    """What came of so many files."""
    tally = Tally("crafted files")
    for number in range(first, first + count):
        draw = random.Random(f"{seed} {number}")
        craft = draw.choice((_checkpoint, _checkpoint, _own, _own, _plan, _header, _shards, _shards, _images))
        with tempfile.TemporaryDirectory(prefix="lrexplore-faults-") as folder:
            tally.attempt(
                number, lambda craft=craft, draw=draw, folder=folder: craft(draw, Path(folder)), craft.__name__
            )
            if Path(folder, _MARK).exists():
                tally.faults.append((number, "code in a file was run"))
    return tally


@cache
def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)).eval()


@cache
def _resnet() -> nn.Module:
    return lr.load_model("resnet20")


def _each(*calls: Callable[[], Any]) -> None:
    """Every call ends well or with one of our errors."""
    refused = None
    for call in calls:
        try:
            call()
        except Exception as error:
            if not is_ours(error):
                raise
            refused = error
    if refused is not None:
        raise refused


def _open(path: Path) -> None:
    """Everything that opens a file of weights."""

    def model() -> None:
        if not all(torch.isfinite(x).all() for x in lr.load_model(path).state_dict().values()):
            raise Wrong("a network with NaN or infinity")

    _each(model, lambda: lr.load_model("resnet20", path), lambda: lr.load(path), lambda: lr.load(path, _net()),
          lambda: lr.Calibration.load(path), lambda: lr.RankPlan.load(path))  # fmt: skip


def _checkpoint(draw: random.Random, folder: Path) -> None:
    """A file of torch.save, of pickle, or a zip archive."""
    path = folder / draw.choice(("a.pt", "a.pth", "a.ckpt", "a.bin", "a.safetensors", "a"))
    state: Any = dict(_resnet().state_dict())
    for _ in range(draw.choice((0, 1, 1, 3))):
        key = draw.choice(list(state))
        kind = draw.randrange(6)
        if kind == 0:
            state[key] = things.odd_tensor(draw)
        elif kind == 1:
            state[key] = things.odd(draw)
        elif kind == 2:
            state[draw.choice((1, None, "", "x" * 999, ("a",), "\ud800", "fc.weight.extra"))] = state.pop(key)
        elif kind == 3:
            del state[key]
        elif kind == 4:
            state[key] = state[key].to(draw.choice((torch.float16, torch.float64, torch.complex64, torch.int32)))
        else:
            state[key] = state[key].new_zeros(*state[key].shape, 1)
    for _ in range(draw.choice((0, 0, 1, 2))):
        state = draw.choice(({"state_dict": state}, {"model": state, "epoch": 3}, [state], (state, 1), {"x": state}))
    if draw.random() < 0.15:
        state = (
            {**state, "x": _Command(str(folder / _MARK))} if isinstance(state, dict) else _Command(str(folder / _MARK))
        )
    try:
        if draw.random() < 0.8:
            torch.save(state, path, _use_new_zipfile_serialization=draw.random() < 0.7)
        else:
            path.write_bytes(pickle.dumps(state, protocol=draw.choice((0, 2, 4, 5))))
    except Exception:  # some tensors cannot be written
        path.write_bytes(draw.randbytes(draw.randrange(1000)))
    if draw.random() < 0.3:
        draw.choice((_cut, _flip))(path, draw)
    if draw.random() < 0.05:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(draw.choice(("a/data.pkl", "x", "../x")), draw.randbytes(50))
    _open(path)


def _own(draw: random.Random, folder: Path) -> None:
    """A network or a calibration of ours with another description, other tensors, or bytes changed."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = folder / "a.safetensors"
    if draw.random() < 0.6:
        lr.save(lr.factorize(draw.choice((_net(), _net(), _resnet())), rank_scale=0.25, initializer="spectral"), path)
    else:
        lr.calibrate(_net(), [torch.randn(9, 8)]).save(path)
    if draw.random() < 0.6:
        with safe_open(path, framework="pt") as file:
            tensors, about = (
                {key: file.get_tensor(key) for key in file.keys()},
                json.loads(file.metadata()["lrexplore"]),
            )  # noqa: SIM118
        _change(about, draw)
        for _ in range(draw.choice((0, 0, 1, 2))):
            key = draw.choice(list(tensors))
            tensors[key] = draw.choice((tensors[key].flatten(), torch.zeros(1), tensors[key] / 0, torch.zeros(0, 3)))
            if draw.random() < 0.2:
                del tensors[key]
        save_file(tensors, path, metadata={"lrexplore": json.dumps(about)})
    if draw.random() < 0.4:
        draw.choice((_cut, _flip))(path, draw)
    _open(path)


def _change(about: Any, draw: random.Random) -> None:
    """Another value somewhere in a description."""
    for _ in range(draw.choice((1, 1, 2))):
        owner = about
        while isinstance(owner, dict | list) and owner:
            key = draw.choice(list(owner)) if isinstance(owner, dict) else draw.randrange(len(owner))
            if not isinstance(owner[key], dict | list) or draw.random() < 0.3:
                owner[key] = draw.choice(_OTHER)
                break
            owner = owner[key]


def _plan(draw: random.Random, folder: Path) -> None:
    """A plan with other values, or with bytes changed; what is read is used."""
    path = folder / "plan.json"
    plan = lr.allocate(_net(), parameter_ratio=0.7, use_cache=False, initializer="spectral")
    about = json.loads(plan.to_json())
    _change(about, draw)
    path.write_text(json.dumps(about), encoding="utf-8")
    if draw.random() < 0.3:
        draw.choice((_cut, _flip))(path, draw)
    read = lr.RankPlan.load(path)
    _each(lambda: str(read), read.table, lambda: read.diff(plan), lambda: lr.factorize(_net(), plan=read))


def _header(draw: random.Random, folder: Path) -> None:
    """A safetensors file whose header is made up."""
    path, dtypes = folder / "a.safetensors", ("F32", "F64", "BF16", "F8_E4M3", "I64", "BOOL", "C64", "F4", "x", 3)
    header: dict[str, Any] = {
        draw.choice(("fc.weight", "", "x" * 300, "0.left", "\u0000")): {
            "dtype": draw.choice(dtypes),
            "shape": draw.choice(([2, 2], [], [0], [2**62, 4], [-1, 4], [10**11], "x", None, [2.5])),
            "data_offsets": draw.choice(([0, 16], [16, 0], [0, 10**18], [-1, 15], [0], None, [0, 8])),
        }
        for _ in range(draw.choice((1, 2)))
    }
    header["__metadata__"] = draw.choice(
        ({}, {"lrexplore": "{}"}, {"lrexplore": '{"format": "lrexplore network 1"}'}, 3)
    )
    text = json.dumps(header).encode()
    length = draw.choice((len(text), len(text), len(text), 0, len(text) + 9, 2**63, 2**40, 5))
    path.write_bytes(struct.pack("<Q", length) + text + draw.randbytes(16))
    _open(path)


def _picture(draw: random.Random) -> bytes:
    """The bytes of an image, whole, broken, or of a kind that nobody expects."""
    buffer = io.BytesIO()
    mode = draw.choice(("RGB", "L", "P", "RGBA", "CMYK", "1", "I;16", "LA"))
    kind = draw.choice(("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "ICO", "PPM"))
    try:
        Image.new(mode, draw.choice(((9, 9), (1, 1), (40, 3), (1, 400)))).save(buffer, kind)
    except (OSError, KeyError, ValueError):
        Image.new("RGB", (9, 9)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    for _ in range(draw.choice((0, 0, 1, 10))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    content = content[: draw.choice((len(content), len(content), draw.randrange(len(content) + 1)))]
    if draw.random() < 0.1:  # a bomb: many pixels in few bytes
        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        content = bytearray(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + header + b"\x00\x00\x00\x00")
    return bytes(content)


def _member(draw: random.Random, number: int, suffix: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(f"{number:04}.{suffix}")
    member.size = len(content)
    if draw.random() < 0.1:
        member.name = draw.choice(("../x.png", "/x.png", "a/b.c.png", os.fsdecode(b"\xff.png"), "x", ".cls", "a." * 60))
    if draw.random() < 0.05:
        member.type = draw.choice(
            (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
        )
        member.linkname, member.size, content = draw.choice(("/dev/zero", "..", "0000.png")), 0, b""
    return member, content


def _shards(draw: random.Random, folder: Path) -> None:
    """Shards with odd samples, or torn, beside a manifest with odd values."""
    with tarfile.open(folder / "t.tar", "w", format=draw.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as archive:
        for number in range(draw.choice((0, 1, 4))):
            label = draw.choice((b"0", b"1", b"1", b"-100", b"x", b"", b"99999999999999999999", b"1.5", b"\xff"))
            pairs = [(draw.choice(("png", "jpg", "webp", "txt")), _picture(draw)), ("cls", label)]
            for suffix, content in pairs[: draw.choice((2, 2, 2, 1))]:
                member, content = _member(draw, number, suffix, content)
                archive.addfile(member, io.BytesIO(content))
    if draw.random() < 0.4:
        draw.choice((_cut, _flip))(folder / "t.tar", draw)
    part = {"shards": "t.tar", "images": 4}
    manifest = {"num_classes": 2, **{split: dict(part) for split in ("train", "held_out", "test")}}
    if draw.random() < 0.4:
        _change(manifest, draw)
        manifest["train"] = draw.choice((manifest["train"], {**part, "shards": draw.choice((
            "{0..9}{0..9}.tar", "{{a}}", "t.tar::t.tar", "/dev/zero", "../t.tar", "pipe:touch x", "http://x/t.tar",
            "${HOME}/t.tar", ["t.tar", 3], "", "file:///dev/zero", "t.tar\0"
        ))}))  # fmt: skip
    (folder / "shards.json").write_text(json.dumps(manifest), encoding="utf-8")
    if draw.random() < 0.2:
        draw.choice((_cut, _flip))(folder / "shards.json", draw)
    data = open_data(str(folder), image_size=8)
    _each(*(lambda images=images, seed=seed: _read(images, seed, data.num_classes)
            for images, seed in ((data.train, 1), (data.held_out, None))))  # fmt: skip


def _read(images: Any, seed: int | None, num_classes: int) -> None:
    for batch in islice(images.stream(2, seed=seed), 20):
        if len(batch.images) != len(batch.labels):
            raise Wrong(f"{len(batch.images)} images and {len(batch.labels)} labels")


def _images(draw: random.Random, folder: Path) -> None:
    """Folders of odd images, read as a data set and as inputs."""
    suffixes = ("png", "jpg", "webp", "bmp", "JPEG")
    for split in ("train", "val"):
        for label in ("a", "b"):
            (folder / split / label).mkdir(parents=True)
            for number in range(draw.choice((0, 1, 3))):
                name = os.fsdecode(draw.choice((b"", b"\xff", b"\n", b" "))) + f"{number}.{draw.choice(suffixes)}"
                path = folder / split / label / name
                kind = draw.randrange(9)
                if kind == 0:
                    os.mkfifo(path)
                elif kind == 1:
                    path.symlink_to(draw.choice(("/dev/zero", path.name, "nowhere")))
                elif kind == 2:
                    path.mkdir()
                else:
                    path.write_bytes(_picture(draw))

    def train() -> None:
        data = open_data(str(folder), image_size=8, held_out=0.0)
        for seed in (None, 1):
            data.train[Request(list(range(len(data.train))), seed)]

    _each(train, lambda: list(image_folder(folder)))
