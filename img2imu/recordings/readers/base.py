"""What all readers share: finding files, counting rows, handing on pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, listing
from ..sensors import ACCELEROMETER, axis_names
from ..types import Piece, RowReport
from .text import (
    NOT_A_NUMBER,
    OUT_OF_RANGE,
    WRONG_COUNT,
    Layout,
    Rows,
    line_blocks,
    parse_block,
)

STANDARD_GRAVITY = 9.80665
"""m/s² in one g (CGPM 1901)."""

PIECE_ROWS = 500_000
"""Most rows in one piece."""

UNKNOWN_LABEL = "unknown label"


class Reader(ABC):
    """Base of the readers: a `Source` over files below `path`.

    Subclasses set `name` and `rate`, and implement `_files` and `_read_file`.

    Parameters
    ----------
    path
        A folder that holds the official files anywhere below it, or one such file.
    """

    name: ClassVar[str]
    rate: float

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.sensors = ACCELEROMETER
        self.report = RowReport()

    def pieces(self) -> Iterator[Piece]:
        """Yield every recording from the start, piece by piece, filling `report` on the way."""
        self.report = RowReport()
        for file in self._files():
            yield from self._read_file(file)
        self._require_used()

    def _require_used(self) -> None:
        if not self.report.used:
            raise InputError(f"{self.path} holds no usable rows{_reasons(self.report)}")

    @abstractmethod
    def _files(self) -> list[Path]: ...

    @abstractmethod
    def _read_file(self, path: Path) -> Iterator[Piece]: ...

    def _rows(
        self,
        path: Path,
        layout: Layout,
        skip_lines: int = 0,
        prepare: Callable[[bytes], bytes] | None = None,
    ) -> Iterator[Rows]:
        """Parse a text file block by block, counting its rows; `prepare` rewrites each block."""
        for number, block in enumerate(line_blocks(path)):
            if number == 0:
                for _ in range(skip_lines):
                    block = block.lstrip(b"\r\n").partition(b"\n")[2]
            rows = parse_block(prepare(block) if prepare else block, layout)
            self._count(rows)
            if number == 0:
                check_parsed(path, rows, self.name)
            yield rows

    def _count(self, rows: Rows) -> None:
        self.report.rows += rows.rows
        for reason, count in rows.dropped.items():
            self.report.drop(reason, count)

    def _pieces(
        self,
        subject: str,
        recording: str,
        time: NDArray[np.float64],
        values: NDArray[np.floating[Any]],
        labels: NDArray[np.object_],
        began: datetime | None = None,
    ) -> Iterator[Piece]:
        """Hand on rows of one recording as pieces, without rows beyond float32."""
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        finite = np.isfinite(values).all(axis=1) & np.isfinite(time)
        if not finite.all():
            self.report.drop(OUT_OF_RANGE, int(np.count_nonzero(~finite)))
            time, values, labels = time[finite], values[finite], labels[finite]
        rate = self.rate  # of this file, whichever is read between two pieces
        for start in range(0, len(time), PIECE_ROWS):
            part = slice(start, start + PIECE_ROWS)
            parts = time[part], values[part], labels[part]
            piece = Piece(subject, recording, rate, *parts, began, self.sensors)
            self.report.used += len(piece)
            yield piece

    def _select(self, rows: Rows, keep: NDArray[np.bool_], reason: str) -> Rows:
        """Drop the rows of a block that are not in `keep`, counting them under `reason`."""
        if keep.all():
            return rows
        self.report.drop(reason, int(np.count_nonzero(~keep)))
        columns = {name: values[keep] for name, values in rows.columns.items()}
        return Rows(columns, rows.index[keep], rows.rows, rows.dropped)


def check_parsed(path: Path, rows: Rows, format_name: str) -> None:
    """Refuse a file of which hardly any line has the expected form."""
    bad = rows.dropped[WRONG_COUNT] + rows.dropped[NOT_A_NUMBER]
    if bad > 0.9 * rows.rows:
        raise InputError(
            f"{path} does not look like {format_name} data: "
            f"{bad} of the first {rows.rows} lines do not fit the format"
        )


def _reasons(report: RowReport) -> str:
    if report.skipped and not report.rows:
        return f": no columns of {report.sought} in {listing(report.skipped)} (--columns T,X,Y,Z)"
    if not report.dropped:
        return ""
    listed = ", ".join(f"{reason}: {count}" for reason, count in report.dropped.most_common())
    return f" (of {report.rows} rows dropped: {listed})"


def find_files(path: Path, patterns: str | tuple[str, ...], format_name: str) -> list[Path]:
    """Files below `path` that match a glob pattern, or `path` itself if it is a file.

    Raises
    ------
    InputError
        If there is none.
    """
    if path.is_file():
        return [path]
    patterns = (patterns,) if isinstance(patterns, str) else patterns
    found = {
        file
        for pattern in patterns
        for file in path.rglob(pattern)
        if file.is_file() and not file.name.startswith("._")  # copies left by macOS archives
    }
    if not found:
        wanted = " or ".join(patterns)
        raise InputError(f"{path} holds no {format_name} files (looked for {wanted})")
    return sorted(found)


def columns_to_g(rows: Rows, names: Sequence[str], unit: float) -> NDArray[np.float64]:
    """Three columns as an array (n, 3) in g, given how many units make one g."""
    return np.stack([rows.columns[name] for name in names], axis=1) / unit


def per_sensor(rows: Rows, per_unit: Mapping[str, float]) -> NDArray[np.float64]:
    """Columns named as by :func:`axis_names`, side by side: (n, 3 * sensors), in our units.

    Parameters
    ----------
    rows
        With three columns for each sensor.
    per_unit
        The sensors, and how many of each one's units make one of ours.
    """
    triads = [columns_to_g(rows, axis_names((name,)), per) for name, per in per_unit.items()]
    return triads[0] if len(triads) == 1 else np.concatenate(triads, axis=1)


def runs(keys: NDArray[Any]) -> Iterator[slice]:
    """Slices over which consecutive `keys` are equal."""
    if not len(keys):
        return
    edges = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    bounds = [0, *edges.tolist(), len(keys)]
    for start, stop in pairwise(bounds):
        yield slice(start, stop)


def map_labels(codes: NDArray[Any], names: dict[Any, str]) -> NDArray[np.object_]:
    """Name of each code; None where `names` has none."""
    return np.array([names.get(code) for code in codes.tolist()], dtype=object)


def require(options: dict[str, Any], allowed: dict[str, tuple[str, ...]]) -> None:
    """Refuse an option whose value is not among those allowed."""
    for name, choices in allowed.items():
        if options[name] not in choices:
            listed = ", ".join(choices)
            raise InputError(f"{name} must be one of {listed}, not {options[name]!r}")


class SubjectRuns:
    """Splits a stream of rows wherever the subject changes, across blocks.

    A new number starts with every change, so that a subject who comes back later does not
    continue the earlier recording.
    """

    def __init__(self) -> None:
        self.number = 0
        self._last: str | None = None

    def split(self, subjects: NDArray[Any]) -> Iterator[tuple[str, bool, slice]]:
        """Yield subject, whether a new run starts here, and the rows, in order."""
        for run in runs(subjects):
            subject = str(subjects[run.start])
            new = subject != self._last
            self.number += new
            self._last = subject
            yield subject, new, run
