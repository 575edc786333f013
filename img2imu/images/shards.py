"""Images end to end in a file of bytes, beside their index."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..settings import require
from .files import UNZIPPING
from .sources import UNKNOWN, Span, Spans

LARGEST_INDEX = 1 << 30
"""Bytes of an unpacked index: ten million images. A few bytes of an NPZ can become any number."""


def index_of(shard: Path) -> Path:
    """The index that belongs to a shard."""
    return shard.with_suffix(".npz")


class Shards(Spans):
    """Images end to end in ``NAME.bin``, described by ``NAME.npz`` and ``classes.json``.

    The index holds ``offsets``, ``lengths`` and ``labels`` (whole numbers) and ``names`` (bytes);
    ``classes.json`` the list ``classes``. The order is that of the shards.
    """

    def __init__(self, path: Path, shards: list[Path]) -> None:
        spans: list[Span] = []
        labels: list[NDArray[np.int32]] = []
        for shard in shards:
            index = _read_index(shard)
            labels.append(index["labels"])
            columns = (index[key].tolist() for key in ("names", "offsets", "lengths"))
            spans += [
                Span(name.decode(errors="replace"), shard, offset, size)
                for name, offset, size in zip(*columns, strict=True)
            ]
        classes = _read_classes(shards[0].with_name("classes.json"))
        joined = np.concatenate(labels)
        if len(joined) and not UNKNOWN <= joined.min() <= joined.max() < len(classes):
            raise InputError(f"{path} has labels beyond the {len(classes)} classes of classes.json")
        super().__init__(path.name, spans, joined.astype(np.int32), classes)


def _read_index(shard: Path) -> dict[str, NDArray[Any]]:
    path = index_of(shard)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        require(size <= LARGEST_INDEX, f"{path} unpacks to {size} bytes: no index is so large")
        with np.load(path, allow_pickle=False) as file:
            index = {name: file[name] for name in ("offsets", "lengths", "labels", "names")}
    except KeyError as error:
        raise InputError(f"{path} lacks an array: {error.args[0]}") from None
    except InputError:
        raise
    except (*UNZIPPING, OSError, MemoryError):
        raise InputError(f"{path} is damaged, or not the index of a shard") from None
    if len({array.shape for array in index.values()}) != 1 or index["labels"].ndim != 1:
        raise InputError(f"the arrays of {path} differ in length")
    kinds = "".join(array.dtype.kind for array in index.values())
    if kinds != "iiiS":
        raise InputError(f"{path} must hold signed whole numbers, and names as bytes")
    offsets, lengths = index["offsets"], index["lengths"]
    size = shard.stat().st_size
    if (offsets < 0).any() or (lengths < 0).any() or (offsets + lengths > size).any():
        raise InputError(f"{path} points beyond the {size} bytes of {shard.name}")
    return index


def _read_classes(path: Path) -> list[str]:
    try:
        classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the shards' labels have no names") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        classes = None
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    require(named, f"{path} must be a JSON object with 'classes', the list of their names")
    return list(classes)
