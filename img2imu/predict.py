"""Labels over time: a classifier applied to whole recordings, in bounded memory."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .classifier import Img2ImuClassifier
from .errors import InputError
from .probe.metrics import confusion_matrix, macro_f1
from .progress import Progress, silent
from .recordings import UNLABELLED, Source, WindowConfig, Windows, iter_windows

DRAWN = 4
"""Recordings in the picture."""

UNKNOWN = -1
"""Number of a label that the classifier has not learnt."""


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about a batch of windows.

    Attributes
    ----------
    windows
        The windows themselves.
    probability
        Shape (n, classes), float32, in the order of the classifier's `classes_`.
    """

    windows: Windows
    probability: NDArray[np.float32]

    @property
    def code(self) -> NDArray[np.intp]:
        """Number of the likeliest class, shape (n,)."""
        return self.probability.argmax(1)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the likeliest class, shape (n,)."""
        return self.probability.max(1)


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
        Shape (n,): number of the likeliest class, and its probability.
    truth
        Shape (n,): number of the class that the recording itself states; :data:`UNKNOWN` where it
        states none, or none that the classifier knows.
    envelope
        Of the acceleration; only for recordings that are drawn.
    """

    subject: str
    recording: str
    seconds: float
    start: NDArray[np.float64]
    code: NDArray[np.intp]
    confidence: NDArray[np.float32]
    truth: NDArray[np.intp]
    envelope: Envelope | None = None

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
    """

    classes: list[str]
    tracks: list[Track]
    unknown: Counter[str]

    def summary(self) -> dict[str, Any]:
        """Hours by label, counts, mean confidence, and scores where the recordings have labels."""
        hours = np.zeros(len(self.classes))
        for track in self.tracks:
            begin, end = track.spans()
            hours += np.bincount(track.code, end - begin, len(hours)) / 3600
        confidence = np.concatenate([track.confidence for track in self.tracks])
        return {
            "recordings": len(self.tracks),
            "windows": len(confidence),
            "hours": dict(zip(self.classes, hours.round(6).tolist(), strict=True)),
            "confidence": round(float(confidence.mean(dtype=np.float64)), 4),
            "scores": self._scores(),
        }

    def _scores(self) -> dict[str, Any] | None:
        truth = np.concatenate([track.truth for track in self.tracks])
        code = np.concatenate([track.code for track in self.tracks])
        known = truth != UNKNOWN
        if not known.any():
            return None
        confusion = confusion_matrix(truth[known], code[known], len(self.classes))
        return {
            "windows": int(known.sum()),
            "macro_f1": round(macro_f1(confusion), 4),
            "accuracy": round(float(np.trace(confusion) / confusion.sum()), 4),
            "confusion": confusion.tolist(),
            "unknown_labels": dict(self.unknown),
        }


def iter_predictions(
    classifier: Img2ImuClassifier, source: Source, overlap: float = 0.5
) -> Iterator[Predictions]:
    """Label the windows of all recordings, in batches.

    Parameters
    ----------
    classifier
        A fitted one; recordings at another rate are resampled to its own.
    source
        The recordings.
    overlap
        Share of a window that the next one repeats.
    """
    for windows in iter_windows(source, _cutting(classifier, overlap), keep_unlabelled=True):
        yield Predictions(windows, classifier.predict_proba(windows.X))


def predict_recordings(
    classifier: Img2ImuClassifier,
    source: Source,
    folder: str | Path,
    overlap: float = 0.5,
    progress: Progress = silent,
) -> Timeline:
    """Label recordings over time; write ``predictions.csv`` and ``predictions.png``.

    Parameters
    ----------
    classifier, source, overlap
        As in :func:`iter_predictions`.
    folder
        Where to write; made if it does not exist. Both files appear whole or not at all.
    progress
        Opens a progress bar.

    Raises
    ------
    InputError
        If the recordings cannot be read or give not a single window.
    """
    from .report.figures import save_timeline

    # Cutting is quick beside labelling. Doing it once ahead finds what is wrong with a file before
    # anything is written, and tells how long the work will take.
    config = _cutting(classifier, overlap)
    total = sum(len(batch) for batch in iter_windows(source, config, keep_unlabelled=True))
    if not total:
        raise InputError(
            f"{source.name}: no stretch of the recording lasts a window of {config.seconds:g} s "
            "(img2imu data check tells of gaps in its timestamps)"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "predictions.csv", folder / "predictions.png"]
    partial = [path.with_name(f"{path.name}.partial") for path in paths]
    bar = progress("predict (windows)", total)
    try:
        with partial[0].open("w", newline="", encoding="utf-8") as file:
            stream = _written(iter_predictions(classifier, source, overlap), classifier, file)
            timeline = _collect(_counted(stream, bar), [str(c) for c in classifier.classes_])
        save_timeline(partial[1], timeline)
        for part, path in zip(partial, paths, strict=True):
            part.replace(path)
    finally:
        bar.close()
        for part in partial:
            part.unlink(missing_ok=True)
    return timeline


def _cutting(classifier: Img2ImuClassifier, overlap: float) -> WindowConfig:
    seconds = classifier.n_samples_ / classifier.sampling_rate
    return WindowConfig(classifier.sampling_rate, seconds, overlap)


def _written(
    batches: Iterable[Predictions], classifier: Img2ImuClassifier, file: Any
) -> Iterator[Predictions]:
    """Hand the batches on, each written as rows of CSV."""
    classes = [str(name) for name in classifier.classes_]
    writer = csv.writer(file, lineterminator="\n")
    names = ["recording", "subject", "start", "end", "label", "confidence"]
    writer.writerow([*names, *(f"p_{name}" for name in classes)])
    for batch in batches:
        end = batch.windows.start + batch.windows.X.shape[-1] / batch.windows.sampling_rate
        rows = zip(
            batch.windows.recording.tolist(),
            batch.windows.subject.tolist(),
            (f"{value:.3f}" for value in batch.windows.start),
            (f"{value:.3f}" for value in end),
            (classes[code] for code in batch.code),
            (f"{value:.4f}" for value in batch.confidence),
            ([f"{value:.4f}" for value in row] for row in batch.probability),
            strict=True,
        )
        writer.writerows([*row, *probabilities] for *row, probabilities in rows)
        yield batch


def _counted(batches: Iterable[Predictions], bar: Any) -> Iterator[Predictions]:
    for batch in batches:
        yield batch
        bar.update(len(batch.windows))


def _collect(batches: Iterable[Predictions], classes: list[str]) -> Timeline:
    """Keep a few bytes of every window, and the envelopes of the first recordings."""
    codes = {name: code for code, name in enumerate(classes)}
    unknown: Counter[str] = Counter()
    tracks: list[Track] = []

    def key(batch: Predictions) -> tuple[str, str]:
        return str(batch.windows.subject[0]), str(batch.windows.recording[0])

    for (subject, recording), group in groupby(batches, key):
        envelope = None
        columns: list[tuple[NDArray[Any], ...]] = []
        clock: RunningTime | None = None
        for batch in group:
            windows = batch.windows
            seconds = windows.X.shape[-1] / windows.sampling_rate
            clock = clock or RunningTime(seconds)
            running = clock.of(windows.start)
            if len(tracks) < DRAWN:
                envelope = envelope or Envelope(windows.sampling_rate)
                envelope.add(running, windows.X)
            unknown.update(name for name in windows.y.tolist() if name not in codes)
            truth = np.array([codes.get(name, UNKNOWN) for name in windows.y.tolist()])
            columns.append((running, batch.code, batch.confidence, truth))
        start, code, confidence, truth = map(np.concatenate, zip(*columns, strict=True))
        tracks.append(Track(subject, recording, seconds, start, code, confidence, truth, envelope))
    unknown.pop(UNLABELLED, None)
    return Timeline(classes, tracks, unknown)
