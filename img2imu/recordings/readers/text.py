"""Delimited text in blocks: fast where the lines are regular, line by line where they are not.

Sensor logs are large and rarely clean. A block of whole lines is handed to pyarrow; where it
refuses, it gets the block in groups of some hundred lines, and only a group that holds a bad line
is read line by line. One garbage line in ten million costs next to nothing.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, excerpt

if TYPE_CHECKING:
    from .clock import ClockFormat

Kind = Literal["float", "int", "text", "datetime", "zoned", "clock"]
"""How a column is read: ``text`` as objects, ``int`` and what is a time (in ns) as int64. Dates in
ISO 8601 are ``datetime`` without a zone and ``zoned`` with one; ``clock`` has a format."""

BLOCK_BYTES = 2 << 20
"""Bytes parsed at once."""

MISSING = ("", "nan", "NaN", "NAN", "NA", "N/A", "null", "NULL")
"""Spellings of an absent value."""

WRONG_COUNT = "wrong number of values"
NOT_A_NUMBER = "not a number"
MISSING_VALUE = "missing value"
OUT_OF_RANGE = "infinite or out of range"

_LARGEST_INT = 1 << 62  # so that no difference of two overflows
_LONGEST_LINE = 1 << 16
_GROUP_LINES = 500
_DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


@dataclass(frozen=True)
class Layout:
    """What a line holds: every column in file order, and those wanted with their kinds."""

    columns: tuple[str, ...]
    wanted: dict[str, Kind]
    delimiter: str = ","
    decimal: str = "."
    clock: ClockFormat | None = None


@dataclass
class Rows:
    """Parsed rows of one block.

    Attributes
    ----------
    columns
        One array per wanted column; only rows in which every number could be read.
    index
        Position of each kept row among all rows of the block.
    rows
        Rows in the block, kept or not; blank lines are no rows.
    dropped
        The others by reason: ``rows == len(index) + dropped.total()``.
    """

    columns: dict[str, NDArray[Any]]
    index: NDArray[np.int64]
    rows: int
    dropped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.index)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressing .gz, .xz, .bz2 and .zst."""
    stream: IO[bytes] = _OPENERS.get(path.suffix.lower(), open)(path, "rb")
    return stream


def _open_zstd(path: Path, mode: str) -> Any:
    import pyarrow as pa

    del mode
    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


