"""Opening a store: everything that could be wrong with it is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.images.config import PackConfig
from img2imu.images.packing import pack
from img2imu.images.store import ImageStore
from tests.images.samples import HEIGHT, WIDTH, collection, folder


@pytest.fixture
def path(tmp_path):
    root = folder(tmp_path / "root", collection())
    pack(root, tmp_path / "store", PackConfig(WIDTH, HEIGHT))
    return tmp_path / "store"


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


@pytest.mark.parametrize("entries", [{"count": "x"}, {"blocks": 3}, {"classes": None}])
def test_damaged_manifest(path, entries):
    change(path, **entries)
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        ImageStore.open(path)


def test_no_store(tmp_path):
    with pytest.raises(InputError, match="no packed store"):
        ImageStore.open(tmp_path / "nothing")
