"""Recordings as they are labelled: their windows, and their samples at any width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert import SpectrogramConfig
from ..convert.reference import power_density
from ..errors import InputError
from ..progress import Progress, silent
from ..recordings import Piece, Source, WindowConfig, iter_windows
from ..recordings.windows import WindowReport, nothing_left
from .levels import Levels

LONGEST_SILENCE = 600.0
"""Seconds without samples that a timeline shows as they are; longer ones, and steps back of the
clock, become a pause of one window."""

FRAME = 1.28
"""Length in seconds of a spectrogram's frame, rounded to a power of two of samples."""

CLOSE = 120.0
"""Seconds up to which a spectrogram is computed as closely as it is looked at."""


@dataclass(frozen=True)
class Run:
    """A stretch of a recording without a gap.

    Attributes
    ----------
    at
        Seconds on the timeline at which it is shown.
    start
        Seconds on the recording's clock, as files of labels count them.
    first, windows
        Number of its first window among the recording's, and how many there are.
    values
        Shape (axes, samples), in the sensors' units.
    sampling_rate
        In Hz.
    """

    at: float
    start: float
    first: int
    windows: int
    values: NDArray[np.float32]
    sampling_rate: float

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.values.shape[1] / self.sampling_rate

    @cached_property
    def lowest(self) -> Levels:
        """Of the samples."""
        return Levels(self.values, np.minimum)

    @cached_property
    def highest(self) -> Levels:
        """Of the samples."""
        return Levels(self.values, np.maximum)

    @cached_property
    def frames(self) -> Levels:
        """The spectrogram, (sensors, 3, bins, frames) in decibels, in frames that share a half."""
        hop = frame(self.sampling_rate) // 2
        return Levels(self.spectrogram(0, self.values.shape[1], hop), np.add)

    def spectrogram(self, first: int, last: int, hop: int) -> NDArray[np.float32]:
        """Decibels of samples `first` to `last`, (sensors, 3, bins, frames), each `hop` a frame."""
        nfft = frame(self.sampling_rate)
        view = SpectrogramConfig(self.sampling_rate, nfft, nfft - hop)
        sensors = self.values.reshape(-1, 3, self.values.shape[1])[:, :, first:last]
        # The lowest bin is gravity, which outshines whatever moves.
        power = power_density(sensors, view)[:, :, 1:]
        return (10 * np.log10(np.maximum(power, view.floor))).astype(np.float32)


def frame(sampling_rate: float) -> int:
    """Samples of a spectrogram's frame."""
    return max(8, 2 ** round(np.log2(FRAME * sampling_rate)))