_OPENERS: dict[str, Callable[..., Any]] = {
    **{".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open},
    ".zst": _open_zstd,
}


def line_blocks(path: Path, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield a text file as blocks of whole lines, without its byte order mark.

    Lines may end in a carriage return alone, as old spreadsheets write them; it becomes a line
    feed.

    Raises
    ------
    InputError
        If the file is empty, cannot be read, is compressed and cut short, or is no text.
    """
    rest, first = b"", True
    try:
        with open_binary(path) as stream:
            chunk = stream.read(size)
            only_returns = b"\r" in chunk and b"\n" not in chunk
            while chunk:
                following = stream.read(size)
                chunk = chunk.replace(b"\r", b"\n") if only_returns else chunk
                if first:
                    chunk, first = _check_start(path, chunk), False
                head, newline, tail = (rest + chunk).rpartition(b"\n")
                if len(tail) > _LONGEST_LINE:
                    raise InputError(f"{path} is not a text file: it has no line breaks")
                block, rest = head + newline, tail
                if not following:  # the last line may lack the break
                    block, rest = block + tail, b""
                if block:
                    yield block
                chunk = following
    except _DAMAGED as error:
        raise InputError(
            f"{path} is truncated or damaged ({excerpt(error)}): get it again"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if first:
        raise InputError(f"{path} is empty")
    if rest:
        yield rest


def _check_start(path: Path, chunk: bytes) -> bytes:
    if chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16 text: save it as UTF-8")
    return chunk.removeprefix(b"\xef\xbb\xbf")


def parse_block(block: bytes, layout: Layout) -> Rows:
    """Parse whole lines, dropping and counting those that do not fit `layout`."""
    whole = _parse_fast(block, layout)
    if whole is not None:
        return whole
    lines, parts = block.split(b"\n"), []
    for start in range(0, len(lines), _GROUP_LINES):
        group = lines[start : start + _GROUP_LINES]
        part = _parse_fast(b"\n".join(group), layout)
        parts.append(_parse_lines(group, layout) if part is None else part)
    return _join(parts)


def _parse_fast(block: bytes, layout: Layout) -> Rows | None:
    """Let pyarrow parse the block; None if any line of it is out of order."""
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    kinds = {
        "float": pa.float64(),
        "int": pa.int64(),
        "text": pa.dictionary(pa.int32(), pa.string()),
        "datetime": pa.timestamp("ns"),
        "zoned": pa.timestamp("ns", "UTC"),
        "clock": pa.string(),
    }
    lines = _count_lines(block)
    if not lines:
        return _parse_lines([], layout)
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(block),
            pa_csv.ReadOptions(column_names=list(layout.columns), block_size=2 * len(block) + 1024),
            pa_csv.ParseOptions(delimiter=layout.delimiter),
            pa_csv.ConvertOptions(
                include_columns=list(layout.wanted),
                column_types={name: kinds[kind] for name, kind in layout.wanted.items()},
                null_values=list(MISSING),
                decimal_point=layout.decimal,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    return _from_table(table, layout) if table.num_rows == lines else None


def _count_lines(block: bytes) -> int:
    """Lines that are not empty; pyarrow skips the empty ones too."""
    codes = np.frombuffer(block, np.uint8)
    ends = np.append(np.flatnonzero(codes == ord("\n")), len(codes))
    lengths = np.diff(ends, prepend=-1) - 1
    if b"\r" in block:
        ends = ends[lengths == 1]
        lone_returns = int(np.count_nonzero(codes[ends - 1] == ord("\r")))
    else:
        lone_returns = 0
    return int(np.count_nonzero(lengths)) - lone_returns


def _from_table(table: Any, layout: Layout) -> Rows | None:
    """Arrays of a parsed table, without the rows in which a number is missing.

    None if a time is not written as it should be.
    """
    import pyarrow as pa

    columns: dict[str, NDArray[Any]] = {}
    missing = np.zeros(table.num_rows, bool)
    for name, kind in layout.wanted.items():
        column = table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        if kind == "text":
            texts = np.array(column.dictionary.to_pylist(), dtype=object)
            columns[name] = texts[column.indices.to_numpy(zero_copy_only=False)]
            continue
        if kind == "clock":
            assert layout.clock is not None
            times = None if column.null_count else layout.clock.parse_all(column)
            if times is None:
                return None
            columns[name] = times
            continue
        if column.null_count:
            missing |= ~column.is_valid().to_numpy(zero_copy_only=False)
        if kind in ("datetime", "zoned"):
            column = column.cast(pa.int64())
        columns[name] = column.fill_null(0).to_numpy(zero_copy_only=False)
    return keep_usable(columns, missing)


def keep_usable(columns: dict[str, NDArray[Any]], missing: NDArray[np.bool_]) -> Rows:
    """Rows in which every number is there and in range; `missing` marks some that are not."""
    outside = np.zeros(len(missing), bool)
    for values in columns.values():
        if values.dtype.kind == "f":
            missing = missing | np.isnan(values)
            outside |= np.isinf(values)
        elif values.dtype.kind == "i":
            outside |= (values >= _LARGEST_INT) | (values <= -_LARGEST_INT)
    outside &= ~missing
    index = np.flatnonzero(~(missing | outside))
    dropped: Counter[str] = Counter()
    if len(index) < len(missing):
        columns = {name: values[index] for name, values in columns.items()}
        counts = {MISSING_VALUE: np.count_nonzero(missing), OUT_OF_RANGE: np.count_nonzero(outside)}
        dropped.update({reason: int(count) for reason, count in counts.items() if count})
    return Rows(columns, index, len(missing), dropped)


def _parse_lines(lines: list[bytes], layout: Layout) -> Rows:
    """Parse line by line: the way to count each bad line for its own reason."""
    cells: dict[str, list[Any]] = {name: [] for name in layout.wanted}
    index: list[int] = []
    dropped: Counter[str] = Counter()
    places = {name: layout.columns.index(name) for name in layout.wanted}
    texts = [line for line in lines if line.strip()]
    for row, line in enumerate(texts):
        try:
            fields = _split(line, layout)
            values = [
                _convert(fields[places[n]], kind, layout) for n, kind in layout.wanted.items()
            ]
        except _BadLineError as bad:
            dropped[bad.reason] += 1
            continue
        index.append(row)
        for name, value in zip(layout.wanted, values, strict=True):
            cells[name].append(value)
    dtypes: dict[Kind, Any] = {"float": np.float64, "text": object}
    columns = {
        name: np.array(cells[name], dtype=dtypes.get(kind, np.int64))
        for name, kind in layout.wanted.items()
    }
    return Rows(columns, np.array(index, dtype=np.int64), len(texts), dropped)


class _BadLineError(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason


def _split(line: bytes, layout: Layout) -> list[str]:
    text = line.decode("utf-8", errors="replace").strip("\r\n")
    if layout.delimiter == " ":
        fields = text.split()
    elif '"' in text:
        fields = _split_quoted(text, layout.delimiter)
    else:
        fields = text.split(layout.delimiter)
    if len(fields) != len(layout.columns):
        raise _BadLineError(WRONG_COUNT)
    return fields


def _split_quoted(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error as error:
        raise _BadLineError(WRONG_COUNT) from error


def _convert(cell: str, kind: Kind, layout: Layout) -> Any:
    if kind == "text":
        return cell
    cell = cell.strip()
    if cell in MISSING:
        raise _BadLineError(MISSING_VALUE)
    value: float
    try:
        if "_" in cell or not cell.isascii():
            raise ValueError(cell)
        if kind == "float":
            value = _number(cell, layout.decimal)
        elif kind == "int":
            value = int(cell)
        elif kind == "clock":
            assert layout.clock is not None
            value = layout.clock.parse(cell)
        else:
            value = nanoseconds(cell)
    except ValueError as error:
        raise _BadLineError(NOT_A_NUMBER) from error
    if math.isnan(value):
        raise _BadLineError(MISSING_VALUE)
    if math.isinf(value) or (kind != "float" and abs(value) >= _LARGEST_INT):
        raise _BadLineError(OUT_OF_RANGE)
    return value


def _number(cell: str, decimal: str) -> float:
    if decimal == ".":
        return float(cell)
    if "." in cell:
        raise ValueError(cell)
    return float(cell.replace(decimal, "."))


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 date and time; without a zone it is taken as UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _join(parts: list[Rows]) -> Rows:
    before = np.cumsum([0, *(part.rows for part in parts)])
    columns = {
        name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns
    }
    index = np.concatenate(
        [part.index + offset for part, offset in zip(parts, before, strict=False)]
    )
    dropped = sum((part.dropped for part in parts), Counter[str]())
    return Rows(columns, index, int(before[-1]), dropped)
