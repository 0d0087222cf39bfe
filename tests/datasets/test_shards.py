import io
import itertools
import json
import tarfile

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from lrexplore.datasets import open_data

pytest.importorskip("webdataset", reason="needs the extra `webdataset`")


def write_shard(path, labels, broken=()):
    with tarfile.open(path, "w") as archive:
        for number, label in enumerate(labels):
            picture = io.BytesIO()
            Image.fromarray(np.full((20, 20, 3), label * 10, np.uint8)).save(picture, "png")
            content = b"garbage" if number in broken else picture.getvalue()
            for suffix, data in (("png", content), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{label:04d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def folder(tmp_path):
    for shard in range(4):
        write_shard(tmp_path / f"train-{shard}.tar", range(shard * 5, shard * 5 + 5))
    write_shard(tmp_path / "val.tar", range(3), broken=[1])
    manifest = {
        "num_classes": 20,
        "train": {"shards": "train-{0..2}.tar", "images": 15},
        "held_out": {"shards": "train-3.tar", "images": 5},
        "test": {"shards": ["val.tar"], "images": 3},
    }
    (tmp_path / "shards.json").write_text(json.dumps(manifest))
    return tmp_path


def labels_of(batches):
    return [label for batch in batches for label in batch.labels.tolist()]


def test_a_manifest_gives_three_splits(folder):
    data = open_data(str(folder), image_size=16)
    assert (len(data.train), len(data.held_out), len(data.test)) == (15, 5, 3)
    assert labels_of(data.held_out.stream(2, seed=None)) == [15, 16, 17, 18, 19]


def test_a_manifest_at_an_address_is_read_like_one_on_a_disk(folder):
    data = open_data(f"file://{folder}/shards.json", image_size=16)
    assert labels_of(data.held_out.stream(2, seed=None)) == [15, 16, 17, 18, 19]


def test_training_goes_over_all_shards_in_an_order_that_the_seed_decides(folder):
    train = open_data(str(folder), image_size=16).train
    first, again, other = (labels_of(itertools.islice(train.stream(5, seed=s), 6)) for s in (1, 1, 2))
    assert sorted(first) == sorted([*range(15), *range(15)])
    assert first == again != other


def test_processes_and_workers_share_the_shards(folder):
    train = open_data(str(folder), image_size=16).train
    shares = [labels_of(train.stream(5, seed=None, process_index=i, num_processes=2)) for i in range(2)]
    assert sorted(shares[0] + shares[1]) == list(range(15))
    loader = DataLoader(train.stream(5, seed=None), batch_size=None, num_workers=2)
    assert sorted(labels_of(loader)) == list(range(15))


def test_an_image_that_cannot_be_decoded_is_left_out_and_named(folder):
    batch = next(iter(open_data(str(folder), image_size=16).test.stream(8, seed=None)))
    assert batch.labels.tolist() == [0, 2]
    assert len(batch.corrupt) == 1 and batch.corrupt[0].endswith("val.tar:0001")


def test_a_manifest_that_lacks_a_split_is_refused_with_the_way_out(folder):
    (folder / "shards.json").write_text('{"num_classes": 3}')
    with pytest.raises(ValueError, match="must give `num_classes`.*KeyError: 'train'"):
        open_data(str(folder))
