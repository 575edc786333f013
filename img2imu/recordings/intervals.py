"""Labels from a second file: intervals of time, or one label for a whole recording."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, excerpt, listing
from .readers.clock import NUMBER, ClockFormat, TimeColumn, moment_of, read_time, time_of_day
from .readers.columns import plain, split_unit, time_unit
from .readers.dialect import DELIMITERS, split_line
from .readers.text import MISSING, line_blocks
from .types import UNLABELLED, Piece, RowReport, Source

_ROLES = {
    "start": r"(start|begin|begins|onset|from|von|beginn)(_?(time|zeit|s|date|at))?",
    "end": r"(end|ends|stop|offset|until|to|bis|ende)(_?(time|zeit|s|date|at))?",
    "duration": r"(duration|dauer|length)(_?s)?",
    "label": r"labels?|activity|class|annotations?|behaviou?r|value|text|aktivit(ä|ae)t|state",
    "subject": r"(subject|user|participant|person|animal|proband)(_?(id|name))?|pid",
    "file": r"file(_?name)?|recording|path|datei",
    "tier": r"tier(_?name)?|channel",
}
_LONGEST = 64 << 20  # bytes of a file of labels
_Moment = float | datetime | None
"""Seconds since the recording began, a wall-clock time, or an open end."""


@dataclass(frozen=True)
class Interval:
    """A stretch of time with a label.

    Attributes
    ----------
    start, end
        Seconds since the recording's first sample, or wall-clock times; None is an open end.
    label
        Its class.
    subject, file
        Whose recording and which, where that is said.
    clock
        Whether numbers of seconds may also be meant as times of the day.
    """

    start: _Moment
    end: _Moment
    label: str
    subject: str | None = None
    file: str | None = None
    clock: bool = False


class Labelled:
    """Recordings of another source, with labels from a file of intervals.

    A sample in two intervals of different labels has none, and is counted.

    Parameters
    ----------
    source
        The recordings; their own labels are not looked at.
    path
        CSV with columns for start, end (or duration) and label, and where needed subject and file;
        an export of labels from Audacity; or tab-delimited text from ELAN.
    column
        The column, or ELAN's tier, that holds the labels, where several might.
    """

    def __init__(self, source: Source, path: str | Path, column: str | None = None) -> None:
        self.source, self.path = source, Path(path)
        self.name = source.name
        self.intervals = read_intervals(self.path, column)
        self.report = RowReport()

    def pieces(self) -> Iterator[Piece]:
        """Yield every recording from the start, with the intervals' labels."""
        tally = _Tally(len(self.intervals))
        for piece in self.source.pieces():
            self.report = self.source.report
            labels = tally.label(piece, self.intervals)
            yield Piece(
                piece.subject, piece.recording, piece.rate, piece.time, piece.values, labels,
                piece.began,
            )  # fmt: skip
        self.report = self.source.report
        for reading in self.report.readings:
            reading.labels = f"{len(self.intervals)} intervals of {self.path.name}: {tally.told()}"
            for row, (*_, label) in zip(reading.rows, tally.first(len(reading.rows)), strict=False):
                row[-1] = label
        for doubt in tally.doubts(self.intervals):
            self.report.warn(doubt, self.path.name)


