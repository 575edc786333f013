"""What a source of images is, and how the names of files become labels."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .decode import DecodeError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Those that torchvision's ``ImageFolder`` takes."""

UNKNOWN = -1

LARGEST_FILE = 1 << 28
"""Bytes of an image file; what is longer is none, or would be one to run out of memory with."""

LARGEST_CLASSES = 1_000_000
"""Labels may count so far; a larger number is a mistake, and names for all below it fill memory."""


class Collection(ABC):
    """Images with names and labels, in the order of the store.

    Attributes
    ----------
    name
        Of the file or folder.
    names
        Of each image, within the source.
    sizes
        int64 (n,): bytes of each image, or of the file that holds it where that is unknown.
    labels
        int32 (n,), index into `classes`, or -1.
    classes
        Name of each class.
    """

    name: str
    names: Sequence[str]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int32]
    classes: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded image; safe to call from several threads.

        Raises
        ------
        DecodeError
            If the source holds it, but damaged.
        """

    def fingerprint(self) -> str:
        """SHA-256 over names, sizes, labels and classes: another source has another."""
        digest = hashlib.sha256("\0".join((*self.names, *self.classes)).encode())
        digest.update(self.sizes.astype("<i8").tobytes() + self.labels.astype("<i4").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Span:
    """An image as so many bytes of a file."""

    name: str
    file: Path
    offset: int
    size: int


class Spans(Collection):
    """Images that lie in files as they are: those of folders and of tar files."""

    def __init__(
        self, name: str, spans: list[Span], labels: NDArray[np.int32], classes: list[str]
    ) -> None:
        self.name, self.labels = name, labels
        self.classes = [_printable(name) for name in classes]
        self.names = [_printable(span.name) for span in spans]
        self.sizes = np.array([span.size for span in spans], dtype=np.int64)
        self._spans = spans

    @classmethod
    def below(cls, path: Path, spans: list[Span], strip: bool = False) -> Spans:
        """Those of one folder or archive, labelled by their names."""
        order, labels, classes = label_by_name([span.name for span in spans], strip)
        return cls(path.name, [spans[i] for i in order], labels, classes)

    def read(self, index: int) -> bytes:
        span = self._spans[index]
        require_bearable(span.size)
        with span.file.open("rb", buffering=0) as stream:
            stream.seek(span.offset)
            data = stream.read(span.size)
        if len(data) != span.size:
            raise InputError(f"{span.file} was changed while it was packed")
        return data


def label_by_name(
    names: Sequence[str], strip: bool
) -> tuple[list[int], NDArray[np.int32], list[str]]:
    """Order and label files as ``ImageFolder`` does: the first folder of a path is its class.

    Parameters
    ----------
    names
        Paths with slashes.
    strip
        Leave out folders that all have in common and that are not their class.

    Returns
    -------
    order : list of int
        Which names are taken, sorted by class, then folder, then file.
    labels : ndarray
        int32, of these.
    classes : list of str
        Sorted.
    """
    folders = [PurePosixPath(name).parent.parts for name in names]
    start = 0
    while (
        strip
        and folders
        and all(
            len(folder) > start + 1 and folder[start] == folders[0][start] for folder in folders
        )
    ):
        start += 1
    chosen: Sequence[int] = range(len(names))
    if training := [i for i in chosen if folders[i][start : start + 1] == ("train",)]:
        chosen, start = training, start + 1
    order = sorted(chosen, key=lambda i: (folders[i], names[i]))
    found = [folders[i][start] if len(folders[i]) > start else None for i in order]
    classes = sorted({name for name in found if name is not None})
    index: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    labels = np.array([index.get(name, UNKNOWN) for name in found], dtype=np.int32)
    return order, labels, classes


def require_bearable(size: int) -> None:
    """Raise :class:`DecodeError` if so many bytes are more than an image may have."""
    if size > LARGEST_FILE:
        raise DecodeError(f"{size} bytes are more than the {LARGEST_FILE} of the largest image")


def is_image(name: str) -> bool:
    """Whether a path is that of an image; hidden files are those that macOS leaves behind."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _printable(name: str) -> str:
    """A file's name as valid Unicode, which Linux does not demand of names."""
    return name.encode(errors="replace").decode()
