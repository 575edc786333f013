"""Recordings to labelled windows of one length and rate, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from itertools import chain, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, excerpt, listing
from .labels import is_missing, label_texts
from .resampling import CleanReport, Resampler, UniformBlock
from .sensors import ACCELEROMETER, as_sensors, axes_of
from .types import UNLABELLED, Piece, RowReport, Source

BLOCK = 65_536
"""Samples worked on at once, however long a reader's pieces are."""


@dataclass(frozen=True)
class WindowConfig:
    """How recordings are cut into windows.

    Parameters
    ----------
    sampling_rate
        Of the windows, in Hz; recordings at other rates are resampled.
    seconds
        Length of a window. The paper uses 2, 5 and 10 s.
    overlap
        Share of a window that the next one repeats, from 0 to below 1.
    min_label_share
        A window belongs to its commonest class if more than this share of its samples does, from 0
        to below 1; on a tie it belongs to none.
    max_gap
        Longest step of time in seconds that is bridged; by default half a second or five sample
        periods, whichever is longer. No window spans a longer one, unless samples may be missing.
    missing
        Largest share of a window's samples that may be missing, from 0 to below 1; missing ones
        are NaN on all axes of a sensor. With more than 0, windows span gaps of up to that share of
        a window, and stretches without a sensor.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    sampling_rate: float = 50.0
    seconds: float = 5.0
    overlap: float = 0.5
    min_label_share: float = 0.5
    max_gap: float | None = None
    missing: float = 0.0

    def __post_init__(self) -> None:
        for name in ("sampling_rate", "seconds", "max_gap"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"{name} must be a positive number, not {value}")
        for name in ("overlap", "min_label_share", "missing"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be from 0 to below 1, not {getattr(self, name)}")
        if self.samples < 2:
            raise InputError(
                f"a window of {self.seconds:g} s at {self.sampling_rate:g} Hz has fewer than two "
                "samples"
            )

    @property
    def samples(self) -> int:
        """Length of a window."""
        return round(self.sampling_rate * self.seconds)

    @property
    def stride(self) -> int:
        """Samples between the starts of neighbouring windows, at least one."""
        return max(1, round(self.samples * (1 - self.overlap)))


@dataclass(frozen=True)
class Windows:
    """Windows with what is known about each.

    Attributes
    ----------
    X
        Shape (n, 3 * sensors, samples), float32: x, y and z of each sensor in turn, acceleration in
        g, rotation in rad/s, magnetic field in uT; NaN where a sensor's sample is missing.
    y
        Shape (n,), str: class, or ``UNLABELLED``; made from any :func:`label_texts` takes.
    subject
        Shape (n,), str: who wore the sensor.
    recording
        Shape (n,), str.
    start
        Shape (n,), float64: seconds since the recording's first sample.
    sampling_rate
        In Hz.
    epoch
        Shape (n,), float64: when each began, in seconds since 1970 in UTC; NaN where the recording
        does not tell the date, and where not given.
    sensors
        Their names: ``accel``, ``gyro``, ``magn``, or with a place before, as in ``wrist.gyro``.
    """

    X: NDArray[np.float32]
    y: NDArray[np.str_]
    subject: NDArray[np.str_]
    recording: NDArray[np.str_]
    start: NDArray[np.float64]
    sampling_rate: float
    epoch: NDArray[np.float64] = None  # type: ignore[assignment]
    sensors: tuple[str, ...] = ACCELEROMETER

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", label_texts(self.y))
        if self.epoch is None:
            object.__setattr__(self, "epoch", np.full(len(self), np.nan))
        object.__setattr__(self, "sensors", as_sensors(self.sensors))
        require_axes(self.X, self.sensors)
        for name in ("y", "subject", "recording", "start", "epoch"):
            shape = getattr(self, name).shape
            if shape != (len(self),):
                raise InputError(f"{name} has shape {shape} for {len(self)} windows in X")

    def __len__(self) -> int:
        return len(self.X)

    @property
    def classes(self) -> list[str]:
        """The labels that occur, sorted."""
        return sorted(set(self.y.tolist()) - {UNLABELLED})

    @property
    def subjects(self) -> list[str]:
        """The subjects that occur, sorted."""
        return sorted(set(self.subject.tolist()))

    @property
    def incomplete(self) -> NDArray[np.bool_]:
        """Mask of shape (n,): the windows in which samples are missing."""
        return np.asarray(np.isnan(self.X).any(axis=(1, 2)))

    def select(self, index: NDArray[Any] | slice) -> Windows:
        """The windows under a mask, an index array or a slice."""
        return replace(self, **{name: getattr(self, name)[index] for name in _PER_WINDOW})

    def only(self, sensors: Sequence[str]) -> Windows:
        """The windows as some of their sensors saw them."""
        if as_sensors(sensors) == self.sensors:
            return self
        X = np.ascontiguousarray(self.X[:, axes_of(self.sensors, sensors)])
        return replace(self, X=X, sensors=tuple(sensors))

    @staticmethod
    def concatenate(batches: Sequence[Windows]) -> Windows:
        """All windows of one or more batches of the same length, rate and sensors."""
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(batch, name) for batch in batches])
            for name in _PER_WINDOW
        }
        return replace(batches[0], **joined)


def require_axes(X: NDArray[Any], sensors: Sequence[str], what: str = "X") -> None:
    """Raise :class:`InputError` unless `X` has three axes for each sensor."""
    axes = 3 * len(sensors)
    if X.ndim == 3 and X.shape[1] == axes:
        return
    named = f" for {' and '.join(sensors)}"
    if tuple(sensors) == ACCELEROMETER:
        several = X.ndim == 3 and X.shape[1] and X.shape[1] % 3 == 0
        named = ": three axes of each sensor, named by sensors" if several else ""
    raise InputError(f"{what} must have shape (n, {axes}, samples), not {X.shape}{named}")


def form_of(windows: Windows) -> tuple[int, float, tuple[str, ...]]:
    """What windows of one file share: samples, sampling rate and sensors."""
    return windows.X.shape[2], windows.sampling_rate, windows.sensors


def describe(form: tuple[int, float, tuple[str, ...]]) -> str:
    """The form of windows, in words."""
    samples, rate, sensors = form
    named = "" if sensors == ACCELEROMETER else f" of {' and '.join(sensors)}"
    return f"{samples} samples at {rate:g} Hz{named}"


@dataclass(frozen=True)
class Subjects:
    """Whose windows are taken.

    Parameters
    ----------
    only
        Theirs alone; None takes everybody's.
    without
        Whose are left out.
    """

    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()

    def require_among(self, known: Iterable[str], where: str) -> None:
        """Raise :class:`InputError` if somebody named is not among `known`, or nobody is left."""
        known = sorted(set(known))
        for name in (*(self.only or ()), *self.without):
            if name not in known:
                raise InputError(
                    f"there is no subject {excerpt(name)!r} in {where}; there are: {listing(known)}"
                )
        if not self.taken(np.array(known, np.str_)).any():
            raise InputError(f"no subject of {where} is left")

    def of(self, windows: Windows) -> Windows:
        """Their windows, in the same order."""
        return windows.select(self.taken(windows.subject))

    def taken(self, subject: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Mask of shape (n,): which of those named are taken."""
        taken = ~np.isin(subject, self.without)
        return taken if self.only is None else taken & np.isin(subject, self.only)


