"""The packed store: every image of a collection as raw pixels of one size, memory-mapped."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..settings import from_json
from .config import LARGEST
from .sources import UNKNOWN

FORMAT = "img2imu-images"
VERSION = 1
IMAGES, LABELS, MANIFEST = "images.bin", "labels.npy", "manifest.json"
CHUNK = 1 << 24


@dataclass(frozen=True, eq=False)
class ImageStore:
    """A folder made by :func:`pack`, opened for reading.

    Attributes
    ----------
    images
        uint8 (n, height, width, 3), RGB, read-only and memory-mapped.
    labels
        int32 (n,), index into `classes`; -1 where unknown.
    classes
        Name of each class.
    manifest
        What the store says of itself: sizes, SHA-256 of each block of images and of the labels,
        the source, the files that were skipped and why.
    """

    images: np.memmap[Any, np.dtype[np.uint8]]
    labels: NDArray[np.int32]
    classes: list[str]
    manifest: dict[str, Any]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def width(self) -> int:
        """Of every image, in pixels."""
        return int(self.images.shape[2])

    @property
    def height(self) -> int:
        """Of every image, in pixels."""
        return int(self.images.shape[1])

    @classmethod
    def open(cls, path: str | Path, verify: bool = False) -> ImageStore:
        """Open a store.

        Parameters
        ----------
        path
            Its folder.
        verify
            Read all pixels and compare them with the manifest's hashes. Sizes and labels are
            checked in any case.

        Raises
        ------
        InputError
            If it is no store, of another version, incomplete, or differs from its hashes.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        shape = (manifest["count"], manifest["height"], manifest["width"], 3)
        blocks = [(block["images"], block["sha256"]) for block in manifest["blocks"]]
        size = math.prod(shape)
        found = (path / IMAGES).stat().st_size if (path / IMAGES).is_file() else 0
        if found != size:
            raise InputError(
                f"{path / IMAGES} has {found} bytes where the manifest says {size}: "
                "pack the store again"
            )
        labels = _read_labels(path / LABELS, manifest)
        if verify:
            good = whole_blocks(path / IMAGES, blocks, size // shape[0])
            if good < len(blocks):
                raise InputError(
                    f"block {good} of {path / IMAGES} differs from its hash: pack the store again"
                )
        images = np.memmap(path / IMAGES, dtype=np.uint8, mode="r", shape=shape)
        return cls(images, labels, manifest["classes"], manifest)


def whole_blocks(
    path: Path,
    blocks: list[tuple[int, str]],
    image_bytes: int,
    advance: Callable[[int], Any] | None = None,
) -> int:
    """How many blocks, from the first on, are as their hashes say.

    Parameters
    ----------
    path
        File of the pixels.
    blocks
        Number of images and SHA-256 in hex of each.
    image_bytes
        Size of one image.
    advance
        Called with the number of images of each block that is.
    """
    with path.open("rb") as stream:
        for index, (images, expected) in enumerate(blocks):
            digest, left = hashlib.sha256(), images * image_bytes
            while left and (part := stream.read(min(left, CHUNK))):
                digest.update(part)
                left -= len(part)
            if left or digest.hexdigest() != expected:
                return index
            if advance:
                advance(images)
    return len(blocks)


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise InputError(f"there is no packed store at {path}: make one with img2imu pack")
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} has no {MANIFEST}: it is not a packed store") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path / MANIFEST} is damaged: pack the store again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path / MANIFEST} is not the manifest of a packed store")
    if manifest.get("version") != VERSION:
        raise InputError(
            f"{path} is a store of version {manifest.get('version')}, where this toolkit reads "
            f"version {VERSION}: pack it again"
        )
    read = from_json(_Manifest, manifest, str(path / MANIFEST))
    sizes = read.count > 0 and 0 < read.width <= LARGEST and 0 < read.height <= LARGEST
    if not sizes or sum(block.images for block in read.blocks) != read.count:
        raise InputError(f"{path / MANIFEST} is damaged: pack the store again")
    return manifest


@dataclass(frozen=True)
class _Block:
    images: int
    sha256: str


@dataclass(frozen=True)
class _Source:
    name: str
    files: int
    sha256: str


@dataclass(frozen=True)
class _Skipped:
    index: int
    name: str
    reason: str


@dataclass(frozen=True)
class _Manifest:
    """What a manifest must hold."""

    format: str
    version: int
    toolkit: str
    width: int
    height: int
    block: int
    source: _Source
    count: int
    classes: list[str]
    labels_sha256: str
    blocks: list[_Block]
    skipped: list[_Skipped]


def _read_labels(path: Path, manifest: dict[str, Any]) -> NDArray[np.int32]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: pack the store again") from None
    if hashlib.sha256(data).hexdigest() != manifest["labels_sha256"]:
        raise InputError(f"{path} differs from its hash: pack the store again")
    count, classes = manifest["count"], len(manifest["classes"])
    try:
        labels = np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    except (ValueError, EOFError, MemoryError):
        raise InputError(f"{path} is damaged: pack the store again") from None
    if labels.shape != (count,) or labels.dtype != np.int32:
        raise InputError(f"{path} does not hold one int32 for each of {count} images")
    if labels.min() < UNKNOWN or labels.max() >= classes:
        raise InputError(f"{path} has labels beyond the {classes} classes of the store")
    return labels
