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
from scipy.special import softmax

from ..cache import tidy, used
from ..errors import InputError
from ..fewshot import Img2ImuClassifier
from ..files import cache_folder, writing
from ..hashing import code_hash, content_hash
from ..progress import Progress, silent
from ..recordings import UNLABELLED, Source, WindowConfig, Windows, iter_windows
from ..recordings.windows import WindowReport
from .bouts import iso_date
from .smoothing import Smoother
from .tracks import UNKNOWN, UNKNOWN_LABEL, Envelope, RunningTime, Timeline, Track

DRAWN = 4
"""Recordings that keep what a picture of them needs."""


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about a batch of windows.

    Attributes
    ----------
    windows
        The windows themselves.
    logits
        Shape (n, classes), float32, in the order of the classifier's `classes_`.
    strangeness
        Shape (n,), float32: how little each is like the classes.
    """

    windows: Windows
    logits: NDArray[np.float32]
    strangeness: NDArray[np.float32]

    @property
    def probability(self) -> NDArray[np.float32]:
        """Of each class, shape (n, classes)."""
        return softmax(self.logits, axis=1)

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

    What was answered lies in the cache by content: after a kill only the rest is computed.

    Parameters
    ----------
    classifier
        A fitted one; recordings at another rate are resampled to its own.
    source
        The recordings.
    overlap
        Share of a window that the next one repeats.
    """
    kept = AnswerCache(classifier)
    for windows in _windows(classifier, source, overlap):
        yield Predictions(windows, *kept.judge(windows.X))
    tidy()


class AnswerCache:
    """A classifier's answers on disk, found again by the content of windows and classifier."""

    CODE = ("img2imu.convert", "img2imu.models", "img2imu.fewshot.classifier")
    """What computes them."""

    def __init__(self, classifier: Img2ImuClassifier) -> None:
        self._classifier = classifier
        weights = classifier.network_.state_dict()
        self._key = content_hash(
            code_hash(*self.CODE), classifier.metadata(), list(weights), *weights.values()
        )
        self._folder = cache_folder() / "answers"

    def judge(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As the classifier's, from disk or computed now."""
        path = self._folder / f"{content_hash(self._key, X)}.npy"
        try:
            answers = np.asarray(np.load(path, allow_pickle=False), np.float32)
            if answers.shape == (len(X), len(self._classifier.classes_) + 1):
                used(path)
                return answers[:, :-1], answers[:, -1]
        except (OSError, ValueError):
            pass  # not there, or damaged
        logits, strange = self._classifier.judge(X)
        self._folder.mkdir(parents=True, exist_ok=True)
        with writing(path) as partial:
            np.save(partial, np.column_stack([logits, strange]), allow_pickle=False)
        return logits, strange


def predict_recordings(
    classifier: Img2ImuClassifier,
    source: Source,
    path: str | Path,
    overlap: float = 0.5,
    progress: Progress = silent,
    *,
    smooth: bool = True,
    keep: float = 0.95,
) -> Timeline:
    """Label recordings over time, and write every window's labels as CSV.

    Its columns are ``recording``, ``subject``, ``start`` and ``end`` in seconds since the
    recording's first sample, ``time``, ``label``, ``confidence`` and what the classifier says of
    the window alone: each class' probability. ``label`` is the likeliest class given the whole
    recording (:mod:`.smoothing`) and ``confidence`` its probability; the label is ``unknown`` where
    windows are stranger than those of the classes. ``time`` is the date at the window's start in
    ISO 8601, in UTC where the recording states a zone, else as the recording has it; empty where it
    has no dates.

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
    keep
        Share of the windows of known classes that are to keep their label, rather than be called
        unknown; 1 calls none so.

    Raises
    ------
    InputError
        If the recordings cannot be read or give not a single window.
    """
    # Cutting is quick beside labelling. Doing it once ahead finds what is wrong with a file before
    # anything is written, and tells how long the work will take.
    report = WindowReport()
    total = sum(len(batch) for batch in _windows(classifier, source, overlap, report))
    if not total:
        seconds = classifier.n_samples_ / classifier.sampling_rate
        raise InputError(
            f"{source.name}: no stretch of the recording lasts a window of {seconds:g} s "
            "(img2imu data check tells of gaps in its timestamps)"
        )
    bar = progress("predict (windows)", total)
    smoother = Smoother.of(classifier, overlap) if smooth else None
    strangest = classifier.strangest(keep)
    classes = [str(name) for name in classifier.classes_]
    unknown: Counter[str] = Counter()
    tracks: list[Track] = []
    with writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"p_{name}" for name in classes)])
        stream = _counted(iter_predictions(classifier, source, overlap), bar)
        for _, batches in groupby(stream, key=_recording):
            answers, seconds, envelope = _gathered(batches, drawn=len(tracks) < DRAWN)
            told = answers.labels(smoother, strangest, keep)
            writer.writerows(answers.rows(classes, seconds, *told))
            unknown.update(name for name in answers.label.tolist() if name not in classes)
            tracks.append(answers.track(classes, seconds, *told, envelope))
    bar.close()
    unknown.pop(UNLABELLED, None)
    return Timeline(classes, tracks, unknown, report.to_dict())