@dataclass(frozen=True)
class ChosenSource:
    """The recordings of some subjects.

    Attributes
    ----------
    source
        All recordings.
    subjects
        Whose are taken; that each is there is known when all were read.
    """

    source: Source
    subjects: Subjects

    @property
    def name(self) -> str:
        """Of the source."""
        return self.source.name

    @property
    def report(self) -> RowReport:
        """Of all rows, whosever they are."""
        return self.source.report

    def pieces(self) -> Iterator[Piece]:
        """Yield theirs."""
        seen: dict[str, bool] = {}
        for piece in self.source.pieces():
            name = piece.subject
            if name not in seen:
                seen[name] = bool(self.subjects.taken(np.array([name]))[0])
            if seen[name]:
                yield piece
        self.subjects.require_among(seen, self.name)


def neighbours(windows: Windows) -> NDArray[np.intp]:
    """Rows of windows that follow each other in a recording and touch or overlap: (p, 2).

    None where it is not known when the windows began.
    """
    order = np.lexsort((windows.start, windows.recording, windows.subject))
    one, other = order[:-1], order[1:]
    later = windows.start[other] - windows.start[one]
    touching = (later > 0) & (later <= windows.X.shape[2] / windows.sampling_rate + 1e-6)
    for column in (windows.recording, windows.subject):
        touching &= column[one] == column[other]
    return np.stack([one[touching], other[touching]], axis=1)


