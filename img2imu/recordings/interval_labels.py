"""Labels from a second file: intervals of time, or one label for a whole recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from .readers.intervals import Interval, Moment, read_intervals
from .types import UNLABELLED, Piece, RowReport, Source


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
            yield replace(piece, labels=tally.label(piece, self.intervals))
        self.report = self.source.report
        for reading in self.report.readings:
            reading.labels = f"{len(self.intervals)} intervals of {self.path.name}: {tally.told()}"
            for row, label in zip(reading.rows, tally.first, strict=False):
                row[-1] = label
        for doubt in tally.doubts(self.intervals):
            self.report.warn(doubt, self.path.name)


class _Tally:
    """What became of samples and intervals."""

    def __init__(self, intervals: int) -> None:
        self.samples: Counter[str] = Counter()
        self.met = np.zeros(intervals, bool)
        self.first: list[str] = []  # labels of the first rows, for the report

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
        self.first = self.first or labels[:8].tolist()
        return labels

    def told(self) -> str:
        every = max(1, self.samples["all"])
        share = 1 - (self.samples["twice"] + self.samples["in none"]) / every
        return (
            f"{share:.1%} of the samples lie in one, {self.samples['in none'] / every:.1%} in none"
        )

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
                f"{missed[0]}: look at subject, file, and the clocks"
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
    start = _since(interval.start, interval, piece, -np.inf)
    return start, _since(interval.end, interval, piece, np.inf)


def _since(moment: Moment, interval: Interval, piece: Piece, otherwise: float) -> float:
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