class _Tally:
    """What became of samples and intervals."""

    def __init__(self, intervals: int) -> None:
        self.samples: Counter[str] = Counter()
        self.met = np.zeros(intervals, bool)
        self._first: list[tuple[str]] = []

    def label(self, piece: Piece, intervals: Sequence[Interval]) -> NDArray[np.object_]:
        labels = np.full(len(piece), UNLABELLED, dtype=object)
        twice = np.zeros(len(piece), bool)
        first, last = piece.time.min(), piece.time.max()
        for place, interval in enumerate(intervals):
            if not _concerns(interval, piece):
                continue
            start, end = _seconds(interval, piece)
            if not (start <= last and end > first):
                continue
            inside = (piece.time >= start) & (piece.time < end)
            if not inside.any():
                continue
            self.met[place] = True
            twice |= inside & (labels != UNLABELLED) & (labels != interval.label)
            labels[inside] = interval.label
        labels[twice] = UNLABELLED
        self.samples["twice"] += int(np.count_nonzero(twice))
        self.samples["in none"] += int(np.count_nonzero((labels == UNLABELLED) & ~twice))
        self.samples["all"] += len(piece)
        if not self._first:
            self._first = [(label,) for label in labels[:8].tolist()]
        return labels

    def first(self, count: int) -> list[tuple[str]]:
        return self._first[:count]

    def told(self) -> str:
        every = max(1, self.samples["all"])
        share = 1 - (self.samples["twice"] + self.samples["in none"]) / every
        return f"{share:.1%} of the samples lie in one, {self.samples['in none'] / every:.1%} in none"

    def doubts(self, intervals: Sequence[Interval]) -> Iterator[str]:
        if self.samples["twice"]:
            yield (
                f"{self.samples['twice']:,} samples lie in two intervals of different labels, and "
                "have none; of ELAN's tiers choose one by --label TIER"
            )
        missed = [interval for interval, met in zip(intervals, self.met, strict=True) if not met]
        if missed:
            yield (
                f"{len(missed)} of {len(intervals)} intervals meet no recording, the first of them "
                f"{_spelled(missed[0])}: look at subject, file, and the clocks"
            )


def _spelled(interval: Interval) -> str:
    whose = ", ".join(filter(None, (interval.subject, interval.file)))
    return f"{interval.start} to {interval.end} {excerpt(interval.label)}" + (
        f" of {excerpt(whose)}" if whose else ""
    )


def _concerns(interval: Interval, piece: Piece) -> bool:
    """Whether subject and file, where the interval names them, are the recording's."""
    if interval.subject is not None and interval.subject != piece.subject:
        return False
    if interval.file is None:
        return True
    path, wanted = PurePosixPath(piece.recording.partition("#")[0]), PurePosixPath(interval.file)
    # With or without its folders, and with or without its ending.
    ends = path.parts[-len(wanted.parts) :]
    bare = (*ends[:-1], ends[-1].split(".")[0])
    return wanted.parts in (ends, bare)


def _seconds(interval: Interval, piece: Piece) -> tuple[float, float]:
    """Start and end in seconds of the recording's own time."""
    return _since(interval.start, interval, piece, -np.inf), _since(
        interval.end, interval, piece, np.inf
    )


def _since(moment: _Moment, interval: Interval, piece: Piece, otherwise: float) -> float:
    if moment is None:
        return otherwise
    if isinstance(moment, datetime):
        return np.nan if piece.began is None else _between(piece.began, moment)
    if interval.clock and piece.began is not None:
        midnight = piece.began.replace(hour=0, minute=0, second=0, microsecond=0)
        begun = (piece.began - midnight).total_seconds()
        # Times that all lie before the recording began count from its beginning.
        if isinstance(interval.end, float) and interval.end > begun:
            return moment - begun
    return moment


def _between(began: datetime, moment: datetime) -> float:
    """Seconds from one to the other; a time without a zone is one of the recording's zone."""
    if (began.tzinfo is None) != (moment.tzinfo is None):
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=began.tzinfo)
        else:
            moment = moment.replace(tzinfo=None)
    return (moment - began) / timedelta(seconds=1)


def read_intervals(path: Path, column: str | None = None) -> list[Interval]:
    """The intervals of a file; parameters as of :class:`Labelled`.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or an interval ends before it starts.
    """
    if not path.is_file():
        raise InputError(f"--labels {path}: there is no such file")
    if path.stat().st_size > _LONGEST:
        raise InputError(f"--labels {path} is too large for a file of intervals")
    text = b"".join(line_blocks(path)).decode("utf-8", errors="replace").replace("\r", "")
    lines = [line for line in text.split("\n") if line.strip()]
    rows, decimal = _split(lines)
    header = rows[0]
    if any(NUMBER.fullmatch(cell) or _is_clock(cell) for cell in header):
        intervals = _without_header(path, lines, rows, column)
    else:
        intervals = _with_header(path, header, rows[1:], column, decimal)
    if not intervals:
        raise InputError(f"--labels {path} holds no interval with a label")
    for interval in intervals:
        start, end = interval.start, interval.end
        if type(start) is type(end) and start is not None and end is not None:
            backward = end < start  # type: ignore[operator]
            if backward:
                raise InputError(f"--labels {path}: {_spelled(interval)} ends before it starts")
    return intervals


