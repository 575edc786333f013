"""What flows from a reader to the windows: pieces of recordings, and the count of every row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
        Shape (n, 3), float32, acceleration in g, axes x, y, z.
    labels
        Shape (n,), object array of str; ``UNLABELLED`` where there is none.
    epoch
        When `time` was 0, in seconds since 1970 in UTC; None where the recording does not tell the
        date. A date without a zone counts as one in UTC.
    """

    subject: str
    recording: str
    rate: float
    time: NDArray[np.float64]
    values: NDArray[np.float32]
    labels: NDArray[np.object_]
    epoch: float | None = None

    def __len__(self) -> int:
        return len(self.time)


@dataclass
class RowReport:
    """Counts every row of the files read: ``rows == used + sum(dropped.values())``.

    ``used`` counts rows handed on in pieces; ``dropped`` counts the others by reason.
    """

    rows: int = 0
    used: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def drop(self, reason: str, count: int) -> None:
        """Count `count` rows as dropped for `reason`."""
        if count:
            self.dropped[reason] += int(count)


class Source(Protocol):
    """A set of recordings in one format: the readers' common shape."""

    @property
    def name(self) -> str:
        """Of the format or data set."""
        ...

    @property
    def report(self) -> RowReport:
        """What became of the rows read so far."""
        ...

    def pieces(self) -> Iterator[Piece]:
        """Yield every recording from the start, piece by piece, filling `report` on the way."""
        ...
