"""A classifier applied to whole recordings, in bounded memory."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fewshot import Img2ImuClassifier
from ..files import writing
from ..progress import Progress, silent
from ..recordings import UNLABELLED, Source, WindowConfig, Windows, iter_windows
from .smoothing import Smoother
from .tracks import UNKNOWN, Envelope, RunningTime, Timeline, Track

DRAWN = 4
"""Recordings that keep what a picture of them needs."""


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
    for windows in _windows(classifier, source, overlap):
        yield Predictions(windows, classifier.predict_proba(windows.X))


def predict_recordings(
    classifier: Img2ImuClassifier,
    source: Source,
    path: str | Path,
    overlap: float = 0.5,
    progress: Progress = silent,
    *,
    smooth: bool = True,
) -> Timeline:
    """Label recordings over time, and write every window's labels as CSV.

    Its columns are ``recording``, ``subject``, ``start`` and ``end`` in seconds since the
    recording's first sample, ``time``, ``label``, ``confidence`` and what the classifier says of
    the window alone: each class' probability. ``label`` is the likeliest class given the whole
    recording (:mod:`.smoothing`) and ``confidence`` its probability. ``time`` is the date at the
    window's start in ISO 8601, in UTC where the recording states a zone, else as the recording has
    it; empty where it has no dates.

    Parameters
    ----------
    classifier, source, overlap
        As in :func:`iter_predictions`.
    path
        Of the CSV file, which appears whole or not at all.
    progress
        Opens a progress bar.
    smooth
        Whether neighbouring windows tell each other anything; without, each stands by itself.

    Raises
    ------
    InputError
        If the recordings cannot be read or give not a single window.
    """
    # Cutting is quick beside labelling. Doing it once ahead finds what is wrong with a file before
    # anything is written, and tells how long the work will take.
    total = sum(len(batch) for batch in _windows(classifier, source, overlap))
    if not total:
        seconds = classifier.n_samples_ / classifier.sampling_rate
        raise InputError(
            f"{source.name}: no stretch of the recording lasts a window of {seconds:g} s "
            "(img2imu data check tells of gaps in its timestamps)"
        )
    bar = progress("predict (windows)", total)
    smoother = Smoother.of(classifier, overlap) if smooth else None
    classes = [str(name) for name in classifier.classes_]
    unknown: Counter[str] = Counter()
    tracks: list[Track] = []
    with writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"p_{name}" for name in classes)])
        stream = _counted(iter_predictions(classifier, source, overlap), bar)
        for _, batches in groupby(stream, key=_recording):
            answers, seconds, envelope = _gathered(batches, drawn=len(tracks) < DRAWN)
            smoothed = answers.smoothed(smoother)
            writer.writerows(answers.rows(classes, seconds, smoothed))
            unknown.update(name for name in answers.label.tolist() if name not in classes)
            tracks.append(answers.track(classes, seconds, smoothed, envelope))
    bar.close()
    unknown.pop(UNLABELLED, None)
    return Timeline(classes, tracks, unknown)


def _windows(classifier: Img2ImuClassifier, source: Source, overlap: float) -> Iterator[Windows]:
    """All windows of the recordings, at the classifier's rate, of its sensors."""
    seconds = classifier.n_samples_ / classifier.sampling_rate
    config = WindowConfig(classifier.sampling_rate, seconds, overlap)
    wanted = tuple(classifier.sensors)
    for windows in iter_windows(source, config, keep_unlabelled=True):
        if windows.sensors != wanted:
            raise InputError(
                f"the classifier takes {' and '.join(wanted)}, and {source.name} was read for "
                f"{' and '.join(windows.sensors)}: --sensors {' '.join(wanted)}"
            )
        yield windows


@dataclass(frozen=True)
class Answers:
    """What is kept of the windows of a recording: some bytes of each.

    Attributes
    ----------
    subject, recording
        Whose recording, and which.
    start, epoch, running
        Shape (n,): seconds since the first sample, since 1970, and of a :class:`RunningTime`.
    label
        Shape (n,): what the recording itself states.
    probability
        Shape (n, classes): each window's by itself.
    """

    subject: str
    recording: str
    start: NDArray[np.float64]
    epoch: NDArray[np.float64]
    running: NDArray[np.float64]
    label: NDArray[np.str_]
    probability: NDArray[np.float32]

    def smoothed(self, smoother: Smoother | None) -> NDArray[np.floating]:
        """The probabilities given all windows, or as they are."""
        if smoother is None:
            return self.probability
        return smoother.smoothed(self.start, self.probability)

    def rows(
        self, classes: list[str], seconds: float, smoothed: NDArray[np.floating]
    ) -> Iterator[list[str]]:
        """Of the CSV file."""
        columns = zip(
            self.start, self.epoch, smoothed.argmax(1), smoothed.max(1), self.probability,
            strict=True,
        )  # fmt: skip
        for start, epoch, code, confidence, probability in columns:
            span = [f"{start:.3f}", f"{start + seconds:.3f}", _date(epoch)]
            each = [f"{value:.4f}" for value in (confidence, *probability)]
            yield [self.recording, self.subject, *span, classes[code], *each]

    def track(
        self,
        classes: list[str],
        seconds: float,
        smoothed: NDArray[np.floating],
        envelope: Envelope | None,
    ) -> Track:
        """What is left for the summary and the picture."""
        codes = {name: code for code, name in enumerate(classes)}
        truth = np.array([codes.get(name, UNKNOWN) for name in self.label.tolist()])
        return Track(
            self.subject,
            self.recording,
            seconds,
            self.running,
            smoothed.argmax(1),
            smoothed.max(1).astype(np.float32),
            truth,
            envelope,
        )


COLUMNS = ("recording", "subject", "start", "end", "time", "label", "confidence")
"""Of the CSV file, before the probabilities."""


def _recording(batch: Predictions) -> tuple[str, str]:
    return str(batch.windows.subject[0]), str(batch.windows.recording[0])


def _gathered(
    batches: Iterable[Predictions], drawn: bool
) -> tuple[Answers, float, Envelope | None]:
    """The answers to the windows of a recording, their length, and the envelope if it is drawn."""
    batches = iter(batches)
    first = next(batches)
    rate = first.windows.sampling_rate
    seconds = first.windows.X.shape[-1] / rate
    clock, envelope = RunningTime(seconds), Envelope(rate) if drawn else None
    columns: list[tuple[NDArray[Any], ...]] = []
    for batch in chain([first], batches):
        windows = batch.windows
        running = clock.of(windows.start)
        if envelope is not None:
            envelope.add(running, windows.X)
        columns.append((windows.start, windows.epoch, running, windows.y, batch.probability))
    whole = map(np.concatenate, zip(*columns, strict=True))
    return Answers(*_recording(first), *whole), seconds, envelope


def _date(epoch: float) -> str:
    """Seconds since 1970 as ISO 8601, in UTC; empty where not known."""
    return "" if np.isnan(epoch) else str(np.datetime64(round(epoch * 1000), "ms"))


def _counted(batches: Iterable[Predictions], bar: Any) -> Iterator[Predictions]:
    for batch in batches:
        yield batch
        bar.update(len(batch.windows))