def _windows(
    classifier: Img2ImuClassifier,
    source: Source,
    overlap: float,
    report: WindowReport | None = None,
) -> Iterator[Windows]:
    """All windows of the recordings, at the classifier's rate, of its sensors."""
    seconds = classifier.n_samples_ / classifier.sampling_rate
    config = WindowConfig(classifier.sampling_rate, seconds, overlap)
    wanted = tuple(classifier.sensors)
    for windows in iter_windows(source, config, keep_unlabelled=True, report=report):
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
    logits, strangeness
        Shape (n, classes) and (n,): each window's by itself.
    """

    subject: str
    recording: str
    start: NDArray[np.float64]
    epoch: NDArray[np.float64]
    running: NDArray[np.float64]
    label: NDArray[np.str_]
    logits: NDArray[np.float32]
    strangeness: NDArray[np.float32]

    def labels(
        self, smoother: Smoother | None, strangest: float, keep: float
    ) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
        """Number of each window's label, :data:`UNKNOWN` where strange, and the confidence."""
        probability: NDArray[np.floating] = softmax(self.logits, axis=1)
        strange = self.strangeness > strangest
        if smoother is not None:
            probability = smoother.smoothed(self.start, probability)
            strange = smoother.strange(self.start, strange, keep)
        return np.where(strange, UNKNOWN, probability.argmax(1)), probability.max(1)

    def rows(
        self,
        classes: list[str],
        seconds: float,
        code: NDArray[np.intp],
        confidence: NDArray[np.floating],
    ) -> Iterator[list[str]]:
        """Of the CSV file."""
        names = [*classes, UNKNOWN_LABEL]
        own = softmax(self.logits, axis=1)
        columns = zip(self.start, self.epoch, code, confidence, own, strict=True)
        for start, epoch, number, sure, probability in columns:
            span = [f"{start:.3f}", f"{start + seconds:.3f}", iso_date(epoch)]
            each = [f"{value:.4f}" for value in (sure, *probability)]
            yield [self.recording, self.subject, *span, names[number], *each]

    def track(
        self,
        classes: list[str],
        seconds: float,
        code: NDArray[np.intp],
        confidence: NDArray[np.floating],
        envelope: Envelope | None,
    ) -> Track:
        """What is left for the summary, the picture and the report."""
        codes = {name: number for number, name in enumerate(classes)}
        return Track(
            self.subject,
            self.recording,
            seconds,
            self.running,
            code,
            confidence.astype(np.float32),
            np.array([codes.get(name, UNKNOWN) for name in self.label.tolist()]),
            envelope,
            self.start,
            self.epoch,
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
        answers = batch.logits, batch.strangeness
        columns.append((windows.start, windows.epoch, running, windows.y, *answers))
    whole = map(np.concatenate, zip(*columns, strict=True))
    return Answers(*_recording(first), *whole), seconds, envelope


def _counted(batches: Iterable[Predictions], bar: Any) -> Iterator[Predictions]:
    for batch in batches:
        yield batch
        bar.update(len(batch.windows))
