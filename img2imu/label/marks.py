"""What somebody has said about stretches of recordings, and the file it lies in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, excerpt
from ..files import writable, write_text
from ..recordings import UNLABELLED
from ..recordings.readers.text import MISSING
from .recordings import Library, Recording

COLUMNS = ("subject", "file", "start", "end", "label", "how")
"""Of the file. All but the last are those that ``--labels`` reads."""

PROPOSED, BY_HAND, UNSURE = "proposed", "by hand", "unsure"
"""How a mark came about. What somebody is unsure about has no label, and is not asked again."""

LONGEST_NAME = 60
"""Letters of a class."""


@dataclass(frozen=True)
class Mark:
    """A stretch of a recording, and what somebody said it is.

    Attributes
    ----------
    recording
        Number in the library.
    start, end
        Seconds on the recording's clock.
    label
        Its class; ``UNLABELLED`` where somebody is unsure.
    how
        :data:`PROPOSED`, :data:`BY_HAND` or :data:`UNSURE`.
    """

    recording: int
    start: float
    end: float
    label: str
    how: str


@dataclass(frozen=True)
class Marks:
    """All marks, in the order in which they were made; no two of a recording overlap.

    Attributes
    ----------
    marks
        The marks.
    elsewhere
        Rows of the file that are about recordings which are not there now; they are kept.
    """

    marks: tuple[Mark, ...] = ()
    elsewhere: tuple[tuple[str, ...], ...] = field(default=(), repr=False)

    def erased(self, recording: int, stretches: Sequence[tuple[float, float]]) -> Marks:
        """Without what stands in these stretches of a recording."""
        marks = list(self.marks)
        for start, end in stretches:
            marks = [part for mark in marks for part in _around(mark, recording, start, end)]
        return replace(self, marks=tuple(marks))

    def and_mark(
        self, recording: int, stretches: Sequence[tuple[float, float]], label: str, how: str
    ) -> Marks:
        """With one mark more for each stretch; it replaces what stood there."""
        rest = self.erased(recording, stretches)
        new = [Mark(recording, start, end, label, how) for start, end in stretches]
        return replace(rest, marks=(*rest.marks, *new))

    def without_last(self) -> Marks:
        """Without what was said last."""
        return replace(self, marks=self.marks[:-1])

    def of_windows(self, library: Library) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
        """The label of every window, and which have been spoken of, both of shape (n,).

        As in :class:`~img2imu.recordings.WindowConfig`, a window's label is that of more than half
        of its samples.
        """
        labels = np.full(len(library), UNLABELLED, dtype=object)
        spoken = np.zeros(len(library), bool)
        shares: dict[tuple[int, str], NDArray[np.float64]] = {}
        for mark in self.marks:
            recording = library.recordings[mark.recording]
            share = _shares(recording, mark, library.seconds)
            key = mark.recording, mark.label
            shares[key] = shares.get(key, 0.0) + share
        for (number, label), share in shares.items():
            recording = library.recordings[number]
            inside = np.flatnonzero(share > 0.5 + 1e-6) + recording.first
            labels[inside] = label
            spoken[inside] = True
        return labels, spoken


def _around(mark: Mark, recording: int, start: float, end: float) -> Iterator[Mark]:
    """What is left of a mark outside of a stretch."""
    if mark.recording != recording or mark.end <= start or mark.start >= end:
        yield mark
        return
    if mark.start < start:
        yield replace(mark, end=start)
    if mark.end > end:
        yield replace(mark, start=end)


def _shares(recording: Recording, mark: Mark, seconds: float) -> NDArray[np.float64]:
    """Which part of each window of a recording lies within a mark."""
    begin = np.maximum(recording.start, mark.start)
    return np.maximum(np.minimum(recording.start + seconds, mark.end) - begin, 0) / seconds


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep every other process from labelling into the same file; a killed one lets go.

    Raises
    ------
    InputError
        If another one does.
    """
    from filelock import FileLock, Timeout

    lock = writable(path).with_name(f".lock-{path.name}")
    try:
        with FileLock(lock, blocking=False):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise InputError(f"another img2imu label writes {path}: go on in its page") from None


def require_class(name: str) -> str:
    """The name of a class as it is kept, or :class:`InputError` in one sentence."""
    plain = " ".join(name.split())
    if plain in MISSING:
        raise InputError(f"{name!r} is no name for a class: files say by it that there is none")
    if len(plain) > LONGEST_NAME or not plain.isprintable():
        raise InputError(f"a class has a name of at most {LONGEST_NAME} letters")
    return plain


def write_marks(path: Path, marks: Marks, library: Library) -> None:
    """Write the file, whole or not at all: what ``convert --labels`` reads."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(marks.elsewhere)
    for mark in marks.marks:
        recording = library.recordings[mark.recording]
        times = f"{mark.start:.3f}", f"{mark.end:.3f}"
        writer.writerow([recording.subject, _file(recording), *times, mark.label, mark.how])
    write_text(path, stream.getvalue())


def read_marks(path: Path, library: Library) -> Marks:
    """The marks of a file that :func:`write_marks` wrote; none where there is no file.

    Raises
    ------
    InputError
        If it is another file, or damaged.
    """
    if not path.exists():
        return Marks()
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            header, *rows = [tuple(row) for row in csv.reader(stream) if row] or [()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if header != COLUMNS:
        raise InputError(
            f"{path} exists and was not written by img2imu label: give another name to -o"
        )
    marks: list[Mark] = []
    elsewhere: list[tuple[str, ...]] = []
    for row in rows:
        found = _mark(path, row, library)
        if found is None:
            elsewhere.append(row)
        else:
            marks.append(found)
    return Marks(tuple(marks), tuple(elsewhere))


def _mark(path: Path, row: tuple[str, ...], library: Library) -> Mark | None:
    """The mark in a row; None where its recording is not there."""
    try:
        subject, file, begin, until, label, how = row
        start, end = float(begin), float(until)
        if not start < end:
            raise ValueError
    except ValueError:
        raise InputError(f"{path} has a row that is no mark: {excerpt(','.join(row))!r}") from None
    for number, recording in enumerate(library.recordings):
        if (recording.subject, _file(recording)) != (subject, file):
            continue
        # Stretches of one person in one file are recordings of their own, each with its times.
        spans = [(run.start, run.start + run.seconds) for run in recording.runs]
        if any(low < end and high > start for low, high in spans):
            return Mark(number, start, end, label, how)
    return None


def _file(recording: Recording) -> str:
    """The recording's file as files of labels name it."""
    return recording.name.partition("#")[0]