def _split(lines: Sequence[str]) -> tuple[list[list[str]], str]:
    """Cells of all lines, and the decimal sign."""
    marks = [mark for mark in DELIMITERS if mark != " "]
    widths = {mark: [len(split_line(line, mark)) for line in lines[:50]] for mark in marks}
    mark = max(marks, key=lambda mark: (min(widths[mark]), mark == "\t"))
    rows = [[cell.strip() for cell in split_line(line, mark)] for line in lines]
    commas = mark != "," and any(re.fullmatch(r"-?\d+,\d+", cell) for row in rows for cell in row)
    return rows, "," if commas else "."


def _is_clock(cell: str) -> bool:
    return time_of_day().matches(cell) or read_time([cell]).dates


def _without_header(
    path: Path, lines: Sequence[str], rows: list[list[str]], column: str | None
) -> list[Interval]:
    """Audacity's labels (start, end, label), or ELAN's rows (tier, ..., times, label)."""
    if len(rows[0]) > 3:
        return _elan(path, rows, column)
    found = []
    for line, row in zip(lines, rows, strict=True):
        if line.startswith("\\"):  # Audacity's range of frequencies
            continue
        if len(row) < 2 or not all(NUMBER.fullmatch(cell) for cell in row[:2]):
            raise InputError(f"--labels {path} has a line that is no interval: {excerpt(line)!r}")
        start, end = (float(cell.replace(",", ".")) for cell in row[:2])
        label = row[2] if len(row) > 2 else ""
        if label not in MISSING:
            found.append(Interval(start, end, label))
    return found


def _elan(path: Path, rows: list[list[str]], column: str | None) -> list[Interval]:
    """Rows without a header: the tier first, the label last, and times between."""
    found, tiers = [], set()
    for row in rows:
        tiers.add(row[0])
        clocks = [_clock_seconds(cell) for cell in row[1:-1] if time_of_day().matches(cell)]
        numbers = [float(cell) for cell in row[1:-1] if NUMBER.fullmatch(cell)]
        times = clocks if len(clocks) >= 2 else numbers
        if len(times) < 2:
            raise InputError(f"--labels {path} has a row without two times: {excerpt(row)}")
        if row[-1] not in MISSING and column in (None, row[0]):
            found.append(Interval(times[0], times[1], row[-1]))
    _require_one_tier(path, tiers, column)
    return found


def _require_one_tier(path: Path, tiers: set[str], column: str | None) -> None:
    if column is None and len(tiers) > 1:
        raise InputError(
            f"--labels {path} has several tiers: choose one by --label TIER "
            f"(found: {listing(sorted(tiers))})"
        )
    if column is not None and column not in tiers:
        raise InputError(
            f"--labels {path} has no tier {column!r} (found: {listing(sorted(tiers))})"
        )


def _clock_seconds(cell: str) -> float:
    return time_of_day().parse(cell) / 1e9


