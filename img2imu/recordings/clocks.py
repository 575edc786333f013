"""Several sensors, each with a clock of its own, as uniform samples on one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .resampling import Cleaner, Floats, Grid, Polyphase, UniformBlock, resampling_ratio

LAG = 10.0
"""Seconds of a sensor's samples that wait for the other sensors, at most."""

LEAST_HELD = 32
"""Samples that do so, of however slow a sensor."""

Moment = tuple[int, float]
"""How often the clock was set back, and seconds: what orders the samples of all sensors."""

_BEFORE: Moment = (-1, -np.inf)
_AFTER: Moment = (2**62, np.inf)


class JointResampler:
    """Turns the samples of several sensors, as they come, into uniform segments of all of them.

    The samples of each are cleaned as by :class:`~.resampling.Resampler`, and worked on in the
    order of time. A segment begins where a sensor's samples begin, or begin again after a gap, and
    all others have theirs; there every sensor's grid begins. It ends before the next such sample.
    It holds what every sensor covers: a gap in one is a gap in all.

    The result does not depend on how the samples of one sensor are interleaved with those of
    another, as long as none comes later than ``LAG`` seconds' worth of another's samples. Those
    that do are dropped, so that memory is bounded; meanwhile there is a gap.

    Sensors with the same rate and times give what one :class:`~.resampling.Resampler` makes of
    their samples side by side, to the bit.

    Parameters
    ----------
    rates
        Nominal rate of each sensor in Hz.
    rate_out
        Rate wanted in Hz.
    max_gap
        Longest step in seconds that is bridged; by default that of each sensor's rate.

    Attributes
    ----------
    due : float
        Seconds: samples before are of no interest, and may be held and worked on later.

    Raises
    ------
    InputError
        As of :class:`~.resampling.Resampler`.
    """

    def __init__(
        self, rates: Sequence[float], rate_out: float, max_gap: float | None = None
    ) -> None:
        self._sensors = [_Sensor(rate, rate_out, max_gap) for rate in rates]
        self._rate_out = float(rate_out)
        self.longest_push = min(sensor.capacity for sensor in self._sensors)
        self._begin()

    def push(
        self, parts: Sequence[tuple[int, Floats, NDArray[np.floating[Any]]]]
    ) -> list[UniformBlock]:
        """Take the next samples of some sensors and return what can be computed from all so far.

        Parameters
        ----------
        parts
            Of each, its number, times (n,) in seconds, and values (n, 3); n is at most
            `longest_push`.
        """
        for number, time, values in parts:
            self._sensors[number].hold(time, values, self._done)
        known = min(sensor.last for sensor in self._sensors)
        overdue = max(sensor.overdue() for sensor in self._sensors)
        until = max(known, self._done, overdue)
        if overdue == _BEFORE and until == known and self._may_wait(until):
            return []
        blocks = self._work(until)
        if until > known:
            blocks += self._give_up(until)
        return blocks

    def finish(self) -> list[UniformBlock]:
        """End the recording and return its remaining samples; the next push starts another."""
        blocks = self._work(_AFTER) + self._close()
        for sensor in self._sensors:
            sensor.restart()
        self._begin()
        return blocks

    def _begin(self) -> None:
        self._done = _BEFORE
        self._start: Moment | None = None
        self._opened = -1
        self._emitted = 0
        self.due = -np.inf

    def _may_wait(self, until: Moment) -> bool:
        """Whether it is sure that nothing of interest comes of the samples up to `until`."""
        if self._start is None or any(sensor.openings for sensor in self._sensors):
            return False
        return until[0] == self._start[0] and until[1] < self.due

    def _work(self, until: Moment) -> list[UniformBlock]:
        """Segments from the samples held, in the order of time."""
        self._done = until
        taken = [sensor.take(until) for sensor in self._sensors]
        begun = [0] * len(taken)
        blocks = []
        for moment in [*sorted({one for rows in taken for one in rows.openings()}), _AFTER]:
            for number, (sensor, rows) in enumerate(zip(self._sensors, taken, strict=True)):
                stop = rows.before(moment)
                sensor.feed(rows.part(slice(begun[number], stop)))
                begun[number] = stop
            blocks += self._joined()
            if moment != _AFTER:
                firsts = [
                    rows.opening_at(row, moment) for rows, row in zip(taken, begun, strict=True)
                ]
                blocks += self._close() + self._open(moment, firsts)
        return blocks

    def _open(self, moment: Moment, firsts: Sequence[Floats | None]) -> list[UniformBlock]:
        """A segment, if all sensors are there; `firsts` are the values of those that come now."""
        pairs = list(zip(self._sensors, firsts, strict=True))
        if not all(first is not None or sensor.is_there(moment) for sensor, first in pairs):
            return []
        for sensor, first in pairs:
            sensor.begin(moment[1], first)
        self._start, self._emitted = moment, 0
        self._opened += 1
        return self._joined()

    def _close(self) -> list[UniformBlock]:
        if self._start is None:
            return []
        for sensor in self._sensors:
            sensor.end()
        blocks = self._joined()
        self._start = None
        return blocks

    def _give_up(self, until: Moment) -> list[UniformBlock]:
        """A gap, if there is a sensor that has been silent for too long."""
        silent = [sensor for sensor in self._sensors if sensor.is_silent(until)]
        blocks = self._close() if silent else []
        for sensor in silent:
            sensor.lose(until)
        return blocks

    def _joined(self) -> list[UniformBlock]:
        """What all sensors have by now of the present segment and is not yet handed on."""
        if self._start is None:
            return []
        ready = min(len(sensor.uniform) for sensor in self._sensors)
        values = np.concatenate([sensor.release(ready) for sensor in self._sensors], axis=1)
        start = self._start[1] + self._emitted / self._rate_out
        self._emitted += ready
        labels = np.zeros(ready, np.intp)
        return [UniformBlock(self._opened, start, values.astype(np.float32), labels, rows=0)]


