"""Column names and rows of CSV, Parquet and NPZ files, in one shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, excerpt, listing
from ..arrays import NpzFile
from .base import check_parsed
from .clock import TimeColumn
from .dialect import read_dialect
from .text import (
    Kind,
    Layout,
    Rows,
    keep_usable,
    line_blocks,
    nanoseconds,
    parse_block,
)

_TEXT = (".csv", ".tsv", ".txt", ".log", ".dat")
_PACKED = ("", ".gz", ".xz", ".bz2", ".zst")
_BINARY = (".parquet", ".npz", ".gt3x", ".cwa", ".bin")

KINDS = (*_TEXT, *_BINARY)
SUFFIXES = (*(text + packed for text in _TEXT for packed in _PACKED), *_BINARY)
"""Endings of the files that `open_table` reads."""

_BATCH_ROWS = 200_000
_HEAD_ROWS = 50
_NO_DATES = TimeColumn()


def is_table(path: Path) -> bool:
    """Whether `open_table` reads files that are named so."""
    return path.name.lower().endswith(SUFFIXES)


class Table(ABC):
    """A file of named columns.

    Attributes
    ----------
    names
        Column names in file order.
    form
        How the file is written, for people.
    rate
        Sampling rate in Hz that the file states outside its columns.
    start
        Date and time of the first row that it states outside its columns.
    unit
        Unit of the acceleration where the file's kind has only one.
    header
        Whether the file names its columns; if not, `names` are their places from 1.
    """

    names: list[str]
    form: str
    rate: float | None = None
    start: str | None = None
    unit: str | None = None
    header: bool = True

    @abstractmethod
    def head(self, name: str) -> list[str]:
        """The first cells of a column, as text."""

    @abstractmethod
    def rows(self, chosen: dict[str, str], time: TimeColumn) -> Iterator[Rows]:
        """Yield rows with the columns `chosen`: role (time, x, y, z, label, subject) to name.

        `time` says how timestamps are written; those that are dates come as nanoseconds.
        """


def open_table(path: Path, delimiter: str | None = None, decimal: str | None = None) -> Table:
    """Open a file by its ending; what is no binary form is taken as delimited text."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return ParquetTable(path)
    if suffix == ".npz":
        return NpzTable(path)
    if suffix in (".gt3x", ".cwa", ".bin"):
        from .devices import open_device

        return open_device(path)
    return CsvTable(path, delimiter, decimal)


def require_columns(path: Path, names: list[str], wanted: Iterable[str]) -> None:
    """Refuse a file in which a wanted column is missing or there twice."""
    for name in wanted:
        if names.count(name) != 1:
            problem = "more than one column" if name in names else "no column"
            raise InputError(f"{path} has {problem} {name!r} (columns: {listing(names)})")


class CsvTable(Table):
    """Delimited text; separators, header and what stands before it are told from the data.

    Parameters
    ----------
    path
        Of the file.
    delimiter, decimal
        Where they are known.
    """

    def __init__(
        self, path: Path, delimiter: str | None = None, decimal: str | None = None
    ) -> None:
        self.path = path
        self.dialect = read_dialect(path, delimiter, decimal)
        self.names, self.form = self.dialect.names, self.dialect.described
        self.rate, self.start = self.dialect.rate, self.dialect.start
        self.unit = self.dialect.unit
        self.header = self.dialect.header

    def head(self, name: str) -> list[str]:
        """The first cells of a column."""
        return self.dialect.column(self.names.index(name))

    def rows(self, chosen: dict[str, str], time: TimeColumn = _NO_DATES) -> Iterator[Rows]:
        """Yield the rows of one block after another."""
        roles = {self.names.index(name): role for role, name in chosen.items()}
        columns = tuple(roles.get(place, f"#{place}") for place in range(len(self.names)))
        kinds: dict[str, Kind] = dict.fromkeys(chosen, "float")
        kinds |= {role: "text" for role in ("label", "subject") if role in chosen}
        if "time" in chosen:
            kinds["time"] = time.kind
        dialect = self.dialect
        layout = Layout(columns, kinds, dialect.delimiter, dialect.decimal, time.format)
        for number, block in enumerate(line_blocks(self.path)):
            body = dialect.prepare(block)
            if not number:
                body = body.split(b"\n", dialect.skip)[-1] if dialect.skip else body
            rows = parse_block(body, layout)
            if not number:
                check_parsed(self.path, rows, "tabular")
            yield rows


