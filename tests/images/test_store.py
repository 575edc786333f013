"""Opening a store: everything that could be wrong with it is told."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.files import sha256_of
from img2imu.images.config import PackConfig
from img2imu.images.packing import pack
from img2imu.images.store import ImageStore
from tests.images.samples import HEIGHT, WIDTH, collection, folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    place = tmp_path_factory.mktemp("packed")
    pack(folder(place / "root", collection()), place / "store", PackConfig(WIDTH, HEIGHT))
    return place / "store"


@pytest.fixture
def path(packed, tmp_path):
    """A copy of a store that may be damaged."""
    return shutil.copytree(packed, tmp_path / "store")


def change(path, **entries):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | entries))


def test_another_version(path):
    change(path, version=2)
    with pytest.raises(InputError, match=r"version 2, where this toolkit reads version 1"):
        ImageStore.open(path)


def test_wrong_pixels_are_found_when_asked_for(path):
    with (path / "images.bin").open("r+b") as stream:
        stream.seek(7)
        before = stream.read(1)
        stream.seek(7)
        stream.write(bytes([before[0] ^ 1]))
    ImageStore.open(path)
    with pytest.raises(InputError, match=r"block 0 .* differs from its hash"):
        ImageStore.open(path, verify=True)


def test_wrong_labels(path):
    np.save(path / "labels.npy", np.zeros(12, np.int32))
    with pytest.raises(InputError, match=r"labels\.npy differs from its hash"):
        ImageStore.open(path)


@pytest.mark.parametrize("size", [0, 100])
def test_wrong_size(path, size):
    with (path / "images.bin").open("r+b") as stream:
        stream.truncate(size)
    with pytest.raises(InputError, match=f"has {size} bytes where the manifest says"):
        ImageStore.open(path)


@pytest.mark.parametrize("name", ["images.bin", "labels.npy", "manifest.json"])
def test_missing_file(path, name):
    (path / name).unlink()
    with pytest.raises(InputError, match=name):
        ImageStore.open(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other"}', '{"version": 1}'])
def test_no_manifest(path, text):
    (path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="manifest"):
        ImageStore.open(path)


@pytest.mark.parametrize(
    "entries",
    [
        *({"count": "x"}, {"count": 10**30}, {"count": -12}, {"width": 10**9}, {"height": 0}),
        *({"blocks": 3}, {"blocks": []}, {"blocks": [{"images": "12", "sha256": ""}]}),
        *({"classes": None}, {"classes": 3}, {"classes": [1, 2, 3]}),
        *({"source": None}, {"skipped": [{"index": 0}]}, {"labels_sha256": 7}, {"more": 1}),
    ],
    ids=str,
)
def test_damaged_manifest(path, entries):
    change(path, **entries)
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        ImageStore.open(path)


@pytest.mark.parametrize(
    "labels", [np.full(12, 3, np.int32), np.full(12, -2, np.int32), np.array([object()] * 12)]
)
def test_labels_that_cannot_be_although_their_hash_agrees(path, labels):
    np.save(path / "labels.npy", labels)
    change(path, labels_sha256=sha256_of(path / "labels.npy"))
    with pytest.raises(InputError, match=r"labels\.npy (has labels beyond|is damaged)"):
        ImageStore.open(path)


def test_no_store(tmp_path):
    with pytest.raises(InputError, match="no packed store"):
        ImageStore.open(tmp_path / "nothing")
