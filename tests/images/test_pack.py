"""Packing: what a store holds, and that no accident changes a byte of it."""

from __future__ import annotations

import errno
import hashlib
import json
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.images import packing
from img2imu.images.config import PackConfig
from img2imu.images.packing import pack
from img2imu.images.partial import JOURNAL, PartialStore
from img2imu.images.store import ImageStore
from tests.images.samples import (
    COLORS,
    HEIGHT,
    WIDTH,
    collection,
    encoded,
    folder,
    reference,
    scene,
    shard,
    tar_of_tars,
)

CONFIG = PackConfig(WIDTH, HEIGHT, workers=2)
IMAGE = WIDTH * HEIGHT * 3


def bytes_of(store):
    return {path.name: path.read_bytes() for path in store.iterdir()}


@pytest.fixture
def root(tmp_path):
    """Twelve images of three classes, one of them cut off and one no image."""
    files = collection()
    files["birch/1.jpg"] = files["birch/1.jpg"][:500]
    files["cedar/3.jpg"] = b"<html>404</html>"
    return folder(tmp_path / "root", files)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(packing, "BLOCK", 4)


@pytest.mark.usefixtures("small_blocks")
def test_a_store_holds_what_its_manifest_says(root, tmp_path):
    report = pack(root, tmp_path / "store", CONFIG)
    store = ImageStore.open(tmp_path / "store", verify=True)
    assert sorted(bytes_of(tmp_path / "store")) == ["images.bin", "labels.npy", "manifest.json"]
    assert (len(store), store.width, store.height) == (10, WIDTH, HEIGHT)
    assert store.images.dtype == np.uint8
    assert not store.images.flags.writeable
    assert store.classes == list(COLORS)
    assert store.labels.tolist() == [0] * 4 + [1] * 3 + [2] * 3
    assert store.labels.dtype == np.int32
    names = [name for name in collection() if name not in ("birch/1.jpg", "cedar/3.jpg")]
    for name, image in zip(names, store.images, strict=True):
        expected = reference((root / name).read_bytes())
        assert np.abs(image.astype(float) - expected).mean() < 2
    skipped = [(one["index"], one["name"]) for one in store.manifest["skipped"]]
    assert skipped == [(5, "birch/1.jpg"), (11, "cedar/3.jpg")]
    assert (report.count, report.packed, report.size) == (10, 12, 10 * IMAGE)

    data, at = (tmp_path / "store" / "images.bin").read_bytes(), 0
    for block, images in zip(store.manifest["blocks"], (4, 3, 3), strict=True):
        part = data[at : at + images * IMAGE]
        at += len(part)
        assert block == {"images": images, "sha256": hashlib.sha256(part).hexdigest()}
    assert at == len(data)


def test_real_shard_beside_pillow(shared_data, tmp_path):
    shards = shared_data / "tiny_imagenet"
    if not shards.is_dir():
        pytest.skip(f"no tiny_imagenet in {shared_data}")
    index = dict(np.load(shards / "train_00.npz"))
    (tmp_path / "part").mkdir()
    np.savez(tmp_path / "part" / "train.npz", **{k: v[:500] for k, v in index.items()})
    end = int(index["offsets"][500])
    with (shards / "train_00.bin").open("rb") as stream:
        data = stream.read(end)
    (tmp_path / "part" / "train.bin").write_bytes(data)
    (tmp_path / "part" / "classes.json").write_bytes((shards / "classes.json").read_bytes())
    pack(tmp_path / "part", tmp_path / "store", PackConfig(64, 48))
    store = ImageStore.open(tmp_path / "store")
    np.testing.assert_array_equal(store.labels, index["labels"][:500])
    assert store.classes == json.loads((shards / "classes.json").read_text())["classes"]
    for i in range(500):
        start = index["offsets"][i]
        expected = reference(data[start : start + index["lengths"][i]], 64, 48)
        assert np.abs(store.images[i].astype(int) - expected).max() <= 1


@pytest.mark.usefixtures("small_blocks")
def test_workers_and_container_do_not_matter(root, tmp_path):
    stores = []
    for workers in (1, 3):
        store = tmp_path / f"store{workers}"
        pack(root, store, PackConfig(WIDTH, HEIGHT, workers))
        stores.append(bytes_of(store))
    assert stores[0] == stores[1]
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.jpg")}
    pack(tar_of_tars(tmp_path / "all.tar", files), tmp_path / "tarred", CONFIG)
    assert bytes_of(tmp_path / "tarred")["images.bin"] == stores[0]["images.bin"]
    assert bytes_of(tmp_path / "tarred")["labels.npy"] == stores[0]["labels.npy"]


class InterruptedRunError(Exception):
    pass


def interrupting(after):
    """A progress bar that gives up."""

    class Bar:
        def __init__(self):
            self.count = 0

        def update(self, count=1):
            self.count += count
            if self.count >= after:
                raise InterruptedRunError

        def close(self):
            pass

    return lambda description, total: Bar()


@pytest.mark.usefixtures("small_blocks")
def test_resumes_after_the_last_complete_block(root, tmp_path):
    pack(root, tmp_path / "whole", CONFIG)
    with pytest.raises(InterruptedRunError):
        pack(root, tmp_path / "store", CONFIG, interrupting(8))
    assert not (tmp_path / "store").exists()
    partial = tmp_path / "store.partial"
    # What a kill in the middle of writing leaves: pixels without a line, a line without an end.
    with (partial / "images.bin").open("ab") as pixels:
        pixels.write(b"torn")
    with (partial / JOURNAL).open("a") as journal:
        journal.write('{"images": 3, "sha')
    report = pack(root, tmp_path / "store", CONFIG)
    assert report.packed == 4
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")
    assert not partial.exists()


