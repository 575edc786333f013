"""A classifier applied to whole recordings, in bounded memory."""

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

from ..errors import InputError
from ..fewshot import Img2ImuClassifier
from ..files import writing
from ..progress import Progress, silent
from ..recordings import UNLABELLED, Source, WindowConfig, Windows, iter_windows
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
) -> Timeline:
    """Label recordings over time, and write every window's labels as CSV.

    Its columns are ``recording``, ``subject``, ``start`` and ``end`` in seconds since the
    recording's first sample, ``time``, ``label``, ``confidence`` and each class' probability.
    ``time`` is the date at the window's start in ISO 8601, in UTC where the recording states a
    zone, else as the recording has it; empty where it has no dates.

    Parameters
    ----------
    classifier, source, overlap
        As in :func:`iter_predictions`.
    path
        Of the CSV file, which appears whole or not at all.
    progress
        Opens a progress bar.

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
    with writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        stream = _written(iter_predictions(classifier, source, overlap), classifier, file)
        timeline = _collect(_counted(stream, bar), [str(c) for c in classifier.classes_])
    bar.close()
    return timeline


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


def _written(
    batches: Iterable[Predictions], classifier: Img2ImuClassifier, file: Any
) -> Iterator[Predictions]:
    """Hand the batches on, each written as rows of CSV."""
    classes = [str(name) for name in classifier.classes_]
    writer = csv.writer(file, lineterminator="\n")
    names = ["recording", "subject", "start", "end", "time", "label", "confidence"]
    writer.writerow([*names, *(f"p_{name}" for name in classes)])
    for batch in batches:
        end = batch.windows.start + batch.windows.X.shape[-1] / batch.windows.sampling_rate
        rows = zip(
            batch.windows.recording.tolist(),
            batch.windows.subject.tolist(),
            (f"{value:.3f}" for value in batch.windows.start),
            (f"{value:.3f}" for value in end),
            map(_date, batch.windows.epoch),
            (classes[code] for code in batch.code),
            (f"{value:.4f}" for value in batch.confidence),
            ([f"{value:.4f}" for value in row] for row in batch.probability),
            strict=True,
        )
        writer.writerows([*row, *probabilities] for *row, probabilities in rows)
        yield batch


def _date(epoch: float) -> str:
    """Seconds since 1970 as ISO 8601, in UTC; empty where not known."""
    return "" if np.isnan(epoch) else str(np.datetime64(round(epoch * 1000), "ms"))


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
