"""Segments found, fragmented, merged, inserted: how well a sequence of labels is cut.

The event analysis of J. Ward, P. Lukowicz and H. Gellersen, *Performance Metrics for Activity
Recognition*, ACM TIST 2(1), 2011, section 4: an event is a longest stretch of one class, and an
event of the truth and one of the output belong together where they are of one class and overlap.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EventCounts:
    """How many events of each kind.

    Attributes
    ----------
    correct
        True events that one event of the output belongs to, which belongs to no other.
    fragmented
        True events that several events of the output belong to.
    merged
        True events that share theirs with other true events.
    both
        True events that are fragmented and merged.
    deleted
        True events that none belongs to.
    inserted
        Events of the output that belong to none of the truth.
    returned
        All events of the output.
    """

    correct: int = 0
    fragmented: int = 0
    merged: int = 0
    both: int = 0
    deleted: int = 0
    inserted: int = 0
    returned: int = 0

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def true(self) -> int:
        """All events of the truth."""
        return self.correct + self.fragmented + self.merged + self.both + self.deleted


def count_events(truth: NDArray[np.intp], output: NDArray[np.intp]) -> EventCounts:
    """The events of one stretch of windows.

    Parameters
    ----------
    truth, output
        Shape (n,), class numbers; where `truth` is negative the window is left out and ends events.
    """
    known = truth >= 0
    true_event, true_count = _numbered(truth, known)
    event, count = _numbered(np.where(known, output, -1), known)
    hit = known & (truth == output)
    pairs = np.unique(np.stack([true_event[hit], event[hit]]), axis=1)
    outputs = np.bincount(pairs[0], minlength=true_count)
    truths = np.bincount(pairs[1], minlength=count)
    shared = np.zeros(true_count, bool)
    shared[pairs[0][truths[pairs[1]] > 1]] = True
    several = outputs > 1
    return EventCounts(
        correct=int(((outputs == 1) & ~shared).sum()),
        fragmented=int((several & ~shared).sum()),
        merged=int((~several & shared).sum()),
        both=int((several & shared).sum()),
        deleted=int((outputs == 0).sum()),
        inserted=int((truths == 0).sum()),
        returned=count,
    )


def _numbered(code: NDArray[np.intp], known: NDArray[np.bool_]) -> tuple[NDArray[np.intp], int]:
    """The number of the event that each window is part of, and how many there are."""
    begins = known & np.append(True, code[1:] != code[:-1])[: len(code)]
    return np.cumsum(begins) - 1, int(begins.sum())
