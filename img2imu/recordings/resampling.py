"""Recorded samples to uniform ones: cleaned, interpolated, low-passed and resampled on the fly.

Every step works on a stream and keeps a bounded state, so that a day-long recording and a live
sensor are treated alike; the result does not depend on how the stream is cut into pieces.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Floats = NDArray[np.float64]
Labels = NDArray[Any]

ON_GRID = 0.1
"""A sample this near to a grid point, in periods, counts as lying on it: that is the jitter of
times rounded to milliseconds, which interpolation would only turn into noise."""

HALF_WIDTH = 10
"""Reach of the low-pass to either side, in periods of the slower rate."""

LARGEST_RATIO = 1000
"""Of the two rates, and of the integers whose fraction stands for their ratio."""


@dataclass
class CleanReport:
    """Counts every recorded sample: ``samples == used + sum(dropped.values())``.

    Attributes
    ----------
    samples
        Recorded samples received.
    used
        Those that entered a segment long enough for its purpose.
    dropped
        The others, by reason.
    segments
        Uninterrupted stretches found.
    gaps
        Breaks between segments because time jumped ahead.
    clock_resets
        Breaks because time jumped back.
    """

    samples: int = 0
    used: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    gaps: int = 0
    clock_resets: int = 0

    def drop(self, reason: str, count: int) -> None:
        """Count `count` samples as dropped for `reason`."""
        if count:
            self.dropped[reason] += int(count)


@dataclass
class UniformBlock:
    """Consecutive uniform samples of one segment.

    Attributes
    ----------
    segment
        Number of the segment; blocks with the same number continue each other.
    start
        Time of the first sample in seconds, on the recording's own clock.
    values
        Shape (n, axes), float32; n may be 0.
    labels
        Shape (n,), of the dtype that was pushed.
    rows
        Recorded samples that entered the segment since its previous block.
    """

    segment: int
    start: float
    values: NDArray[np.float32]
    labels: Labels
    rows: int


def default_max_gap(rate: float) -> float:
    """Longest step in seconds that is bridged at `rate` Hz: half a second, or five periods."""
    return max(0.5, 5 / rate)


class Cleaner:
    """Which rows of a stream are of use: finite ones whose time rises, in stretches without gaps.

    Parameters
    ----------
    rate
        Nominal rate of the rows in Hz.
    max_gap
        Longest step of time in seconds within a stretch; by default :func:`default_max_gap`.
    report
        Where to count; by default a new one.
    incomplete
        Keep rows on which some sensors have no finite values, three for each, and others do.

    Raises
    ------
    InputError
        If `max_gap` is not positive.
    """

    def __init__(
        self,
        rate: float,
        max_gap: float | None = None,
        report: CleanReport | None = None,
        incomplete: bool = False,
    ) -> None:
        self._incomplete = incomplete
        self.max_gap = default_max_gap(rate) if max_gap is None else float(max_gap)
        if not 0 < self.max_gap < np.inf:
            raise InputError(f"the longest gap must be a positive number of seconds, not {max_gap}")
        self.report = CleanReport() if report is None else report
        self.restart()

    def restart(self) -> None:
        """Forget what came before: the next row opens a stretch."""
        self._last_time = -np.inf

    def push(
        self, time: Floats, values: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.intp], list[int]]:
        """Rows to keep, and which of these open a stretch (as positions among them)."""
        if len(time) == 1 and self._follows(time[0]) and np.isfinite(values).all():
            self.report.samples += 1
            self.report.used += 1
            self._last_time = time[0]
            return np.zeros(1, np.intp), []
        usable = (
            recorded(values).any(axis=1) if self._incomplete else np.isfinite(values).all(axis=1)
        )
        finite = np.flatnonzero(np.isfinite(time) & usable)
        self.report.samples += len(time)
        self.report.drop("not finite", len(time) - len(finite))
        rows, openings = self._in_order(time[finite])
        self.report.used += len(rows)
        return finite[rows], openings

    def _follows(self, time: float) -> bool:
        return 0 < time - self._last_time <= self.max_gap

    def _in_order(self, time: Floats) -> tuple[NDArray[np.intp], list[int]]:
        """The rows whose time rises, and which of these open a stretch.

        Only the ends of runs of ordinary steps are looked at one by one.
        """
        step = np.diff(time)
        ends = np.flatnonzero(~((step > 0) & (step <= self.max_gap))) + 1
        bounds = [0, *ends.tolist(), len(time)] if len(time) else []
        kept, openings, count = [np.empty(0, dtype=np.intp)], [], 0
        for first, stop in pairwise(bounds):
            rows = np.arange(first, stop)
            if abs(time[first] - self._last_time) > self.max_gap:
                self._count_opening(time[first])
                openings.append(count)
                self._last_time = time[stop - 1]
            elif time[first] <= self._last_time:
                rows = self._drop_late(time, rows)
            self._last_time = max(self._last_time, time[stop - 1])
            kept.append(rows)
            count += len(rows)
        return np.concatenate(kept), openings

    def _count_opening(self, time: float) -> None:
        self.report.segments += 1
        self.report.gaps += bool(-np.inf < self._last_time < time)
        self.report.clock_resets += bool(time < self._last_time)

    def _drop_late(self, time: Floats, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Drop and count those of a run of rising `rows` that are not after the last one kept."""
        late = (time[rows] <= self._last_time).sum()
        repeated = (time[rows] == self._last_time).sum()
        self.report.drop("repeated time", repeated)
        self.report.drop("backward time", late - repeated)
        return rows[late:]


