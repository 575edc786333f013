"""Files of intervals with labels: CSV with a header, and what Audacity and ELAN export."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ...errors import InputError, excerpt, listing
from .clock import NUMBER, TimeColumn, moment_of, read_time, time_of_day
from .columns import plain, split_unit, time_unit
from .dialect import DELIMITERS, split_line
from .text import MISSING, line_blocks

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
Moment = float | datetime | None
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

    start: Moment
    end: Moment
    label: str
    subject: str | None = None
    file: str | None = None
    clock: bool = False

    def __str__(self) -> str:
        whose = ", ".join(filter(None, (self.subject, self.file)))
        told = f"{self.start} to {self.end} {excerpt(self.label)}"
        return f"{told} of {excerpt(whose)}" if whose else told


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
        numbers = isinstance(start, float) and isinstance(end, float) and end < start
        dates = isinstance(start, datetime) and isinstance(end, datetime) and end < start
        if numbers or dates:
            raise InputError(f"--labels {path}: {interval} ends before it starts")
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
    tiers = set(_column(rows, places["tier"])) if "tier" in places else set()
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
        role: _Times(header[places[role]], _column(rows, places[role]), decimal)
        for role in ("start", "end", "duration")
        if role in places
    }
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


def _column(rows: list[list[str]], place: int) -> list[str]:
    return [row[place] for row in rows if len(row) > place]


def _later(start: Moment, duration: Moment) -> Moment:
    if not isinstance(duration, float) or start is None:
        return None
    if isinstance(start, datetime):
        return start + timedelta(seconds=duration)
    return start + duration


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


def _label_place(path: Path, header: list[str], places: dict[str, int], column: str | None) -> int:
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

    def moment(self, cell: str) -> Moment:
        if cell in MISSING:
            return None
        if not self._column.dates:
            return moment_of(float(cell.replace(self._decimal, ".")), self._unit)
        if self.clock:
            assert self._column.format is not None
            return self._column.format.parse(cell) / 1e9
        return _date(cell, self._column)


def _date(cell: str, column: TimeColumn) -> datetime:
    """A wall-clock time as it is written, aware where a zone stands with it."""
    if column.format is None:
        return datetime.fromisoformat(cell)
    nanoseconds, zone = column.format.parse(cell), column.format.zone(cell)
    moment = datetime(1970, 1, 1) + timedelta(microseconds=nanoseconds // 1000)
    return moment if zone is None else moment.replace(tzinfo=UTC)