_PER_WINDOW = [
    entry.name for entry in fields(Windows) if entry.name not in ("sampling_rate", "sensors")
]


@dataclass
class WindowReport:
    """What became of every row, sample and window.

    Attributes
    ----------
    rows
        The reader's count of the rows in the files.
    samples
        The count of the samples handed on by the reader.
    kept
        Windows by label.
    dropped
        Windows by reason.
    incomplete
        How many of those kept lack samples.
    missing
        Share of all samples of those kept that is missing, sensor by sensor.
    """

    rows: RowReport = field(default_factory=RowReport)
    samples: CleanReport = field(default_factory=CleanReport)
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    incomplete: int = 0
    missing: float = 0.0

    def drop(self, reason: str, count: int) -> None:
        """Count `count` windows as dropped for `reason`."""
        if count:
            self.dropped[reason] += int(count)

    def lacks(self, X: NDArray[np.float32], before: int) -> None:
        """Count what is missing of windows that join `before` others."""
        holes = np.isnan(X)
        self.incomplete += int(np.count_nonzero(holes.any(axis=(1, 2))))
        total = before + len(X)
        if total:
            self.missing = (self.missing * before + holes.mean(axis=(1, 2)).sum()) / total

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values."""
        lacking = {"incomplete": self.incomplete, "missing_samples": round(self.missing, 4)}
        return {
            "reading": self.rows.understood(),
            "rows": self.rows.to_dict(),
            "samples": {**vars(self.samples), "dropped": dict(self.samples.dropped)},
            "windows": {
                "kept": self.kept.total(),
                "by_label": dict(self.kept),
                "dropped": dict(self.dropped),
                **(lacking if self.incomplete else {}),
            },
        }


class Framer:
    """Cuts a stream of samples into overlapping windows: ``1 + (n - samples) // stride`` of n.

    Parameters
    ----------
    samples
        Length of a window.
    stride
        Samples between the starts of neighbouring windows, at most `samples`.
    axes
        Of a sample.
    """

    def __init__(self, samples: int, stride: int, axes: int = 3) -> None:
        self.samples = samples
        self.stride = stride
        self.emitted = 0
        self._values = np.empty((0, axes), dtype=np.float32)
        self._labels = np.empty(0, dtype=np.intp)

    def push(
        self, values: NDArray[np.float32], labels: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Take samples of shape (n, axes) and (n,); return whole windows.

        Returns
        -------
        windows : ndarray of shape (n_windows, axes, samples)
        labels : ndarray of shape (n_windows, samples)
            Both are views; `emitted` counts the windows so far.
        """
        values = np.concatenate([self._values, values])
        labels = np.concatenate([self._labels, labels])
        count = max(0, 1 + (len(values) - self.samples) // self.stride)
        self.emitted += count
        self._values = values[count * self.stride :].copy()
        self._labels = labels[count * self.stride :].copy()
        if not count:
            empty = np.empty((0, values.shape[1], self.samples), dtype=np.float32)
            return empty, np.empty((0, self.samples), dtype=labels.dtype)
        view = np.lib.stride_tricks.sliding_window_view
        return (
            view(values, self.samples, axis=0)[:: self.stride],
            view(labels, self.samples)[:: self.stride],
        )


def iter_windows(
    source: Source,
    config: WindowConfig,
    *,
    classes: Sequence[str] | None = None,
    keep_unlabelled: bool = False,
    report: WindowReport | None = None,
) -> Iterator[Windows]:
    """Yield the windows of all recordings in batches, holding one piece at a time.

    Parameters
    ----------
    source
        The recordings.
    config
        How to cut them.
    classes
        Keep only windows of these labels.
    keep_unlabelled
        Keep also the windows of no class, as ``UNLABELLED``: mixed ones, and those without labels.
    report
        Filled on the way.

    Raises
    ------
    InputError
        At the end, if one of `classes` does not occur in the recordings.
    """
    report = WindowReport() if report is None else report
    coder = _LabelCoder()
    recordings = groupby(source.pieces(), key=lambda p: (p.subject, p.recording, p.rate, p.sensors))
    for (subject, recording, rate, sensors), pieces in recordings:
        resampler = Resampler(
            rate, config.sampling_rate, config.max_gap, report.samples, config.missing > 0
        )
        first = next(pieces)
        epoch = _epoch(first.began)
        blocks = _uniform(chain([first], pieces), resampler, coder)
        for X, codes, start, origin in _cut(blocks, config, 3 * len(sensors), report.samples):
            if config.missing:
                X, codes, start = _enough(X, codes, start, config.missing, report)
            label, clear = _majority(codes, coder.names, config.min_label_share)
            before = report.kept.total()
            keep = _choose(label, clear, classes, keep_unlabelled, report)
            if config.missing:
                report.lacks(X[keep], before)
            if keep.any():
                yield Windows(
                    X=np.ascontiguousarray(X[keep]),
                    y=label[keep],
                    subject=np.full(np.count_nonzero(keep), subject),
                    recording=np.full(np.count_nonzero(keep), recording),
                    start=start[keep],
                    sampling_rate=config.sampling_rate,
                    epoch=epoch + origin + start[keep],
                    sensors=sensors,
                )
    report.rows = source.report
    _require_known(classes, coder.names, source.name)


def _epoch(began: datetime | None) -> float:
    """Seconds since 1970 in UTC; a date without a zone counts as one in UTC."""
    if began is None:
        return np.nan
    return (began if began.tzinfo else began.replace(tzinfo=UTC)).timestamp()


def make_windows(
    source: Source,
    config: WindowConfig,
    *,
    classes: Sequence[str] | None = None,
    max_per_class: int | None = None,
    seed: int = 0,
    keep_unlabelled: bool = False,
    report: WindowReport | None = None,
) -> Windows:
    """The windows of all recordings, in their order, as :func:`iter_windows` yields them.

    Parameters
    ----------
    source, config, classes, keep_unlabelled, report
        As in :func:`iter_windows`.
    max_per_class
        Keep a random draw of at most so many windows of each label; memory is then bounded too.
    seed
        Of that draw.

    Raises
    ------
    InputError
        If one of `classes` does not occur, or not a single window is left.
    """
    if max_per_class is not None and max_per_class < 1:
        raise InputError(f"max_per_class must be at least 1, not {max_per_class}")
    report = WindowReport() if report is None else report
    rng = np.random.default_rng(seed)
    batches: list[Windows] = []
    ranks: list[NDArray[np.float64]] = []
    held = thinned = 0
    stream = iter_windows(
        source, config, classes=classes, keep_unlabelled=keep_unlabelled, report=report
    )
    for batch in stream:
        batches.append(batch)
        ranks.append(rng.random(len(batch)))
        held += len(batch)
        if max_per_class is not None and held > 2 * thinned + 4096:
            batches, ranks = _thin(batches, ranks, max_per_class)
            held = thinned = len(batches[0])
    if not batches:
        raise InputError(nothing_left(source.name, config, report))
    if max_per_class is not None:
        batches, _ = _thin(batches, ranks, max_per_class)
    windows = Windows.concatenate(batches)
    report.drop("beyond max_per_class", report.kept.total() - len(windows))
    report.kept = Counter(windows.y.tolist())
    if report.incomplete:
        report.incomplete = 0
        report.lacks(windows.X, 0)
    return windows


class _LabelCoder:
    """Numbers the labels in the order of their appearance."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        return list(self._codes)

    def encode(self, labels: NDArray[np.object_]) -> NDArray[np.intp]:
        if not len(labels):
            return np.empty(0, dtype=np.intp)
        starts = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))
        names = (UNLABELLED if is_missing(labels[i]) else str(labels[i]) for i in starts)
        codes = [self._codes.setdefault(name, len(self._codes)) for name in names]
        return np.repeat(np.array(codes, dtype=np.intp), np.diff([*starts, len(labels)]))


def _uniform(
    pieces: Iterable[Piece], resampler: Resampler, coder: _LabelCoder
) -> Iterator[UniformBlock]:
    for piece in pieces:
        codes = coder.encode(piece.labels)
        for first in range(0, len(piece), BLOCK):
            part = slice(first, first + BLOCK)
            yield from resampler.push(piece.time[part], piece.values[part], codes[part])
    yield from resampler.finish()


def _cut(
    blocks: Iterable[UniformBlock], config: WindowConfig, axes: int, report: CleanReport
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float64], float]]:
    """Windows, label codes and starts of one recording, segment by segment.

    Last comes the time of its first sample, from which starts are counted.
    """
    origin = None
    if config.missing:
        blocks = _bridged(blocks, config)
    for _, segment in groupby(blocks, key=lambda block: block.segment):
        framer = Framer(config.samples, config.stride, axes)
        opening, rows = None, 0
        for block in segment:
            opening = block.start if opening is None else opening
            origin = opening if origin is None else origin
            rows += block.rows
            before = framer.emitted
            X, codes = framer.push(block.values, block.labels)
            first_sample = np.arange(before, framer.emitted) * config.stride
            start = opening - origin + first_sample / config.sampling_rate
            yield X, codes, start, origin
        if not framer.emitted:
            report.used -= rows
            report.drop("segment shorter than a window", rows)


ABSENT = -1
"""Code of the label of a sample that no sensor recorded."""


def _bridged(blocks: Iterable[UniformBlock], config: WindowConfig) -> Iterator[UniformBlock]:
    """The blocks of a recording; those behind a short gap go on, with missing samples between.

    Short is what fits into a window that may be kept. What follows lies on the grid of what went
    before, up to half a sample period.
    """
    longest = int(config.missing * config.samples)
    segment = opening = None
    number = count = 0
    for block in blocks:
        if block.segment != segment:
            gap = -1
            if opening is not None:
                gap = round((block.start - opening) * config.sampling_rate) - count
            if 0 <= gap <= longest:
                axes = block.values.shape[1]
                hole = np.full((gap, axes), np.nan, np.float32)
                yield UniformBlock(number, block.start, hole, np.full(gap, ABSENT), rows=0)
                count += gap
            else:
                number, opening, count = block.segment, block.start, 0
            segment = block.segment
        count += len(block.values)
        yield replace(block, segment=number)


def _enough(
    X: NDArray[np.float32],
    codes: NDArray[np.intp],
    start: NDArray[np.float64],
    missing: float,
    report: WindowReport,
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float64]]:
    """The windows of which no larger share than `missing` is missing."""
    enough = np.isnan(X).mean(axis=(1, 2)) <= missing
    report.drop("too many samples missing", int(np.count_nonzero(~enough)))
    return X[enough], codes[enough], start[enough]


def _majority(
    codes: NDArray[np.intp], names: Sequence[str], min_share: float
) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Each window's commonest label, and whether it is clear: alone, and above `min_share`.

    Where it is not, the label is ``UNLABELLED``. Samples that are :data:`ABSENT` have no say.
    """
    n, kinds = len(codes), len(names) + 1
    cells = (np.arange(n)[:, None] * kinds + codes + 1).ravel()
    counts = np.bincount(cells, minlength=n * kinds).reshape(n, kinds)[:, 1:]
    most = counts.max(axis=1, keepdims=True)
    samples = counts.sum(axis=1)
    clear = (most[:, 0] > min_share * samples) & ((counts == most).sum(axis=1) == 1)
    label = np.array(names)[counts.argmax(axis=1)]
    return np.where(clear, label, UNLABELLED), clear


def _choose(
    label: NDArray[np.str_],
    clear: NDArray[np.bool_],
    classes: Sequence[str] | None,
    keep_unlabelled: bool,
    report: WindowReport,
) -> NDArray[np.bool_]:
    """Mask of the windows to keep; counts them and the others."""
    known = label != UNLABELLED
    wanted: NDArray[np.bool_] = known
    if classes is not None:
        wanted = known & np.isin(label, list(classes))
    report.drop("class not asked for", (known & ~wanted).sum())
    if keep_unlabelled:
        wanted = wanted | ~known
    else:
        report.drop("mixed labels", (~clear).sum())
        report.drop("no label", (clear & ~known).sum())
    report.kept.update(label[wanted].tolist())
    return wanted


def _require_known(classes: Sequence[str] | None, names: Sequence[str], source: str) -> None:
    unknown = sorted(set(classes or ()) - set(names))
    if unknown:
        known = listing(sorted(set(names) - {UNLABELLED}))
        raise InputError(f"{source} has no class {unknown[0]!r}; its classes are: {known}")


def _thin(
    batches: list[Windows], ranks: list[NDArray[np.float64]], limit: int
) -> tuple[list[Windows], list[NDArray[np.float64]]]:
    """Keep the `limit` windows of each label that rank lowest, as one batch in the old order."""
    windows, rank = Windows.concatenate(batches), np.concatenate(ranks)
    keep = np.zeros(len(windows), dtype=bool)
    for label in np.unique(windows.y):
        members = np.flatnonzero(windows.y == label)
        keep[members[np.argsort(rank[members])[:limit]]] = True
    return [windows.select(keep)], [rank[keep]]


_ADVICE = {
    "segment shorter than a window": "shorter windows by --seconds, or a longer --max-gap",
    "no label": "labels by --label COLUMN, --labels FILE or --path-pattern '{label}/*', or windows "
    "without any by --keep-unlabelled",
    "mixed labels": "shorter windows by --seconds",
    "class not asked for": "other --classes",
    "repeated time": "rows counted instead of timestamps, by --columns X,Y,Z --rate HZ",
}
"""What helps against what leaves no window."""


def nothing_left(source: str, config: WindowConfig, report: WindowReport) -> str:
    """Why there is no window, and what helps, in a sentence."""
    reasons = Counter(report.samples.dropped + report.dropped)
    why = ", ".join(f"{reason}: {count}" for reason, count in reasons.items()) or "no reason"
    ranked = [*report.dropped.most_common(), *report.samples.dropped.most_common()]
    worst = next((name for name, _ in ranked if name in _ADVICE), None)
    return (
        f"{source} gives no window of {config.seconds:g} s from {report.samples.samples} samples "
        f"(dropped: {why})" + (f"; try {_ADVICE[worst]}" if worst else "")
    )
