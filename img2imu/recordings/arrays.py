"""Arrays of NPY and NPZ files from anywhere: never unpickled, never larger than memory allows.

A header of a few bytes may promise any size, and a compressed member unpack to one. Here the
header, the archive's directory and the bytes that are there must say the same before anything is
allocated.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, excerpt

_KINDS = "biufcUSM"
_CHUNK = 1 << 20
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an NPY file.

    Raises
    ------
    InputError
        If it is damaged, no NPY, holds Python objects, or does not fit into memory.
    """
    with reading(str(path)), path.open("rb") as stream:
        return _read(stream, path.stat().st_size, str(path))


class NpzFile:
    """The arrays of an NPZ, each read when asked for.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    InputError
        If it is no NPZ, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(str(path)):
            with path.open("rb") as stream:
                if stream.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                    raise InputError(f"{path} is a single array, not an NPZ with several")
            with zipfile.ZipFile(path) as archive:
                members = archive.namelist()
        self.names = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
        if len(set(self.names)) < len(self.names):
            raise InputError(f"{path} holds two arrays of one name")

    def read(self, name: str) -> NDArray[Any]:
        """The array `name`, which must be among `names`.

        Raises
        ------
        InputError
            As :func:`read_npy`.
        """
        what = f"{name} in {self.path}"
        with (
            reading(what),
            zipfile.ZipFile(self.path) as archive,
            archive.open(f"{name}.npy") as stream,
        ):
            return _read(stream, archive.getinfo(f"{name}.npy").file_size, what)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Tell in one sentence what NumPy and zipfile raise on files that are not as they should be."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise InputError(f"{what} does not fit into memory") from None
    except (NotImplementedError, RuntimeError):
        raise InputError(f"{what} is encrypted, or packed in a way not known here") from None
    except Exception:  # whatever a parser of headers comes upon in bytes that are no header
        raise InputError(f"{what} is damaged or not a NumPy file") from None


def _read(stream: IO[bytes], size: int, what: str) -> NDArray[Any]:
    """The array of a stream that says to have `size` bytes."""
    version = np.lib.format.read_magic(stream)
    shape, fortran_order, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise InputError(
            f"{what} holds Python objects; save it as text, array.astype(str), or numbers, with "
            "'' or NaN for what is missing"
        )
    if dtype.kind not in _KINDS or dtype.subdtype is not None:
        raise InputError(f"{what} must hold numbers or text, not {excerpt(dtype)}")
    if min(shape, default=0) < 0 or not dtype.itemsize:
        raise InputError(f"{what} is damaged: its header promises shape {excerpt(shape)}")
    wanted, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if wanted != there:
        raise InputError(
            f"{what} is damaged: its header promises {excerpt(wanted)} bytes, the file {there}"
        )
    if wanted > free_memory():
        raise InputError(
            f"{what} unpacks to {wanted / 1e9:,.1f} GB, of which memory has "
            f"{free_memory() / 1e9:,.1f} GB free"
        )
    array = np.empty(math.prod(shape), dtype)
    target = array.view(np.uint8).data
    while target:
        chunk = stream.read(min(_CHUNK, len(target)))
        if not chunk:
            raise EOFError
        target[: len(chunk)] = chunk
        target = target[len(chunk) :]
    stream.read(1)  # at the end zipfile compares the checksum
    return array.reshape(shape[::-1]).T if fortran_order else array.reshape(shape)


def free_memory() -> int:
    """Bytes that a program may still take; where the system does not say, all there are."""
    told = None
    with suppress(OSError):
        told = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    if told:
        return int(told[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