def _with_header(
    path: Path, header: list[str], rows: list[list[str]], column: str | None, decimal: str
) -> list[Interval]:
    places = _places(header)
    tiers = {row[places["tier"]] for row in rows if len(row) > places["tier"]} if "tier" in places else set()
    of_tier = column if column in tiers else None
    labels = _label_place(path, header, places, None if of_tier else column)
    if of_tier is None and column is None and len(tiers) > 1:
        _require_one_tier(path, tiers, None)
    if not {"start", "end", "file", "subject"} & set(places):
        raise InputError(
            f"--labels {path} needs columns for start and end, or for file or subject, beside "
            f"the label (found: {listing(header)})"
        )
    times = {
        role: _Times(header[places[role]], [row[places[role]] for row in rows if len(row) > places[role]], decimal)
        for role in ("start", "end", "duration")
        if role in places
    }  # fmt: skip
    found = []
    for row in rows:
        if len(row) <= max([*places.values(), labels]):
            raise InputError(f"--labels {path} has a line with too few cells: {excerpt(row)}")
        if row[labels] in MISSING or (of_tier is not None and row[places["tier"]] != of_tier):
            continue
        try:
            moments = {role: time.moment(row[places[role]]) for role, time in times.items()}
        except ValueError:
            raise InputError(f"--labels {path} has a time that is none in {excerpt(row)}") from None
        end = moments.get("end")
        if "duration" in times and "end" not in times:
            end = _later(moments.get("start"), moments["duration"])
        found.append(
            Interval(
                moments.get("start"), end, row[labels],
                row[places["subject"]] or None if "subject" in places else None,
                row[places["file"]] or None if "file" in places else None,
                any(time.clock for time in times.values()) and "tier" not in places,
            )
        )  # fmt: skip
    return found


def _later(start: _Moment, duration: _Moment) -> _Moment:
    if not isinstance(duration, float) or start is None:
        return None
    return start + (timedelta(seconds=duration) if isinstance(start, datetime) else duration)  # type: ignore[operator]


def _places(header: Sequence[str]) -> dict[str, int]:
    """Column of each role: the first that fits, and of times rather one in seconds."""
    found: dict[str, int] = {}
    for place, name in enumerate(header):
        # ELAN says "Begin Time - hh:mm:ss.ms", "... - ss.msec" and "... - msec".
        bare, _, form = name.partition(" - ")
        words = plain(split_unit(bare)[0])
        for role, pattern in _ROLES.items():
            if re.fullmatch(pattern, words) and (role not in found or form == "ss.msec"):
                found[role] = place
    return found


def _label_place(
    path: Path, header: list[str], places: dict[str, int], column: str | None
) -> int:
    if column is not None:
        if column not in header:
            raise InputError(f"--labels {path} has no column {column!r} ({listing(header)})")
        return header.index(column)
    if "label" in places:
        return places["label"]
    times = re.compile(r"(?i)begin|start|end|duration")
    rest = [
        place for place, name in enumerate(header)
        if place not in places.values() and not times.match(name)
    ]  # fmt: skip
    if len(rest) != 1:
        raise InputError(
            f"--labels {path}: which column holds the labels? Name it with --label "
            f"(found: {listing(header)})"
        )
    return rest[0]


class _Times:
    """A column of times: seconds or other units, dates, or times of the day."""

    def __init__(self, name: str, cells: Sequence[str], decimal: str) -> None:
        self._decimal = decimal
        self._column = read_time(cells)
        format = self._column.format
        self.clock = format is not None and format.period is not None
        # ELAN's names end in their form, others in a unit.
        self._unit = "ms" if name.endswith("- msec") else time_unit(name) or "s"

    def moment(self, cell: str) -> _Moment:
        if cell in MISSING:
            return None
        if not self._column.dates:
            return moment_of(float(cell.replace(self._decimal, ".")), self._unit)
        if self.clock:
            assert self._column.format is not None
            return self._column.format.parse(cell) / 1e9
        return moment_of_date(cell, self._column)


def moment_of_date(cell: str, column: TimeColumn) -> datetime:
    """A wall-clock time as it is written, aware where a zone stands with it."""
    if column.format is None:
        return datetime.fromisoformat(cell)
    return _dated(cell, column.format)


def _dated(cell: str, format: ClockFormat) -> datetime:
    nanoseconds, zone = format.parse(cell), format.zone(cell)
    moment = datetime(1970, 1, 1) + timedelta(microseconds=nanoseconds // 1000)
    return moment if zone is None else moment.replace(tzinfo=UTC)
