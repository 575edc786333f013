"""Images in folders, tar files and zip files, read in place.

Nothing is unpacked, so no path inside an archive ever reaches the disk.
"""

from __future__ import annotations

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import InputError
from .decode import DecodeError
from .sources import Collection, Span, Spans, is_image, label_by_name, require_bearable

UNZIPPING = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError),
    *(ValueError, OverflowError, RuntimeError),
)
"""What reading a damaged zip file leads to; a disk's own errors are not among them."""


def open_folder(path: Path) -> Spans:
    """Images below a folder, and in the tar files below it, which count as folders."""
    spans: list[Span] = []
    for folder, _, files in os.walk(path, onerror=_raise):
        for file in (Path(folder, name) for name in files):
            name = file.relative_to(path).as_posix()
            if is_image(name) and file.is_file():
                spans.append(Span(name, file, 0, file.stat().st_size))
            elif file.suffix == ".tar":
                spans += _tar_spans(file, prefix=f"{name.removesuffix('.tar')}/")
    return Spans.below(path, spans)


def open_tar(path: Path) -> Spans:
    """Images of a tar file, and of the tar files in it, which count as folders."""
    return Spans.below(path, list(_tar_spans(path)), strip=True)


def _raise(error: OSError) -> None:
    raise error


def _tar_spans(path: Path, prefix: str = "") -> Iterator[Span]:
    with path.open("rb") as stream:
        try:
            for member in _members(stream, 0, path.stat().st_size):
                name = prefix + member.name.removeprefix("./")
                start, end = member.offset_data, member.offset_data + member.size
                if is_image(name):
                    yield Span(name, path, start, member.size)
                elif name.endswith(".tar"):
                    for inner in _members(stream, start, end):
                        if is_image(inner.name):
                            inside = f"{name.removesuffix('.tar')}/{inner.name.removeprefix('./')}"
                            yield Span(inside, path, inner.offset_data, inner.size)
        except tarfile.TarError as error:
            raise InputError(_no_tar(path, error)) from None


def _members(stream: IO[bytes], start: int, end: int) -> Iterator[tarfile.TarInfo]:
    """Plain files of the tar that lies at `start` of a stream."""
    stream.seek(start)
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        while (member := archive.next()) and member.offset < end:
            archive.members.clear()  # type: ignore[attr-defined]  # or each image takes 1 kB
            if member.offset_data + member.size > end:
                raise tarfile.ReadError("unexpected end of data")
            if member.isreg() and not member.issparse():
                yield member
        if 0 < end - archive.offset < tarfile.BLOCKSIZE:  # which tarfile takes for the end
            raise tarfile.ReadError("unexpected end of data")


def _no_tar(path: Path, error: tarfile.TarError) -> str:
    with path.open("rb") as stream:
        start = stream.read(6)
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return f"{path} is compressed as a whole: unpack it, and pack the folder or the plain tar"
    return f"{path} is truncated or damaged, or no source of images ({error})"


class ZipImages(Collection):
    """Images of a zip file, labelled by their names."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except UNZIPPING as error:
            raise InputError(f"{path} is truncated or damaged ({error})") from None
        infos = [info for info in self._archive.infolist() if is_image(info.filename)]
        if any(info.header_offset < 0 for info in infos):
            raise InputError(f"{path} is truncated or damaged (a file begins before it)")
        if any(info.flag_bits & 1 for info in infos):
            raise InputError(f"{path} is encrypted: unpack it yourself and give the folder")
        names = [info.filename for info in infos]
        order, self.labels, self.classes = label_by_name(names, strip=True)
        self._infos = [infos[i] for i in order]
        self.name = path.name
        self.names = [info.filename for info in self._infos]
        self.sizes = np.array([info.file_size for info in self._infos], dtype=np.int64)

    def read(self, index: int) -> bytes:
        # A member is read no further than it says it goes.
        require_bearable(self._infos[index].file_size)
        try:
            return self._archive.read(self._infos[index])
        except UNZIPPING as error:
            raise DecodeError(f"damaged in the zip file: {error}") from None
