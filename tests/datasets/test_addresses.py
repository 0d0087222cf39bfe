"""Where shards are looked for, and what is never run for it."""

import io
import json
import os
import shutil
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from PIL import Image

from lrexplore.datasets import FolderImages, Request, open_data
from lrexplore.datasets.addresses import beside, written_out
from lrexplore.datasets.photographs import image_folder

pytest.importorskip("webdataset", reason="needs the extra `webdataset`")


def write_shard(path, count=3, key="{}"):
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(count):
            picture = io.BytesIO()
            Image.new("RGB", (8, 8)).save(picture, "png")
            for suffix, data in (("png", picture.getvalue()), ("cls", str(number).encode())):
                member = tarfile.TarInfo(f"{key.format(number)}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def write_manifest(folder, shards="t.tar", num_classes=3, images=3, **splits):
    part = {"shards": shards, "images": images}
    content = {"num_classes": num_classes, "train": part, "held_out": part, "test": part, **splits}
    (folder / "shards.json").write_text(json.dumps(content))
    return folder


def count(data, seed=None):
    return sum(len(batch.labels) for batch in data.train.stream(2, seed=seed))


def test_the_folder_one_stands_in_holds_its_shards(tmp_path, monkeypatch):
    write_shard(write_manifest(tmp_path) / "t.tar")
    monkeypatch.chdir(tmp_path)
    assert count(open_data(".", image_size=8)) == count(open_data("", image_size=8)) == 3


def test_a_folder_that_is_called_like_a_command_is_read_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("pipe:touch ran;")
    folder.mkdir()
    write_shard(write_manifest(folder) / "t.tar")
    assert count(open_data(str(folder), image_size=8)) == 3
    assert not (tmp_path / "ran").exists() and not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize("name", ["pipe:touch ran", "pipe:touch ran; cat t.tar", "x; touch ran", "$(touch ran)"])
@pytest.mark.parametrize("typed", ["folder", "pipe:cat {}/shards.json", "file://{}/shards.json"])
def test_a_manifest_smuggles_no_command(tmp_path, monkeypatch, name, typed):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    write_shard(write_manifest(folder, name) / "t.tar")
    with pytest.raises(ValueError):
        count(open_data(str(folder) if typed == "folder" else typed.format(folder), image_size=8))
    assert not list(tmp_path.rglob("ran"))


def test_a_command_that_a_person_types_gives_manifest_and_shards(tmp_path):
    write_shard(write_manifest(tmp_path) / "t.tar")
    assert count(open_data(f"pipe:cat {tmp_path}/shards.json", image_size=8)) == 3
    with pytest.raises(FileNotFoundError, match="`data` must be the address .* ended with status 1"):
        open_data(f"pipe:cat {tmp_path}/none.json 2>/dev/null")


@pytest.mark.skipif(shutil.which("curl") is None, reason="webdataset reads addresses with curl")
def test_shards_at_an_address_are_read_and_no_name_there_becomes_a_command(tmp_path):
    write_shard(write_manifest(tmp_path) / "t.tar")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/shards.json"
    try:
        assert count(open_data(address, image_size=8)) == 3
        from webdataset import utils

        assert utils.enforce_security
        write_manifest(tmp_path, "-o x.tar")
        with pytest.raises(ValueError, match="`shards` must be names of files beside http"):
            open_data(address)
    finally:
        server.shutdown()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *given):
        return None


def test_patterns_are_written_out_as_a_shell_does():
    assert written_out("t-{08..11}.tar") == ["t-08.tar", "t-09.tar", "t-10.tar", "t-11.tar"]
    assert written_out("{a,b}-{2..1}") == ["a-2", "a-1", "b-2", "b-1"]
    assert written_out("plain.tar") == ["plain.tar"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("t-{0..99999999}.tar", "at most 100,000"), ("{0..999}{0..999}", "at most 100,000"),
     ("{a,{b,c}}", "no braces in braces"), ("{" * 5000, "no braces in braces"), ("{0..9", "none that stay open"),
     ("${NOWHERE}/t.tar", "`WDS_NOWHERE` must be set")],
)  # fmt: skip
def test_patterns_without_an_end_and_variables_without_a_value_are_refused(tmp_path, pattern, words):
    with pytest.raises(ValueError, match=words):
        open_data(str(write_manifest(tmp_path, pattern)))


def test_a_variable_is_put_in(monkeypatch):
    monkeypatch.setenv("WDS_PART", "train")
    assert beside("/d/shards.json", "${PART}.tar::b.tar") == ["/d/train.tar", "/d/b.tar"]


@pytest.mark.parametrize("number", [0, -1, 10**11, 2.5, True, "3", None])
def test_numbers_of_classes_that_make_no_sense_are_refused(tmp_path, number):
    with pytest.raises(ValueError, match="`num_classes` must be a whole number in 1..1,000,000"):
        open_data(str(write_manifest(tmp_path, num_classes=number)))


@pytest.mark.parametrize("make", ["truncated", "garbage", "missing", "pipe"])
def test_a_shard_that_is_not_whole_is_named_in_a_sentence(tmp_path, make):
    shard = write_manifest(tmp_path) / "t.tar"
    write_shard(shard)
    content = shard.read_bytes()
    shard.unlink()
    if make == "pipe":
        os.mkfifo(shard)
    elif make != "missing":
        shard.write_bytes(content[:700] if make == "truncated" else b"no tar" * 500)
    with pytest.raises(
        ValueError, match=r"`data` must have shards that are whole, got .*t.tar \(.+\)\. Write it again"
    ):
        count(open_data(str(tmp_path), image_size=8))


def test_shards_without_samples_end_a_training_instead_of_spinning(tmp_path):
    write_shard(write_manifest(tmp_path) / "t.tar", count=0)
    with pytest.raises(ValueError, match="`data` must have samples in its shards, got none in"):
        next(iter(open_data(str(tmp_path), image_size=8).train.stream(2, seed=1)))


def test_a_broken_image_whose_name_is_not_utf8_is_named_and_left_out(tmp_path):
    with tarfile.open(write_manifest(tmp_path) / "t.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for suffix, data in (("png", b"no image"), ("cls", b"0")):
            member = tarfile.TarInfo(os.fsdecode(b"a\xff." + suffix.encode()))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    for seed in (None, 1):
        batch = next(iter(open_data(str(tmp_path), image_size=8).train.stream(1, seed=seed)))
        assert batch.corrupt[0].endswith(":a\\xff") and not len(batch.labels)


def test_a_pipe_a_bomb_and_a_name_that_is_not_utf8_are_broken_images(tmp_path, monkeypatch):
    folder = tmp_path / "train" / "a"
    folder.mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "0.png")
    Image.new("RGB", (200, 200)).save(folder / "1.png")
    os.mkfifo(folder / "2.png")
    (folder / os.fsdecode(b"3\xff.png")).write_bytes(b"no image")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    batch = FolderImages(tmp_path / "train", 8)[Request([0, 1, 2, 3])]
    assert len(batch.labels) == 1
    assert [Path(name).name for name in batch.corrupt] == ["1.png", "2.png", "3\\xff.png"]
    with pytest.warns(UserWarning, match="`.*1.png` is left out: it is no image .*decompression bomb"):
        assert len(list(image_folder(tmp_path))) == 1
    (folder / "0.png").unlink()
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match="`.*1.png` must be an image, but: .*decompression bomb"),
    ):
        list(image_folder(tmp_path))
    assert torch.equal(batch.labels, torch.tensor([0]))
