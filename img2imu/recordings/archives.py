"""Unpacking of downloaded archives into a cache, safely."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO

from ..cache import tidy, used
from ..errors import InputError, excerpt
from ..files import cache_folder, sha256_of
from ..settings import read_sealed, write_sealed

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile),
    *(lzma.LZMAError, zlib.error, EOFError),
)
_NESTING = 2
_CHUNK = 1 << 20


def is_archive(path: Path) -> bool:
    """Whether `path` is named like an archive of this module."""
    return path.name.lower().endswith(_SUFFIXES)


def unpack(path: Path, cache: Path | None = None) -> Path:
    """Unpack a tar or zip archive, and those inside it, into a folder named by its SHA-256.

    A folder appears only when complete, beside it a list of its files. An archive unpacked before
    is not unpacked again as long as each file is there, to the byte, and no other.

    Parameters
    ----------
    path
        The archive: .zip, .tar, .tar.gz, .tar.xz or .tar.bz2.
    cache
        Where the folder is made; `cache_folder` by default.

    Returns
    -------
    Path
        The folder with the archive's content.

    Raises
    ------
    InputError
        If the archive is damaged, holds links or paths that lead outside, or the disk is full.
    """
    root = (cache or cache_folder()) / "unpacked"
    target = root / sha256_of(path)[:16]
    manifest = target.with_suffix(".json")
    if _intact(target, manifest):
        for path in (target, manifest):
            used(path)
        return target
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".part-") as scratch:
        folder = Path(scratch) / "content"
        _extract(path, folder, _NESTING)
        files = _checksums(folder)
        if target.is_dir():
            target.rename(Path(scratch) / "damaged")
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was faster
                raise
    write_sealed(manifest, {"files": files})
    tidy()
    return target


def _intact(folder: Path, manifest: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        return bool(read_sealed(manifest)["files"] == _checksums(folder))
    except (InputError, OSError, KeyError):
        return False


def _checksums(folder: Path) -> dict[str, list[int]]:
    """Size and CRC-32 of each file by its name: reading is cheap beside parsing what was read."""
    return {
        _name(file.relative_to(folder)): [file.stat().st_size, _crc32(file)]
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _name(path: Path) -> str:
    """A file's name as text that JSON takes, whatever bytes an archive put in it."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value


def _extract(path: Path, folder: Path, nesting: int) -> None:
    folder.mkdir(parents=True)
    free = shutil.disk_usage(folder).free
    try:
        with _opened(path) as members:
            for member in members:
                free -= member.size
                if free < 0:
                    raise InputError(f"Not enough disk space to unpack {path}")
                _write(path, member, folder)
    except _DAMAGED as error:
        raise InputError(
            f"{path} is truncated or damaged ({excerpt(error)}): get it again"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise InputError(f"{path} cannot be unpacked: {excerpt(error)}") from error
    if nesting:
        for inner in [file for file in folder.rglob("*") if file.is_file() and is_archive(file)]:
            _extract(inner, inner.with_name(inner.name + ".content"), nesting - 1)
            inner.unlink()


@dataclass
class _Member:
    name: str
    size: int
    stream: IO[bytes]


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield _zip_members(path, archive)
    else:
        with tarfile.open(path) as archive:
            yield _tar_members(path, archive)


def _zip_members(path: Path, archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        if info.flag_bits & 1:
            raise InputError(f"{path} is encrypted: unpack it yourself and give the folder")
        if not info.is_dir():
            with archive.open(info) as stream:
                yield _Member(info.filename, info.file_size, stream)


def _tar_members(path: Path, archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        if info.isdir():
            continue
        stream = archive.extractfile(info) if info.isfile() else None
        if stream is None:
            raise InputError(
                f"{path} holds {excerpt(info.name)}, which is a link or no plain file: refused"
            )
        with stream:
            yield _Member(info.name, info.size, stream)


def _write(path: Path, member: _Member, folder: Path) -> None:
    name = PureWindowsPath(member.name)  # takes both kinds of slashes, and drives
    target = folder.joinpath(*name.parts)
    if name.anchor or ".." in name.parts:
        raise InputError(
            f"{path} holds {excerpt(member.name)!r}, which leads outside its folder: refused"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        shutil.copyfileobj(member.stream, stream, _CHUNK)
