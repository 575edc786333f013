"""Bouts: stretches of a recording with one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..files import write_csv
from .tracks import UNKNOWN_LABEL, Timeline, Track


@dataclass(frozen=True)
class Bout:
    """Windows that follow each other without a gap and have one label.

    Attributes
    ----------
    recording, subject
        Whose, and where.
    start, end
        In seconds since the recording's first sample; where windows overlap, one label ends in the
        middle of what they share.
    epoch
        Of the start, in seconds since 1970; NaN where the recording has no dates.
    label
        A class, or ``unknown``.
    confidence
        Mean of its windows.
    windows
        How many.
    """

    recording: str
    subject: str
    start: float
    end: float
    epoch: float
    label: str
    confidence: float
    windows: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.start


def bouts(track: Track, classes: Sequence[str]) -> list[Bout]:
    """The bouts of a recording, in their order."""
    names = [*classes, UNKNOWN_LABEL]
    begin, end = (edge - track.start for edge in track.spans())
    later = np.diff(track.clock)
    parted = (np.diff(track.code) != 0) | (later <= 0) | (later > track.seconds + 1e-6)
    firsts = np.flatnonzero(np.append(True, parted))
    lasts = np.append(firsts[1:] - 1, len(track.code) - 1)
    return [
        Bout(
            track.recording,
            track.subject,
            float(track.clock[first] + begin[first]),
            float(track.clock[last] + end[last]),
            float(track.epoch[first] + begin[first]),
            names[track.code[first]],
            float(track.confidence[first : last + 1].mean(dtype=np.float64)),
            int(last - first + 1),
        )
        for first, last in zip(firsts, lasts, strict=True)
    ]


COLUMNS = (
    "recording", "subject", "start", "end", "time", "label", "seconds", "confidence", "windows",
)  # fmt: skip
"""Of the CSV file; ``time`` is the date of the start."""


def write_bouts(path: str | Path, timeline: Timeline) -> list[Bout]:
    """Write the bouts of all recordings as CSV, whole or not at all; they come back."""
    found = [bout for track in timeline.tracks for bout in bouts(track, timeline.classes)]
    rows = [
        {
            **{name: value for name, value in asdict(bout).items() if name != "epoch"},
            "start": f"{bout.start:.3f}",
            "end": f"{bout.end:.3f}",
            "time": iso_date(bout.epoch),
            "seconds": f"{bout.seconds:.3f}",
            "confidence": f"{bout.confidence:.4f}",
        }
        for bout in found
    ]
    write_csv(path, COLUMNS, rows)
    return found


def iso_date(epoch: float) -> str:
    """Seconds since 1970 as ISO 8601, in UTC; empty where not known."""
    return "" if np.isnan(epoch) else str(np.datetime64(round(epoch * 1000), "ms"))