@dataclass
class _Rows:
    """Samples of one sensor in the order of time, and which of them follow a gap."""

    setbacks: NDArray[np.intp]
    time: Floats
    values: NDArray[np.float32]
    opens: NDArray[np.bool_]

    @classmethod
    def empty(cls, count: int) -> _Rows:
        return cls(
            np.empty(count, np.intp),
            np.empty(count),
            np.empty((count, 3), np.float32),
            np.empty(count, np.bool_),
        )

    def __len__(self) -> int:
        return len(self.time)

    def moment(self, row: int) -> Moment:
        return int(self.setbacks[row]), float(self.time[row])

    def openings(self) -> list[Moment]:
        return [self.moment(int(row)) for row in np.flatnonzero(self.opens)]

    def opening_at(self, row: int, moment: Moment) -> Floats | None:
        """Values of a row if it follows a gap, at `moment`."""
        if row == len(self) or not self.opens[row] or self.moment(row) != moment:
            return None
        return self.values[row].astype(np.float64)

    def part(self, rows: slice) -> _Rows:
        return _Rows(self.setbacks[rows], self.time[rows], self.values[rows], self.opens[rows])

    def write(self, rows: slice, other: _Rows) -> None:
        self.setbacks[rows], self.time[rows] = other.setbacks, other.time
        self.values[rows], self.opens[rows] = other.values, other.opens

    def put(self, row: int, moment: Moment, values: NDArray[np.floating[Any]]) -> None:
        """An ordinary row, which follows no gap."""
        self.setbacks[row], self.time[row] = moment
        self.values[row], self.opens[row] = values, False

    def before(self, moment: Moment) -> int:
        """How many rows come before a moment."""
        first = np.searchsorted(self.setbacks, moment[0])
        stop = np.searchsorted(self.setbacks, moment[0], "right")
        return int(first + np.searchsorted(self.time[first:stop], moment[1]))

    def up_to(self, moment: Moment) -> int:
        """How many rows come before a moment or at it."""
        return self.before((moment[0], np.nextafter(moment[1], np.inf)))


