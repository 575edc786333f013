"""What flows from a reader to the windows: pieces of recordings, and the count of every row."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol, SupportsInt

import numpy as np
from numpy.typing import NDArray

from ..errors import excerpt, listing
from .sensors import ACCELEROMETER, UNIT_OF, sensor_kind

UNLABELLED = ""
"""Label of a sample that belongs to no class."""


@dataclass
class Piece:
    """A run of consecutive samples of one recording, as the file has them.

    Long recordings come in several pieces; consecutive pieces with the same ``recording`` continue
    each other, so that no reader ever has to hold a whole recording in memory.

    Attributes
    ----------
    subject
        Who (or which animal, vehicle) wore the sensor.
    recording
        Name of the uninterrupted file or session, unique within its source.
    rate
        Nominal sampling rate in Hz.
    time
        Shape (n,), float64, seconds, as recorded: may repeat or step backwards.
    values
        Shape (n, 3 * sensors), float32: axes x, y, z of each sensor in turn, acceleration in g,
        rotation in rad/s, magnetic field in uT.
    labels
        Shape (n,), object array of str; ``UNLABELLED`` where there is none.
    began
        Wall-clock time at which the recording's time is 0, aware where its file tells the zone;
        None where the file knows no date.
    sensors
        Their names.
    """

    subject: str
    recording: str
    rate: float
    time: NDArray[np.float64]
    values: NDArray[np.float32]
    labels: NDArray[np.object_]
    began: datetime | None = None
    sensors: tuple[str, ...] = ACCELEROMETER

    def __len__(self) -> int:
        return len(self.time)


@dataclass
class Reading:
    """What files of one form were taken for, so that people can see it and object.

    Attributes
    ----------
    example
        The first such file.
    files
        How many there are.
    form
        How the file separates its cells.
    columns
        Columns by role: time, x, y, z, of other sensors gyro.x and so on, label, subject.
    ignored
        The other columns.
    unit
        Of each sensor, and how that was told.
    magnitude
        Median of the first sensor's first rows; of an accelerometer, in g, about 1 where gravity
        is in the data.
    clock
        How timestamps are written.
    began
        Wall-clock time of the first row.
    rates
        Files by sampling rate in Hz.
    regular
        Share of the first steps of time within 10 % of the rate's; None without timestamps.
    labels, subjects
        Where they come from.
    rows
        The first rows: time in s, x, y and z of each sensor, label.
    sensors
        Their names.
    """

    example: str
    files: int = 0
    form: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    unit: str = ""
    magnitude: float = 0.0
    clock: str = ""
    began: str | None = None
    rates: dict[str, int] = field(default_factory=dict)
    regular: float | None = None
    labels: str = "none"
    subjects: str = ""
    rows: list[list[Any]] = field(default_factory=list)
    sensors: tuple[str, ...] = ACCELEROMETER

    def to_text(self) -> str:
        """Some lines to read."""
        count = f"{self.files} files such as " if self.files > 1 else ""
        columns = ", ".join(f"{role} = {excerpt(name)}" for role, name in self.columns.items())
        ignored = f"; not used: {listing(self.ignored)}" if self.ignored else ""
        rates = ", ".join(
            f"{rate} Hz" + (f" ({files} file{'s' * (files > 1)})" if len(self.rates) > 1 else "")
            for rate, files in self.rates.items()
        )
        if self.regular is not None:
            rates += f"; {self.regular:.1%} of the steps are within 10 % of it"
        clock = self.clock + (f", from {self.began}" if self.began else "")
        units = [UNIT_OF[sensor_kind(name)] for name in self.sensors]
        lines = [
            ("read as", f"{count}{self.example}: {self.form}"),
            ("columns", columns + ignored),
            ("unit", f"{self.unit}; median magnitude {self.magnitude:.3g} {units[0]}"),
            ("time", clock),
            ("rate", rates),
            ("labels", self.labels),
            ("subjects", self.subjects),
            *(
                ("first rows" if not place else "", _row(row, units))
                for place, row in enumerate(self.rows)
            ),
        ]
        return "\n".join(_wrapped(title, text) for title, text in lines)


def _row(row: list[Any], units: list[str]) -> str:
    time, *values, label = row
    triads = [values[place : place + 3] for place in range(0, len(values), 3)]
    told = " ".join(
        "".join(f"{value:8.3f} " for value in triad) + unit
        for triad, unit in zip(triads, units, strict=True)
    )
    return f"{time:9.3f} s {told}  {excerpt(label)}".rstrip()


def _wrapped(title: str, text: str) -> str:
    if text.startswith(" ") or len(text) <= 86:
        return f"{title:<12}{text}"
    return textwrap.fill(text, 98, initial_indent=f"{title:<12}", subsequent_indent=" " * 12)


@dataclass
class RowReport:
    """Counts every row of the files read: ``rows == used + sum(dropped.values())``.

    ``used`` counts rows handed on in pieces, of files that are joined those of each file;
    ``dropped`` counts the others by reason. ``readings``
    says what files of the user's own were taken for, ``warnings`` what is doubtful in which of
    them, and ``skipped`` which hold no recording of what was ``sought``.
    """

    rows: int = 0
    used: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    readings: list[Reading] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    sought: str = "an accelerometer"

    def drop(self, reason: str, count: SupportsInt) -> None:
        """Count `count` rows as dropped for `reason`."""
        if count:
            self.dropped[reason] += int(count)

    def warn(self, doubt: str, file: str) -> None:
        """Note what is doubtful in a file."""
        self.warnings.setdefault(doubt, []).append(file)

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain values, for JSON."""
        return {"rows": self.rows, "used": self.used, "dropped": dict(self.dropped)}

    def understood(self) -> dict[str, Any]:
        """What files were taken for, and what is doubtful, as plain values."""
        return {"files": [asdict(reading) for reading in self.readings], "doubts": self.doubts()}

    def doubts(self) -> list[str]:
        """The warnings as sentences, each with the files it is about."""
        told = [f"{doubt} ({_files(files)})" for doubt, files in self.warnings.items()]
        if self.skipped:
            told.append(f"no columns of {self.sought} in {_files(self.skipped)}: not read")
        return told


def _files(names: list[str]) -> str:
    shown = ", ".join(excerpt(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


class Source(Protocol):
    """A set of recordings in one format: the readers' common shape."""

    @property
    def name(self) -> str:
        """Of the data set or the file."""
        ...

    @property
    def report(self) -> RowReport:
        """What became of the rows read so far."""
        ...

    def pieces(self) -> Iterator[Piece]:
        """Yield every recording from the start, piece by piece, filling `report` on the way."""
        ...
