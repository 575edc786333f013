"""What becomes of a recording: its labels over time, and enough of its signal to draw it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fewshot.metrics import confusion_matrix

UNKNOWN = -1
"""Number of a label that the classifier has not learnt."""

UNKNOWN_LABEL = "unknown"
"""What windows are called that are like nothing that the classifier has learnt."""


NEARLY_ALL, MANY = 0.95, 50
"""Share of windows with one label, of so many, that makes the labels doubtful."""


class Envelope:
    """Smallest and largest acceleration in equal steps of time, at most :attr:`STEPS` of them.

    The steps double in length whenever the recording outgrows them: a week takes the memory of a
    minute.

    Attributes
    ----------
    seconds
        Length of a step.
    low, high
        Shape (3, STEPS), in g; low lies above high where there is no sample.
    """

    STEPS = 4096

    def __init__(self, sampling_rate: float) -> None:
        self.period = self.seconds = 1 / sampling_rate
        self.low = np.full((3, self.STEPS), np.inf, np.float32)
        self.high = np.full((3, self.STEPS), -np.inf, np.float32)

    def add(self, start: NDArray[np.float64], X: NDArray[np.float32]) -> None:
        """Take windows of shape (n, 3, samples) that begin at `start`, in seconds."""
        time = start[:, None] + np.arange(X.shape[-1]) * self.period
        while time.max() >= self.STEPS * self.seconds:
            self._double()
        # The thousandth keeps a sample that rounding puts just before its step.
        step = (time / self.seconds + 1e-3).astype(np.intp)
        for axis in range(3):
            np.minimum.at(self.low[axis], step, X[:, axis])
            np.maximum.at(self.high[axis], step, X[:, axis])

    def _double(self) -> None:
        self.seconds *= 2
        for values, reduce, empty in (
            (self.low, np.minimum.reduce, np.inf),
            (self.high, np.maximum.reduce, -np.inf),
        ):
            values[:, : self.STEPS // 2] = reduce(values.reshape(3, -1, 2), axis=2)
            values[:, self.STEPS // 2 :] = empty


class RunningTime:
    """Time for a picture: always ahead, long silences shortened.

    Recorders reset their clocks and files hold sessions of different days. A step back, or one of
    more than :attr:`LONGEST` seconds ahead, counts as a pause of one window.
    """

    LONGEST = 600.0

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._last: float | None = None
        self._now = 0.0

    def of(self, start: NDArray[np.float64]) -> NDArray[np.float64]:
        """Running time of the next windows, shape (n,), that begin at `start` in seconds."""
        steps = np.diff(start, prepend=start[0] if self._last is None else self._last)
        steps = np.where((steps < 0) | (steps > self.LONGEST), self._pause, steps)
        running = self._now + np.cumsum(steps)
        self._last, self._now = float(start[-1]), float(running[-1])
        return running


@dataclass(frozen=True)
class Track:
    """The labels of one recording over time.

    Attributes
    ----------
    subject, recording
        Whose recording, and which.
    seconds
        Length of a window.
    start
        Shape (n,), float64, ascending: :class:`RunningTime` since the recording's first window.
    code, confidence
        Shape (n,): number of the label, :data:`UNKNOWN` where the window is like no class, and the
        probability of the likeliest class.
    truth
        Shape (n,): number of the class that the recording itself states; :data:`UNKNOWN` where it
        states none, or none that the classifier knows.
    envelope
        Of the acceleration; only for recordings that are drawn.
    clock, epoch
        Shape (n,): when each window begins by the recording's own clock, in seconds since its first
        sample, and in seconds since 1970, NaN where that is not known.
    """

    subject: str
    recording: str
    seconds: float
    start: NDArray[np.float64]
    code: NDArray[np.intp]
    confidence: NDArray[np.float32]
    truth: NDArray[np.intp]
    envelope: Envelope | None
    clock: NDArray[np.float64]
    epoch: NDArray[np.float64]

    def spans(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """From when to when each label stands, in seconds.

        Where windows overlap, each stands until the middle of what it shares with the next.
        """
        end = self.start + self.seconds
        middle = (end[:-1] + self.start[1:]) / 2
        overlaps = end[:-1] > self.start[1:]
        return (
            np.concatenate([self.start[:1], np.where(overlaps, middle, self.start[1:])]),
            np.concatenate([np.where(overlaps, middle, end[:-1]), end[-1:]]),
        )


@dataclass(frozen=True)
class Timeline:
    """The labels of all recordings.

    Attributes
    ----------
    classes
        Names, by number.
    tracks
        One for each recording.
    unknown
        Windows by a label that the recordings state and the classifier has not learnt.
    report
        What became of every row, sample and window, as ``convert`` reports it.
    """

    classes: list[str]
    tracks: list[Track]
    unknown: Counter[str]
    report: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """Hours by label, counts, mean confidence, and scores where the recordings have labels."""
        hours = np.zeros(len(self.classes) + 1)
        for track in self.tracks:
            begin, end = track.spans()
            hours += np.bincount(track.code % len(hours), end - begin, len(hours)) / 3600
        confidence = np.concatenate([track.confidence for track in self.tracks])
        return {
            "recordings": len(self.tracks),
            "windows": len(confidence),
            "hours": dict(zip(self.classes, hours[:-1].round(6).tolist(), strict=True)),
            "unknown_hours": round(float(hours[-1]), 6),
            "confidence": round(float(confidence.mean(dtype=np.float64)), 4),
            "scores": self._scores(),
        }

    def doubt(self) -> str:
        """A sentence where nearly all windows have one label; else empty."""
        code = np.concatenate([track.code for track in self.tracks])
        label, count = Counter(code.tolist()).most_common(1)[0]
        if len(code) < MANY or count < NEARLY_ALL * len(code):
            return ""
        name = [*self.classes, UNKNOWN_LABEL][label]
        return (
            f"{count / len(code):.0%} of the windows are called {name!r}: is the sensor worn, and "
            "its unit, as it was in the recordings that the classifier was fitted on?"
        )

    def _scores(self) -> dict[str, Any] | None:
        truth = np.concatenate([track.truth for track in self.tracks])
        code = np.concatenate([track.code for track in self.tracks])
        known = truth != UNKNOWN
        if not known.any():
            return None
        # The last row and column are those of the unknown, which no truth is.
        count = len(self.classes) + 1
        whole = confusion_matrix(truth[known], code[known] % count, count)
        confusion, total = whole[:-1, :-1], (whole.sum(0) + whole.sum(1))[:-1]
        f1 = 2 * np.diag(confusion)[total > 0] / total[total > 0]
        return {
            "windows": int(known.sum()),
            "macro_f1": round(float(f1.mean()), 4),
            "accuracy": round(float(np.trace(confusion) / whole.sum()), 4),
            "confusion": confusion.tolist(),
            "unknown_labels": dict(self.unknown),
        }