class _Sensor:
    """What is held of one sensor, and its part of the present segment."""

    def __init__(self, rate: float, rate_out: float, max_gap: float | None) -> None:
        self._ratio = resampling_ratio(rate, rate_out)
        self._rate_out = rate_out
        self._cleaner = Cleaner(rate, max_gap)
        self.capacity = max(LEAST_HELD, math.ceil(LAG * rate))
        self._held = _Rows.empty(2 * self.capacity)
        self.restart()

    def restart(self) -> None:
        self._cleaner.restart()
        self._count = self.openings = 0
        self.last = _BEFORE
        self._lost = False
        self._left: _Rows | None = None
        self._stretch: _Stretch | None = None
        self.uniform = np.empty((0, 3))

    def hold(self, time: Floats, values: NDArray[np.floating[Any]], done: Moment) -> None:
        """Take samples, except those of moments that are `done`."""
        rows, opened = self._cleaner.push(time, values)
        if not len(rows):
            return
        time = time[rows]
        if len(rows) == 1 and not (opened or self._lost or self.last < done):
            self.last = self.last[0], float(time[0])
            self._held.put(self._count, self.last, values[rows[0]])
            self._count += 1
            return
        opens = np.zeros(len(rows), np.bool_)
        opens[opened] = True
        setback = opens & (np.diff(time, prepend=self.last[1]) < 0)
        setbacks = max(self.last[0], 0) + np.cumsum(setback)
        fresh = _Rows(setbacks, time, values[rows], opens)
        self.last = fresh.moment(-1)
        late = fresh.up_to(done)
        self._lost |= late > 0
        fresh = fresh.part(slice(late, None))
        if self._lost and len(fresh):
            fresh.opens[0], self._lost = True, False
        self._held.write(slice(self._count, self._count + len(fresh)), fresh)
        self._count += len(fresh)
        self.openings += int(fresh.opens.sum())

    def overdue(self) -> Moment:
        """Of the last row that does not wait for other sensors any more."""
        excess = self._count - self.capacity
        return self._held.moment(excess - 1) if excess > 0 else _BEFORE

    def take(self, until: Moment) -> _Rows:
        """The rows held up to a moment."""
        held = self._held.part(slice(self._count))
        count = held.up_to(until)
        taken = _Rows(*(array[:count].copy() for array in vars(held).values()))
        held.write(slice(self._count - count), held.part(slice(count, None)))
        self._count -= count
        self.openings -= int(taken.opens.sum())
        return taken

    def feed(self, rows: _Rows) -> None:
        """Go on by the next rows."""
        if not len(rows):
            return
        if self._stretch is not None:
            self._extend(self._stretch.push(rows.time, rows.values.astype(np.float64)))
        self._left = rows.part(slice(-1, None))

    def is_there(self, moment: Moment) -> bool:
        """Whether it has told something since the clock was last set back."""
        return self._left is not None and self._left.setbacks[0] == moment[0]

    def begin(self, start: float, first: Floats | None) -> None:
        """Begin a segment with the values `first`, or else amid the samples."""
        self.uniform = np.empty((0, 3))
        if first is not None:
            self._stretch = _Stretch(self._ratio, self._rate_out, start, first)
            return
        assert self._left is not None
        value = self._left.values.astype(np.float64)
        self._stretch = _Stretch(self._ratio, self._rate_out, start, value[0])
        self._extend(self._stretch.push(self._left.time, value))

    def release(self, count: int) -> Floats:
        """The next uniform samples."""
        released, self.uniform = self.uniform[:count], self.uniform[count:]
        return released

    def end(self) -> None:
        """Let the last sample stand for what would follow."""
        if self._stretch is not None:
            self._extend(self._stretch.finish())
        self._stretch = None

    def is_silent(self, until: Moment) -> bool:
        """Whether its last sample is a gap or a setback of the clock away from a moment."""
        return self.last[0] < until[0] or until[1] - self.last[1] > self._cleaner.max_gap

    def lose(self, until: Moment) -> None:
        """Count what comes next as after a gap, by the clock of the other sensors."""
        self._left, self._lost = None, True
        if self.last[0] < until[0]:
            self._cleaner.restart()
            self.last = (until[0], -np.inf)

    def _extend(self, values: Floats) -> None:
        self.uniform = np.concatenate([self.uniform, values])


class _Stretch:
    """One sensor's part of a segment: the grid, then the low-pass."""

    def __init__(self, ratio: Fraction, rate_out: float, start: float, value: Floats) -> None:
        self._ratio = ratio
        self._grid = Grid(rate_out / float(ratio), start, value, 0)
        self._polyphase: Polyphase | None = None

    def push(self, time: Floats, values: Floats) -> Floats:
        """The uniform samples that need no sample after these."""
        grid, labels = self._grid.push(time, values, np.zeros(len(time), np.intp))
        if self._polyphase is None:
            if not len(grid):
                return grid
            self._polyphase = Polyphase(self._ratio, grid[0], 0)
        return self._polyphase.push(grid, labels)[0]

    def finish(self) -> Floats:
        """The remaining ones."""
        return np.empty((0, 3)) if self._polyphase is None else self._polyphase.finish()[0]