class ParquetTable(Table):
    """A Parquet file, read batch by batch."""

    form = "Parquet"

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} is no readable Parquet file: it may be truncated") from error
        self.path, self.names = path, list(self._file.schema_arrow.names)

    def head(self, name: str) -> list[str]:
        """The first cells of a column."""
        batch = next(self._batches([name], _HEAD_ROWS), None)
        return [] if batch is None else _texts(_to_numpy(batch.column(name))).tolist()

    def rows(self, chosen: dict[str, str], time: TimeColumn) -> Iterator[Rows]:
        """Yield the rows of one batch after another."""
        for batch in self._batches(list(chosen.values()), _BATCH_ROWS):
            arrays = {role: _to_numpy(batch.column(name)) for role, name in chosen.items()}
            yield rows_of_arrays(self.path, arrays, time)

    def _batches(self, names: list[str], rows: int) -> Iterator[Any]:
        import pyarrow as pa

        try:
            yield from self._file.iter_batches(rows, columns=names)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self.path} is damaged: {excerpt(error)}") from error


def _to_numpy(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array


class NpzTable(Table):
    """An NPZ file with one array of shape (n,) per column."""

    form = "NPZ"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = NpzFile(path)
        self.names = self._file.names

    def head(self, name: str) -> list[str]:
        """The first cells of a column."""
        array = self._file.read(name)
        return _texts(array[:_HEAD_ROWS]).tolist() if array.ndim == 1 else []

    def rows(self, chosen: dict[str, str], time: TimeColumn) -> Iterator[Rows]:
        """Yield all rows at once."""
        arrays = {role: self._file.read(name) for role, name in chosen.items()}
        shapes = {chosen[role]: array.shape for role, array in arrays.items()}
        if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
            raise InputError(
                f"{self.path}: the columns must be of one length, not {listing(shapes.values())}"
            )
        yield rows_of_arrays(self.path, arrays, time)


def rows_of_arrays(path: Path, arrays: dict[str, NDArray[Any]], time: TimeColumn) -> Rows:
    """Rows from arrays by role, without those in which a number is missing or out of range."""
    columns: dict[str, NDArray[Any]] = {}
    missing = np.zeros(len(next(iter(arrays.values()))), bool)
    for role, array in arrays.items():
        if role in ("label", "subject"):
            columns[role] = _texts(array)
        elif role == "time" and time.dates and array.dtype.kind in "OUT":
            columns[role] = _moments(path, _texts(array), time)
        elif array.dtype.kind == "M":
            missing |= np.isnat(array)
            columns[role] = array.astype("datetime64[ns]").astype(np.int64)
        elif array.dtype.kind not in "iuf":
            raise InputError(f"{path}: the column for {role} holds no numbers but {array.dtype}")
        else:
            whole = role == "time" and array.dtype.kind in "iu"
            columns[role] = array.astype(np.int64 if whole else np.float64)
    return keep_usable(columns, missing)


def _moments(path: Path, cells: NDArray[np.object_], time: TimeColumn) -> NDArray[np.int64]:
    parse = nanoseconds if time.format is None else time.format.parse
    try:
        return np.array([parse(cell) for cell in cells.tolist()], np.int64)
    except ValueError as error:
        raise InputError(f"{path} has a timestamp that is none: {excerpt(error)}") from None


def _texts(array: NDArray[Any]) -> NDArray[np.object_]:
    texts = ["" if cell is None else str(cell) for cell in array.tolist()]
    return np.array(texts, dtype=object)
