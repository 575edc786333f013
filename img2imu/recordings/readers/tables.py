"""Column names and rows of CSV, Parquet and NPZ files, in one shape."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, excerpt, listing
from ..arrays import NpzFile
from .base import check_parsed
from .text import (
    Kind,
    Layout,
    Rows,
    keep_usable,
    line_blocks,
    nanoseconds,
    parse_block,
)

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.xz", ".tsv.xz", ".parquet", ".npz")
"""Endings of the files that `open_table` reads."""

_BATCH_ROWS = 200_000
_EXACT_IN_FLOAT = 15  # digits


class Table(Protocol):
    """A file of named columns.

    Attributes
    ----------
    names
        Column names in file order.
    dates
        Whether the time column held dates, given as nanoseconds since 1970; known once rows
        were read.
    """

    names: list[str]
    dates: bool

    def rows(self, chosen: dict[str, str]) -> Iterator[Rows]:
        """Yield rows with the columns `chosen`: role (time, x, y, z, label, subject) to name."""
        ...


def open_table(path: Path) -> Table:
    """Open a file by its ending; everything but .parquet and .npz is taken as delimited text."""
    if path.suffix.lower() == ".parquet":
        return ParquetTable(path)
    return NpzTable(path) if path.suffix.lower() == ".npz" else CsvTable(path)


def require_columns(path: Path, names: list[str], wanted: Iterable[str]) -> None:
    """Refuse a file in which a wanted column is missing or there twice."""
    for name in wanted:
        if names.count(name) != 1:
            problem = "more than one column" if name in names else "no column"
            raise InputError(f"{path} has {problem} {name!r} (columns: {listing(names)})")


class CsvTable:
    """Delimited text with a header line; comma, semicolon, tab and space are told apart."""

    dates = False

    def __init__(self, path: Path) -> None:
        self.path = path
        first = next(line_blocks(path, 1 << 16)).lstrip(b"\r\n")
        text = first.decode("utf-8", errors="replace").replace("\r", "")
        head, *self._sample = text.split("\n")
        if "\ufffd" in head or "\0" in head:
            raise InputError(f"{path} is not UTF-8 text")
        self.delimiter = max(",;\t ", key=head.count)
        fields = next(csv.reader([head.lstrip("# ")], delimiter=self.delimiter), [])
        self.names = [name.strip() for name in fields]
        if all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?|", name) for name in self.names):
            raise InputError(f"{path} has no header line: its first line must name the columns")

    def rows(self, chosen: dict[str, str]) -> Iterator[Rows]:
        """Yield the rows of one block after another."""
        roles = {self.names.index(name): role for role, name in chosen.items()}
        columns = tuple(roles.get(place, f"#{place}") for place in range(len(self.names)))
        kinds: dict[str, Kind] = dict.fromkeys(chosen, "float")
        kinds |= {role: "text" for role in ("label", "subject") if role in chosen}
        if "time" in chosen:
            kinds["time"] = self._time_kind(columns.index("time"))
            self.dates = kinds["time"] == "datetime"
        layout = Layout(columns, kinds, self.delimiter)
        for number, block in enumerate(line_blocks(self.path)):
            body = block if number else block.lstrip(b"\r\n").partition(b"\n")[2]
            rows = parse_block(body, layout)
            if not number:
                check_parsed(self.path, rows, "tabular")
            yield rows

    def _time_kind(self, place: int) -> Kind:
        """Kind of the first timestamp that is one; integers too long for a float stay integers."""
        for line in self._sample:
            fields = line.split(self.delimiter)
            cell = fields[place].strip(' "') if place < len(fields) else ""
            if re.fullmatch(r"\d+", cell):
                return "int" if len(cell) > _EXACT_IN_FLOAT else "float"
            if re.fullmatch(r"\d{4}-\d\d-\d\d.*", cell) and _is_date(cell):
                return "datetime"
            if re.fullmatch(r"[-+.\d]+([eE][-+]?\d+)?", cell):
                return "float"
        return "float"


def _is_date(cell: str) -> bool:
    try:
        nanoseconds(cell)
    except ValueError:
        return False
    return True


class ParquetTable:
    """A Parquet file, read batch by batch."""

    dates = False

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} is no readable Parquet file: it may be truncated") from error
        self.path, self.names = path, list(self._file.schema_arrow.names)

    def rows(self, chosen: dict[str, str]) -> Iterator[Rows]:
        """Yield the rows of one batch after another."""
        import pyarrow as pa

        try:
            for batch in self._file.iter_batches(_BATCH_ROWS, columns=list(chosen.values())):
                arrays = {role: _to_numpy(batch.column(name)) for role, name in chosen.items()}
                self.dates = "time" in arrays and arrays["time"].dtype.kind == "M"
                yield rows_of_arrays(self.path, arrays)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self.path} is damaged: {excerpt(error)}") from error


def _to_numpy(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array


class NpzTable:
    """An NPZ file with one array of shape (n,) per column."""

    dates = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = NpzFile(path)
        self.names = self._file.names

    def rows(self, chosen: dict[str, str]) -> Iterator[Rows]:
        """Yield all rows at once."""
        arrays = {role: self._file.read(name) for role, name in chosen.items()}
        shapes = {chosen[role]: array.shape for role, array in arrays.items()}
        if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
            raise InputError(
                f"{self.path}: the columns must be of one length, not {listing(shapes.values())}"
            )
        self.dates = "time" in arrays and arrays["time"].dtype.kind == "M"
        yield rows_of_arrays(self.path, arrays)


def rows_of_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> Rows:
    """Rows from arrays by role, without those in which a number is missing or out of range."""
    columns: dict[str, NDArray[Any]] = {}
    missing = np.zeros(len(next(iter(arrays.values()))), bool)
    for role, array in arrays.items():
        if role in ("label", "subject"):
            columns[role] = _texts(array)
        elif array.dtype.kind == "M":
            missing |= np.isnat(array)
            columns[role] = array.astype("datetime64[ns]").astype(np.int64)
        elif array.dtype.kind not in "iuf":
            raise InputError(f"{path}: the column for {role} holds no numbers but {array.dtype}")
        else:
            whole = role == "time" and array.dtype.kind in "iu"
            columns[role] = array.astype(np.int64 if whole else np.float64)
    return keep_usable(columns, missing)


def _texts(array: NDArray[Any]) -> NDArray[np.object_]:
    texts = ["" if cell is None else str(cell) for cell in array.tolist()]
    return np.array(texts, dtype=object)
