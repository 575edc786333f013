"""What a set of recordings holds, told without keeping it in memory."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .resampling import default_max_gap
from .sensors import ACCELEROMETER, UNIT_OF, axis_names, sensor_kind
from .types import UNLABELLED, Piece, Reading, Source

_NORMS_PER_PIECE = 1000
_LISTED = 30
_NONE = "(unlabelled)"


@dataclass
class CheckReport:
    """What `check` found.

    Attributes
    ----------
    format
        Name of the format.
    rows, used, dropped
        Every row of the files: ``rows == used + sum(dropped.values())``.
    recordings
        Number of recordings.
    hours
        Samples over the nominal rate.
    subjects, classes
        Hours by subject and by class; samples without a class under ``(unlabelled)``.
    rates
        Of each nominal rate in Hz, that over the steps between timestamps that are no gaps; None
        without any.
    gaps, longest_gap
        Steps longer than half a second or five sample periods, whichever is longer; the longest
        in seconds.
    repeated, backward
        Timestamps that equal the one before, or lie before it.
    minimum, maximum
        Of x, y and z of each sensor, in its unit.
    magnitude
        Median of the first sensor's magnitude; of an accelerometer about 1 g where gravity is in
        the data.
    readings
        What the user's own files were taken for.
    doubts
        What may be wrong with them, in sentences.
    sensors
        Their names.
    """

    format: str
    rows: int = 0
    used: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    recordings: int = 0
    hours: float = 0.0
    subjects: dict[str, float] = field(default_factory=dict)
    classes: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float | None] = field(default_factory=dict)
    gaps: int = 0
    longest_gap: float = 0.0
    repeated: int = 0
    backward: int = 0
    minimum: tuple[float, ...] = (np.inf, np.inf, np.inf)
    maximum: tuple[float, ...] = (-np.inf, -np.inf, -np.inf)
    magnitude: float = 0.0
    readings: list[Reading] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    sensors: tuple[str, ...] = ACCELEROMETER

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """A page to read."""
        rates = "; ".join(
            f"{nominal} Hz nominal, "
            + (f"{measured:.4g} Hz by the timestamps" if measured else "not measurable")
            for nominal, measured in self.rates.items()
        )
        units = [UNIT_OF[sensor_kind(name)] for name in self.sensors]
        lines = [
            f"format      {self.format}",
            *(reading.to_text() for reading in self.readings),
            f"rows        {self.rows}, used {self.used}, dropped {self.rows - self.used}",
            *(f"            {count} dropped: {reason}" for reason, count in self.dropped.items()),
            f"recordings  {self.recordings}",
            f"rate        {rates}",
            f"timestamps  {self.gaps} gaps (longest {self.longest_gap:.4g} s), "
            f"{self.repeated} repeated, {self.backward} backward",
            *(
                f"{f'range in {unit}':<12}{self._range(place)}"
                + ("" if place else f"; median magnitude {self.magnitude:.3f}")
                for place, unit in enumerate(units)
            ),
            f"hours       {self.hours:.2f}",
            _hours_line("subjects", len(self.subjects), self.subjects),
            _hours_line("classes", len(self.classes.keys() - {_NONE}), self.classes),
        ]
        return "\n".join(lines)

    def _range(self, sensor: int) -> str:
        """From the least to the largest value of each axis of one sensor."""
        axes = slice(3 * sensor, 3 * sensor + 3)
        spans = zip(
            axis_names(self.sensors)[axes], self.minimum[axes], self.maximum[axes], strict=True
        )
        return ", ".join(f"{axis} {low:.2f} to {high:.2f}" for axis, low, high in spans)


def _hours_line(title: str, count: int, hours: dict[str, float]) -> str:
    listed = ", ".join(f"{name} {value:.3g} h" for name, value in islice(hours.items(), _LISTED))
    if len(hours) > _LISTED:
        listed += f", and {len(hours) - _LISTED} more"
    return textwrap.fill(
        f"{title:<12}{count}: {listed}", 98, subsequent_indent=" " * 12, break_long_words=False
    )


def check(source: Source) -> CheckReport:
    """Read all of a source and tell what it holds.

    Parameters
    ----------
    source
        Recordings, such as `open_source` opens.

    Returns
    -------
    CheckReport
        Counts, hours, rates, faults of the timestamps, range of values.

    Raises
    ------
    InputError
        What the reader raises.
    """
    tally = _Tally(CheckReport(source.name))
    for piece in source.pieces():
        tally.add(piece)
    return tally.finish(source)


class _Tally:
    """Running sums over the pieces."""

    def __init__(self, report: CheckReport) -> None:
        self.report = report
        self._subjects: defaultdict[str, float] = defaultdict(float)
        self._classes: defaultdict[str, float] = defaultdict(float)
        self._recordings: set[tuple[str, str]] = set()
        self._last: tuple[tuple[str, str], float] | None = None
        # Of each rate, how many steps that are no gaps, and their seconds.
        self._steps: defaultdict[float, int] = defaultdict(int)
        self._seconds: defaultdict[float, float] = defaultdict(float)
        self._norms: list[NDArray[np.floating[Any]]] = []
        self._low: NDArray[np.floating[Any]] = np.array(np.inf)
        self._high: NDArray[np.floating[Any]] = np.array(-np.inf)

    def add(self, piece: Piece) -> None:
        report, key = self.report, (piece.subject, piece.recording)
        self._recordings.add(key)
        hours = 1 / piece.rate / 3600
        report.hours += len(piece) * hours
        self._subjects[piece.subject] += len(piece) * hours
        for label, count in Counter(piece.labels.tolist()).items():
            self._classes[_NONE if label == UNLABELLED else label] += count * hours
        self._low = np.minimum(self._low, piece.values.min(axis=0))
        self._high = np.maximum(self._high, piece.values.max(axis=0))
        report.minimum, report.maximum = tuple(self._low.tolist()), tuple(self._high.tolist())
        report.sensors = piece.sensors
        stride = -(-len(piece) // _NORMS_PER_PIECE)
        self._norms.append(np.linalg.norm(piece.values[::stride, :3], axis=1))
        self._add_steps(piece, key)

    def _add_steps(self, piece: Piece, key: tuple[str, str]) -> None:
        report = self.report
        continues = self._last is not None and self._last[0] == key
        before = self._last[1] if self._last is not None and continues else piece.time[0]
        steps = np.diff(piece.time, prepend=before)[0 if continues else 1 :]
        self._last = (key, float(piece.time[-1]))
        gap = steps > default_max_gap(piece.rate)
        usual = steps[~gap & (steps >= 0)]
        self._steps[piece.rate] += len(usual)
        self._seconds[piece.rate] += float(usual.sum())
        report.gaps += int(np.count_nonzero(gap))
        report.longest_gap = max(report.longest_gap, float(steps[gap].max(initial=0)))
        report.repeated += int(np.count_nonzero(steps == 0))
        report.backward += int(np.count_nonzero(steps < 0))

    def finish(self, source: Source) -> CheckReport:
        report, rows = self.report, source.report
        report.rows, report.used = rows.rows, rows.used
        report.dropped = dict(rows.dropped.most_common())
        report.recordings = len(self._recordings)
        report.subjects = dict(
            sorted(self._subjects.items(), key=lambda item: (len(item[0]), item))
        )
        report.classes = dict(sorted(self._classes.items()))
        report.magnitude = float(np.median(np.concatenate(self._norms)))
        report.rates = {
            f"{rate:g}": self._steps[rate] / seconds if seconds else None
            for rate, seconds in self._seconds.items()
        }
        report.readings, report.doubts = rows.readings, rows.doubts()
        return report