def recorded(values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Which sensors have three finite values in each row: (n, 3 * sensors) to (n, sensors)."""
    finite: NDArray[np.bool_] = np.isfinite(values).reshape(len(values), -1, 3).all(axis=2)
    return finite


class Resampler:
    """Turns the samples of one recording, as they come, into uniform segments at another rate.

    1. Rows with a time or value that is not finite are dropped, and so are rows whose time does
       not rise: the first of several rows with one time stays.
    2. Where time jumps by more than `max_gap`, ahead or back, a new segment starts.
    3. Each segment is interpolated linearly onto a grid of rate `rate_in` that starts at its first
       sample. Samples within a tenth of a period of a grid point are taken as they are.
    4. The grid is resampled as by ``scipy.signal.resample_poly`` with ``padtype="edge"``: a
       Kaiser-windowed (beta 5) low-pass of 10 periods of the slower rate to either side, scaled
       so that gravity stays exactly what it is. Tones below 0.8 of the lower Nyquist frequency
       keep their amplitude within 1 %; those above 1.2 of it lose 40 dB or more.

    A sample's label is that of the nearest grid point, whose label is that of the nearest
    recorded sample.

    Parameters
    ----------
    rate_in
        Nominal rate of the recording in Hz.
    rate_out
        Rate wanted in Hz. Their ratio is taken as a fraction of integers up to 1000; where that
        is not exact, the grid's rate gives way and not the output's.
    max_gap
        Longest step in seconds that is bridged; by default :func:`default_max_gap`.
    report
        Where to count; by default a new one.
    incomplete
        Keep rows on which some sensors are missing and others not. What is missing stays so: NaN
        on all axes of the sensor, as is every output that would depend on it.

    Raises
    ------
    InputError
        If a rate or `max_gap` is not positive, or the rates differ more than thousandfold.
    """

    def __init__(
        self,
        rate_in: float,
        rate_out: float,
        max_gap: float | None = None,
        report: CleanReport | None = None,
        incomplete: bool = False,
    ) -> None:
        self._ratio = resampling_ratio(rate_in, rate_out)
        self.rate_out = float(rate_out)
        self._incomplete = incomplete
        self._cleaner = Cleaner(rate_in, max_gap, report, incomplete)
        self.report = self._cleaner.report
        self._segment: _Segment | None = None
        self._opened = 0

    def push(
        self, time: Floats, values: NDArray[np.floating[Any]], labels: Labels
    ) -> list[UniformBlock]:
        """Take the next samples and return what can be computed from them.

        Parameters
        ----------
        time
            Shape (n,), seconds.
        values
            Shape (n, axes): all the recording's sensors. A row counts whole or not at all.
        labels
            Shape (n,), any dtype.
        """
        rows, openings = self._cleaner.push(time, values)
        exact = values.astype(np.float64)
        if self._incomplete:
            exact[~recorded(exact).repeat(3, axis=1)] = np.nan
        continued, *opened = np.split(rows, openings)
        blocks = []
        if self._segment is not None and len(continued):
            blocks.append(self._segment.push(time[continued], exact[continued], labels[continued]))
        for part in opened:
            blocks += self._close()
            self._segment = self._open(time[part[0]], exact[part[0]], labels[part[0]])
            blocks.append(self._segment.push(time[part], exact[part], labels[part]))
        return blocks

    def finish(self) -> list[UniformBlock]:
        """End the recording and return its remaining samples; the next push starts another."""
        self._cleaner.restart()
        return self._close()

    def _open(self, time: float, value: Floats, label: Any) -> _Segment:
        self._opened += 1
        return _Segment(self._opened - 1, self._ratio, self.rate_out, time, value, label)

    def _close(self) -> list[UniformBlock]:
        segment, self._segment = self._segment, None
        return [] if segment is None else [segment.finish()]


class _Segment:
    """One uninterrupted stretch: the grid, then the low-pass."""

    def __init__(
        self, index: int, ratio: Fraction, rate_out: float, time: float, value: Floats, label: Any
    ) -> None:
        self._index = index
        self._start = float(time)
        self._rate_out = rate_out
        self._grid = Grid(rate_out / float(ratio), time, value, label)
        self._polyphase = Polyphase(ratio, value, label)

    def push(self, time: Floats, values: Floats, labels: Labels) -> UniformBlock:
        start = self._polyphase.emitted
        grid = self._grid.push(time, values, labels)
        return self._block(start, *self._polyphase.push(*grid), rows=len(time))

    def finish(self) -> UniformBlock:
        start = self._polyphase.emitted
        return self._block(start, *self._polyphase.finish(), rows=0)

    def _block(self, start: int, values: Floats, labels: Labels, rows: int) -> UniformBlock:
        time = self._start + start / self._rate_out
        return UniformBlock(self._index, time, values.astype(np.float32), labels, rows)


class Grid:
    """Linear interpolation between recorded samples, at whole periods from the first one."""

    def __init__(self, rate: float, time: float, value: Floats, label: Any) -> None:
        self._rate = rate
        self._origin = time
        self._emitted = 0
        # The last knot so far. A knot before the first sample lets that one be a right neighbour.
        self._position = np.array([-1.0])
        self._value = value[None]
        self._label = np.array([label])

    def push(self, time: Floats, values: Floats, labels: Labels) -> tuple[Floats, Labels]:
        """Values and labels of the grid points up to the last sample."""
        position = (time - self._origin) * self._rate
        nearest = np.rint(position)
        position = np.where(np.abs(position - nearest) < ON_GRID, nearest, position)
        position = np.concatenate([self._position, position])
        values = np.concatenate([self._value, values])
        labels = np.concatenate([self._label, labels])
        self._position, self._value, self._label = position[-1:], values[-1:], labels[-1:]

        point = np.arange(self._emitted, np.floor(position[-1]) + 1)
        self._emitted += len(point)
        right = np.searchsorted(position, point)
        left = right - 1
        # Backwards from the right neighbour: exact where a sample lies on the grid.
        back = (position[right] - point) / (position[right] - position[left])
        interpolated = values[right] - back[:, None] * (values[right] - values[left])
        return interpolated, labels[np.where(back <= 0.5, right, left)]


class Polyphase:
    """``resample_poly`` in blocks: keeps the samples that the next outputs still reach back to.

    Output ``m`` lies at grid point ``m * down / up``; the buffer starts at a multiple of `down`,
    because only there do the outputs of a block fall on those of the whole.
    """

    def __init__(self, ratio: Fraction, value: Floats, label: Any) -> None:
        self._up, self._down = ratio.numerator, ratio.denominator
        self._taps, self._half, self._delay = low_pass(self._up, self._down)
        self._reach = -(-self._half // self._up)
        self._first = -(-self._reach // self._down) * -self._down
        self._values = np.repeat(value[None], -self._first, axis=0)
        self._labels = np.repeat(np.array([label]), -self._first)
        self.emitted = 0

    def push(self, values: Floats, labels: Labels) -> tuple[Floats, Labels]:
        """The outputs that need no sample after these."""
        self._append(values, labels)
        return self._emit(-(-(self._end * self._up - self._half) // self._down))

    def finish(self) -> tuple[Floats, Labels]:
        """The remaining outputs, the last sample standing for all that would follow."""
        stop = -(-self._end * self._up // self._down)
        values, labels = self._values[-1:], self._labels[-1:]
        self._append(values.repeat(self._reach + 1, axis=0), labels.repeat(self._reach + 1))
        return self._emit(stop)

    @property
    def _end(self) -> int:
        return self._first + len(self._values)

    def _append(self, values: Floats, labels: Labels) -> None:
        self._values = np.concatenate([self._values, values])
        self._labels = np.concatenate([self._labels, labels])

    def _emit(self, stop: int) -> tuple[Floats, Labels]:
        from scipy.signal import upfirdn

        if stop <= self.emitted:
            return self._values[:0], self._labels[:0]
        output = np.arange(self.emitted, stop)
        shift = self._delay - self._first // self._down * self._up
        values = upfirdn(self._taps, self._values, self._up, self._down, axis=0)[output + shift]
        nearest = (2 * output * self._down + self._up) // (2 * self._up)
        labels = self._labels[nearest - self._first]
        self.emitted = stop
        self._forget((stop * self._down - self._half) // self._up)
        return values, labels

    def _forget(self, needed: int) -> None:
        """Let go of what lies before grid point `needed`, down to a multiple of `down`."""
        first = max(needed // self._down * self._down, self._first)
        self._values = self._values[first - self._first :].copy()
        self._labels = self._labels[first - self._first :].copy()
        self._first = first


@lru_cache
def low_pass(up: int, down: int) -> tuple[Floats, int, int]:
    """The filter of ``scipy.signal.resample_poly``, with every phase scaled to sum to one.

    Returns
    -------
    taps : ndarray
        At `up` times the input rate, after as many zeros as make the delay whole outputs.
    half : int
        Taps to either side of the middle one.
    delay : int
        Of the middle tap, in outputs.
    """
    from scipy.signal import firwin

    if up == down == 1:
        return np.ones(1), 0, 0
    half = HALF_WIDTH * max(up, down)
    taps = firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", 5.0))
    phase = np.arange(len(taps)) % up
    taps /= np.bincount(phase, weights=taps)[phase]
    zeros = -half % down
    return np.concatenate([np.zeros(zeros), taps]), half, (half + zeros) // down


def resampling_ratio(rate_in: float, rate_out: float) -> Fraction:
    """``rate_out / rate_in`` as a fraction of integers up to ``LARGEST_RATIO``."""
    for rate in (rate_in, rate_out):
        if not 0 < rate < np.inf:
            raise InputError(f"a sampling rate must be a positive number of hertz, not {rate}")
    ratio = Fraction(rate_out) / Fraction(rate_in)
    if not 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        raise InputError(
            f"cannot resample from {rate_in:g} to {rate_out:g} Hz: the rates differ more than "
            f"{LARGEST_RATIO}-fold"
        )
    if ratio > 1:
        return 1 / (1 / ratio).limit_denominator(LARGEST_RATIO)
    return ratio.limit_denominator(LARGEST_RATIO)