@pytest.mark.usefixtures("small_blocks")
def test_damaged_blocks_are_packed_again(root, tmp_path):
    pack(root, tmp_path / "whole", CONFIG)
    with pytest.raises(InterruptedRunError):
        pack(root, tmp_path / "store", CONFIG, interrupting(8))
    with (tmp_path / "store.partial" / "images.bin").open("r+b") as pixels:
        pixels.seek(5 * IMAGE)
        pixels.write(b"\0\1\2\3")
    assert pack(root, tmp_path / "store", CONFIG).packed == 8
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "line", ['{"images": "4"}', "[4]", '{"images": -4, "sha256": "", "skipped": []}']
)
def test_a_journal_that_was_changed_is_read_as_far_as_it_is_sound(root, tmp_path, line):
    pack(root, tmp_path / "whole", CONFIG)
    with pytest.raises(InterruptedRunError):
        pack(root, tmp_path / "store", CONFIG, interrupting(8))
    journal = tmp_path / "store.partial" / JOURNAL
    header, first, *_ = journal.read_text().splitlines()
    journal.write_text("\n".join([header, first, line]) + "\n")
    assert pack(root, tmp_path / "store", CONFIG).packed == 8
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")


def test_survives_sigkill(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "BLOCK", 512)
    files = [encoded(scene(i, 40, 30)) for i in range(20)]
    files[3] = files[3][:200]
    count = 5_000
    root = shard(tmp_path / "shards", [files[i % 20] for i in range(count)], [0] * count, ["all"])
    program = (
        "import sys; from img2imu.images import packing, PackConfig; packing.BLOCK = 512;"
        "packing.pack(sys.argv[1], sys.argv[2], PackConfig(16, 12, workers=2))"
    )
    command = [sys.executable, "-c", program, str(root), str(tmp_path / "store")]
    journal = tmp_path / "store.partial" / JOURNAL
    process = subprocess.Popen(command)
    while process.poll() is None and not (
        journal.exists() and journal.read_bytes().count(b"\n") > 1
    ):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    complete = journal.read_bytes().count(b"\n") - 1
    assert complete >= 1

    report = pack(root, tmp_path / "store", PackConfig(16, 12, workers=1))
    assert report.packed == count - complete * packing.BLOCK
    pack(root, tmp_path / "whole", PackConfig(16, 12, workers=2))
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")
    assert len(report.skipped) == count // 20
    ImageStore.open(tmp_path / "store", verify=True)


def test_a_finished_store_is_left_as_it_is(root, tmp_path):
    pack(root, tmp_path / "store", CONFIG)
    before = bytes_of(tmp_path / "store")
    report = pack(root, tmp_path / "store", CONFIG)
    assert (report.packed, report.count) == (0, 10)
    assert bytes_of(tmp_path / "store") == before
    with pytest.raises(InputError, match="another source, size"):
        pack(root, tmp_path / "store", PackConfig(WIDTH, HEIGHT + 1))
    with pytest.raises(InputError, match="no store that could be kept"):
        pack(root, root, CONFIG)


@pytest.mark.usefixtures("small_blocks")
def test_another_size_does_not_resume(root, tmp_path):
    with pytest.raises(InterruptedRunError):
        pack(root, tmp_path / "store", CONFIG, interrupting(8))
    before = bytes_of(tmp_path / "store.partial")
    with pytest.raises(InputError, match="begun with another source"):
        pack(root, tmp_path / "store", PackConfig(16, 12))
    assert bytes_of(tmp_path / "store.partial") == before


def test_two_processes_do_not_share_a_folder(root, tmp_path):
    with (
        PartialStore(tmp_path / "store", {}, IMAGE),
        pytest.raises(InputError, match="another process"),
    ):
        pack(root, tmp_path / "store", CONFIG)


@pytest.mark.usefixtures("small_blocks")
def test_full_disk(root, tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(packing.shutil, "disk_usage", Disk)
        with pytest.raises(InputError, match=r"needs 0\.00 GB more, .* 0\.00 GB free"):
            pack(root, tmp_path / "store", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]

    append = PartialStore.append

    def full(self, pixels, skipped):
        if self.blocks == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, pixels, skipped)

    with monkeypatch.context() as context:
        context.setattr(PartialStore, "append", full)
        with pytest.raises(InputError, match=r"disk is full: .* repeat the same command"):
            pack(root, tmp_path / "store", CONFIG)
    assert pack(root, tmp_path / "store", CONFIG).packed == 8
    ImageStore.open(tmp_path / "store", verify=True)


class Disk:
    free = 1000

    def __init__(self, path):
        pass


def test_nothing_is_left_where_nothing_could_be_decoded(tmp_path):
    root = folder(tmp_path / "root", {"a/1.jpg": b"x", "a/2.jpg": b"y"})
    with pytest.raises(InputError, match=r"none of the 2 images .* a/1\.jpg: not an image"):
        pack(root, tmp_path / "store", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_damaged_member_of_a_zip_is_skipped(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in collection().items():
            archive.writestr(name, content)
    data = bytearray(path.read_bytes())
    data[500] ^= 0xFF
    path.write_bytes(data)
    report = pack(path, tmp_path / "store", CONFIG)
    assert [one["name"] for one in report.skipped] == ["ash/0.jpg"]
    assert "zip" in report.skipped[0]["reason"]


@pytest.mark.parametrize("size", [(0, 96), (128, -1), (5000, 96)])
def test_unfit_sizes_are_refused(size):
    with pytest.raises(InputError, match="pixels"):
        PackConfig(*size)


def test_unfit_workers_are_refused():
    with pytest.raises(InputError, match="workers"):
        PackConfig(workers=0)


def test_store_in_a_missing_folder_is_refused(root, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        pack(root, tmp_path / "no" / "store", CONFIG)