@dataclass(frozen=True)
class Recording:
    """A recording of a person.

    Attributes
    ----------
    subject, name
        Whose, and which.
    began
        Wall-clock time at which its clock is 0; None where it knows none.
    runs
        In the order of the timeline.
    start
        Shape (n,): where each window starts on the recording's clock, in seconds.
    first
        Number of its first window among those of all recordings.
    """

    subject: str
    name: str
    began: datetime | None
    runs: list[Run]
    start: NDArray[np.float64]
    first: int

    @property
    def seconds(self) -> float:
        """Length of its timeline."""
        return self.runs[-1].at + self.runs[-1].seconds

    @cached_property
    def shown(self) -> NDArray[np.float64]:
        """Shape (n,): where each window starts on the timeline."""
        parts = [run.at - run.start + self.start[run.first : run.first + run.windows]
                 for run in self.runs]  # fmt: skip
        return np.concatenate(parts)

    def stretches(self, begin: float, end: float) -> list[tuple[float, float]]:
        """What a stretch of the timeline is on the recording's clock, one for each run in it."""
        found = []
        for run in self.runs:
            low, high = max(begin, run.at), min(end, run.at + run.seconds)
            if high > low:
                found.append((low - run.at + run.start, high - run.at + run.start))
        return found

    def shown_stretches(self, start: float, end: float) -> list[tuple[float, float]]:
        """Where a stretch of the recording's clock is on the timeline, in each run it meets."""
        found = []
        for run in self.runs:
            low, high = max(start, run.start), min(end, run.start + run.seconds)
            if high > low:
                found.append((low - run.start + run.at, high - run.start + run.at))
        return found

    def envelope(self, begin: float, end: float, width: int) -> NDArray[np.float32]:
        """Least and largest value in each of `width` equal columns of the timeline.

        Returns
        -------
        ndarray of shape (2, axes, columns)
            NaN where there is no sample; no more columns than samples.
        """
        rate, axes = self.runs[0].sampling_rate, len(self.runs[0].values)
        width = max(1, min(width, round((end - begin) * rate)))
        drawn = np.full((2, axes, width), np.nan, np.float32)
        for run, columns, edges in self._visible(begin, end, width):
            nearest = np.clip(np.round((edges - run.at) * rate), 0, run.values.shape[1])
            places = nearest.astype(np.intp)
            # A column may show the end of one run and the beginning of the next.
            lowest, highest = drawn[0][:, columns], drawn[1][:, columns]
            np.fmin(lowest, run.lowest.columns(places), out=lowest)
            np.fmax(highest, run.highest.columns(places), out=highest)
        return drawn

    def spectrogram(self, begin: float, end: float, width: int) -> NDArray[np.float32]:
        """Decibels in each of `width` equal columns: (sensors, 3, bins, width), NaN for silence."""
        rate, axes = self.runs[0].sampling_rate, len(self.runs[0].values)
        nfft = frame(rate)
        drawn = np.full((axes // 3, 3, nfft // 2, width), np.nan, np.float32)
        for run, columns, edges in self._visible(begin, end, width):
            if run.values.shape[1] < nfft:
                continue
            hop = nfft // 2
            frames, offset = run.frames, 0.0
            if end - begin <= CLOSE:
                hop = max(1, nfft // 16)
                first = int(max(0, (edges[0] - run.at) * rate - nfft))
                last = int(min(run.values.shape[1], (edges[-1] - run.at) * rate + nfft))
                first = max(0, min(first, last - nfft))
                frames = Levels(run.spectrogram(first, max(last, first + nfft), hop), np.add)
                offset = first / rate
            # A frame stands for its middle.
            places = ((edges - run.at - offset) * rate - nfft / 2) / hop + 0.5
            drawn[..., columns] = frames.columns(np.maximum(places, 0).astype(np.intp))
        return drawn

    def _visible(
        self, begin: float, end: float, width: int
    ) -> Iterator[tuple[Run, slice, NDArray[np.float64]]]:
        """Runs within the stretch, which columns show them, and the edges of these."""
        step = (end - begin) / width
        for run in self.runs:
            low = int(max(0, np.floor((run.at - begin) / step + 1e-6)))
            high = int(min(width, np.ceil((run.at + run.seconds - begin) / step - 1e-6)))
            if high > low:
                edges = np.linspace(begin + step * low, begin + step * high, high - low + 1)
                yield run, slice(low, high), edges

    @cached_property
    def range(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Darkest and brightest decibels of each sensor, by which spectrograms are coloured."""
        sensors = len(self.runs[0].values) // 3
        parts = [
            run.frames.columns(np.linspace(0, run.frames.count, 400).astype(np.intp))
            for run in self.runs
            if run.values.shape[1] >= frame(run.sampling_rate)
        ]
        if not parts:
            return np.zeros(sensors, np.float32), np.ones(sensors, np.float32)
        every = np.concatenate(parts, axis=-1)
        low, high = np.percentile(every.reshape(len(every), -1), (10, 99.9), axis=1)
        return low.astype(np.float32), np.maximum(high, low + 1).astype(np.float32)


@dataclass(frozen=True)
class Library:
    """All recordings, and the windows that they are cut into, in one order.

    Attributes
    ----------
    name
        Of the source.
    recordings
        In the order of the source.
    sensors
        Their names.
    config
        How they are cut.
    """

    name: str
    recordings: list[Recording]
    sensors: tuple[str, ...]
    config: WindowConfig

    def __len__(self) -> int:
        last = self.recordings[-1]
        return last.first + len(last.start)

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """Shape (n,): number of each window's recording."""
        counts = [len(recording.start) for recording in self.recordings]
        return np.repeat(np.arange(len(counts)), counts)

    @cached_property
    def start(self) -> NDArray[np.float64]:
        """Shape (n,): where each window starts on its recording's clock, in seconds."""
        return np.concatenate([recording.start for recording in self.recordings])

    @cached_property
    def subject(self) -> NDArray[np.str_]:
        """Shape (n,): whose each window is."""
        return np.array([recording.subject for recording in self.recordings])[self.owner]

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.config.samples / self.config.sampling_rate

    def windows(self, numbers: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:
        """The samples of some windows, (n, axes, samples)."""
        taken = np.empty((len(numbers), 3 * len(self.sensors), self.config.samples), np.float32)
        for place, number in enumerate(numbers):
            recording = self.recordings[self.owner[number]]
            inside = number - recording.first
            run = next(r for r in reversed(recording.runs) if r.first <= inside)
            first = (inside - run.first) * self.config.stride
            taken[place] = run.values[:, first : first + self.config.samples]
        return taken


def read_library(source: Source, config: WindowConfig, progress: Progress = silent) -> Library:
    """Read all recordings into memory: 2 MB for an hour of an accelerometer at 50 Hz.

    Labels that the recordings bring along are not looked at.

    Raises
    ------
    InputError
        If they give not a single window, or differ in their sensors.
    """
    watched, report = _Watched(source), WindowReport()
    builder: _Builder | None = None
    recordings: list[Recording] = []
    sensors: tuple[str, ...] = ()
    bar = progress(f"{source.name} (windows)", None)  # type: ignore[arg-type]
    for batch in iter_windows(watched, config, keep_unlabelled=True, report=report):
        key = str(batch.subject[0]), str(batch.recording[0])
        sensors = sensors or batch.sensors
        if batch.sensors != sensors:
            raise InputError(
                f"recordings are labelled by the same sensors: {key[1]} has "
                f"{' and '.join(batch.sensors)}, others have {' and '.join(sensors)}"
            )
        if builder is None or builder.key != key:
            recordings += [builder.recording()] if builder else []
            origin, began = watched.opened[key]
            first = recordings[-1].first + len(recordings[-1].start) if recordings else 0
            builder = _Builder(key, config, origin, began, first)
        builder.add(batch.X, batch.start)
        bar.update(len(batch))
    bar.close()
    if builder is None:
        raise InputError(nothing_left(source.name, config, report))
    return Library(source.name, [*recordings, builder.recording()], sensors, config)


@dataclass
class _Watched:
    """Hands pieces on and keeps when each recording began."""

    source: Source
    opened: dict[tuple[str, str], tuple[float, datetime | None]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def report(self) -> Any:
        return self.source.report

    def pieces(self) -> Iterator[Piece]:
        for piece in self.source.pieces():
            began = piece.began and piece.began.replace(tzinfo=UTC)  # as a clock on the wall shows
            key = piece.subject, piece.recording
            self.opened.setdefault(key, (float(piece.time[0]), began))
            yield piece


class _Builder:
    """Puts a recording together from its windows."""

    def __init__(
        self,
        key: tuple[str, str],
        config: WindowConfig,
        origin: float,
        began: datetime | None,
        first: int,
    ) -> None:
        self.key, self._config, self._origin, self._began, self._first = (
            key, config, origin, began, first
        )  # fmt: skip
        self._runs: list[Run] = []
        self._values: list[NDArray[np.float32]] = []
        self._starts: list[NDArray[np.float64]] = []

    def add(self, X: NDArray[np.float32], start: NDArray[np.float64]) -> None:
        """Windows that follow those before, (n, axes, samples), and where they start."""
        step = self._config.stride / self._config.sampling_rate
        start = start + self._origin
        before = self._starts[-1][-1:] if self._starts else start[:1] - step
        jumps = np.abs(np.diff(start, prepend=before) - step) > 0.5 / self._config.sampling_rate
        for part in np.split(np.arange(len(start)), np.flatnonzero(jumps)):
            if not len(part):
                continue
            if jumps[part[0]]:
                self._close()
            # Windows repeat what the stride leaves of them; the last one of a run is whole.
            stride = self._config.stride
            if self._values:
                self._values[-1] = self._values[-1][:, :stride]
            self._values += [*X[part][:-1, :, :stride], X[part[-1]]]
            self._starts.append(start[part])

    def _close(self) -> None:
        """End a run."""
        rate, before = self._config.sampling_rate, self._runs[-1] if self._runs else None
        if not self._values:
            return
        values = np.concatenate(self._values, axis=1)
        first = before.first + before.windows if before else 0
        start = np.concatenate(self._starts)[first]
        at = 0.0
        if before:
            silence = start - before.start - before.seconds
            ordinary = 0 <= silence <= LONGEST_SILENCE
            at = before.at + before.seconds + (silence if ordinary else self._config.seconds)
        count = sum(map(len, self._starts)) - first
        self._runs.append(Run(at, float(start), first, count, values, rate))
        self._values = []

    def recording(self) -> Recording:
        self._close()
        return Recording(
            *self.key, self._began, self._runs, np.concatenate(self._starts), self._first
        )
