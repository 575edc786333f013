"""Images in the Parquet files of Hugging Face data sets."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..settings import require
from .decode import DecodeError
from .sources import LARGEST_CLASSES, UNKNOWN, Collection

LABEL = "label"

LARGEST_GROUP = 1 << 32
"""Bytes of a row group's images, unpacked; four groups are held in memory."""


def training_tables(folder: Path) -> list[Path]:
    """Parquet files of a folder or its ``data``; of the training split where any is so named."""
    tables = sorted([*folder.glob("*.parquet"), *folder.glob("data/*.parquet")])
    return [table for table in tables if table.name.startswith("train")] or tables


class ParquetImages(Collection):
    """Rows with a struct column that holds the ``bytes`` of an image, and maybe a ``label``.

    Labels are text, or numbers whose names stand in the metadata that the ``datasets`` library
    writes; without these, a class is named by its number.
    """

    def __init__(self, path: Path, tables: Sequence[Path]) -> None:
        self.name = path.name
        self._groups: list[tuple[Path, int]] = []
        rows: list[int] = []
        names: list[str] = []
        sizes: list[int] = []
        labels: list[Any] = []
        for table in tables:
            file = _open(table)
            schema, count = file.schema_arrow, file.metadata.num_rows
            size = table.stat().st_size
            # Rows without an image take next to nothing, and their names and labels memory.
            require(count <= size, f"{table} says it has {count} rows, in {size} bytes")
            self._column = _image_column(table, schema)
            groups = range(file.num_row_groups)
            self._groups += [(table, group) for group in groups]
            of_groups = [file.metadata.row_group(group).num_rows for group in groups]
            require(sum(of_groups) == count, f"{table} is damaged: its rows do not add up")
            rows += of_groups
            names += [f"{table.name}/{row}" for row in range(count)]
            sizes += [size] * count
            labels += _labels(table, count) if LABEL in schema.names else [None] * count
        self._starts = [0, *accumulate(rows)]
        self.names, self.sizes = names, np.array(sizes, dtype=np.int64)
        self.labels, self.classes = _numbered(labels, _class_names(schema.metadata))
        # All threads are in a few neighbouring groups, and each stays in its own for a while.
        self._load_once = lru_cache(maxsize=4)(self._load)
        self._lock, self._mine = threading.Lock(), threading.local()

    def read(self, index: int) -> bytes:
        group = bisect_right(self._starts, index) - 1
        if getattr(self._mine, "group", None) != group:
            with self._lock:
                self._mine.images = self._load_once(group)
            self._mine.group = group
        data = (self._mine.images[index - self._starts[group]].as_py() or {}).get("bytes")
        if data is None:
            raise DecodeError("the row holds no bytes")
        return bytes(data)

    def _load(self, group: int) -> Any:
        table, number = self._groups[group]
        file = _open(table)
        with _Reading(table):
            rows = file.metadata.row_group(number)
            size = sum(
                rows.column(i).total_uncompressed_size
                for i in range(rows.num_columns)
                if rows.column(i).path_in_schema.split(".")[0] == self._column
            )
            require(size <= LARGEST_GROUP, f"row group {number} of {table} unpacks to {size} bytes")
            return file.read_row_group(number, columns=[self._column])[self._column]


class _Reading:
    """Tells in one sentence what pyarrow raises on damaged files."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from pyarrow import ArrowException

        if isinstance(error, (ArrowException, OSError, UnicodeDecodeError)):
            raise InputError(f"{self._path} is damaged or not a Parquet file") from None


def _open(path: Path) -> Any:
    from pyarrow.parquet import ParquetFile

    with _Reading(path):
        return ParquetFile(path)


def _image_column(path: Path, schema: Any) -> str:
    """Name of the first column of structs that have ``bytes``."""
    from pyarrow.types import is_struct

    for field in schema:
        if is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return str(field.name)
    raise InputError(f"{path} has no column of images; it has: {', '.join(schema.names)}")


def _labels(path: Path, count: int) -> list[Any]:
    from pyarrow.types import is_integer, is_string

    with _Reading(path):
        column = _open(path).read(columns=[LABEL])[LABEL]
    if not (is_integer(column.type) or is_string(column.type)):
        raise InputError(f"{LABEL} in {path} must hold whole numbers or text, not {column.type}")
    with _Reading(path):
        return list(column.to_pylist())


def _class_names(metadata: dict[bytes, bytes] | None) -> list[str]:
    """Names of the classes as ``datasets`` keeps them; empty if it did not write the file."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[LABEL]["names"]]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []


def _numbered(values: list[Any], names: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Labels as indices into the classes; missing and negative ones (hidden) are unknown."""
    known = {value for value in values if value is not None}
    if any(isinstance(value, str) for value in known):
        names = sorted(map(str, known))
        index = {name: i for i, name in enumerate(names)}
        values = [None if value is None else index[str(value)] for value in values]
    else:
        largest = max(known, default=UNKNOWN)
        require(
            largest < LARGEST_CLASSES,
            f"label {largest} is too large: labels count from 0 to {LARGEST_CLASSES - 1}",
        )
        names = names or [str(i) for i in range(largest + 1)]
    labels = [UNKNOWN if value is None or value < 0 else value for value in values]
    if max(labels, default=UNKNOWN) >= len(names):
        raise InputError(f"label {max(labels)} is beyond the {len(names)} classes named")
    return np.array(labels, dtype=np.int32), names
