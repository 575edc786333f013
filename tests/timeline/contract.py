"""``docs/streaming.md`` in plain lines, slow and with all memory it likes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

BEFORE, AFTER = (-1, -math.inf), (math.inf, math.inf)


@dataclass
class Sensor:
    """One sensor: its settings, the rows that wait, and its part of the segment."""

    rate: float
    rate_out: float
    gap: float
    last: tuple[float, float] = BEFORE
    lost: bool = False
    waiting: list[Any] = field(default_factory=list)
    left: Any = None

    def __post_init__(self) -> None:
        ratio = Fraction(self.rate_out) / Fraction(self.rate)
        self.up, self.down = ratio.numerator, ratio.denominator
        self.held = max(32, math.ceil(10 * self.rate))
        self.tap = cache(self.tap)

    def begin(self, start: float, value: np.ndarray) -> None:
        """Step 2 before the first row."""
        self.start, self.knots, self.grid, self.outputs = start, [(-1.0, value)], [], []

    def take(self, time: float, value: np.ndarray) -> None:
        """Step 2."""
        position = (time - self.start) * self.rate_out * self.down / self.up
        if abs(position - round(position)) < 0.1:
            position = round(position)
        self.knots.append((position, value))
        (left, before), (right, after) = self.knots[-2:]
        while len(self.grid) <= right:
            self.grid.append(after - (right - len(self.grid)) / (right - left) * (after - before))

    def advance(self, ended: bool) -> None:
        """Step 3, or with it step 5."""
        up, down, grid = self.up, self.down, self.grid
        reach = 0 if up == down else 10 * max(up, down)
        while grid:
            m = len(self.outputs)
            known = m * down < len(grid) * up if ended else (m * down + reach) // up < len(grid)
            if not known:
                break
            ks = range(-(-(m * down - reach) // up), (m * down + reach) // up + 1)
            taps = np.array([self.tap(m * down - k * up) for k in ks])
            nearest = [min(max(k, 0), len(grid) - 1) for k in ks]
            self.outputs.append(taps @ np.array([grid[k] for k in nearest]) / taps.sum())

    def tap(self, j: int) -> float:
        if self.up == self.down:
            return 1.0
        slow = max(self.up, self.down)
        return float(np.sinc(j / slow) * np.i0(5 * math.sqrt(1 - (j / (10 * slow)) ** 2)))


class Contract:
    """Segments and windows of what is pushed, by ``docs/streaming.md``.

    `segments` are pairs of start and values (n, axes); `windows` triples of start, the number of
    the push that gave it, and values (axes, samples).
    """

    def __init__(self, rates, rate_out, max_gaps, samples, stride) -> None:
        self.sensors = [
            Sensor(rate, rate_out, gap) for rate, gap in zip(rates, max_gaps, strict=True)
        ]
        self.rate_out, self.samples, self.stride = rate_out, samples, stride
        self.done, self.start, self.origin, self.pushes = BEFORE, None, None, -1
        self.segments, self.windows = [], []

    def push(self, number: int, time: float, value: np.ndarray) -> None:
        """Step 1, and whatever follows."""
        self.pushes += 1
        sensor = self.sensors[number]
        if not (math.isfinite(time) and np.isfinite(value).all()):
            return
        setbacks, before = sensor.last
        opens = abs(time - before) > sensor.gap
        if not opens and time <= before:
            return
        moment = sensor.last = (max(setbacks, 0) + (opens and time < before), time)
        if moment <= self.done:
            sensor.lost = True
        else:
            sensor.waiting.append((moment, number, value, opens or sensor.lost))
            sensor.lost = False
        self.work(max(self.done, min(sensor.last for sensor in self.sensors)))
        if len(sensor.waiting) > sensor.held:
            self.force(sensor.waiting[0][0])

    def finish(self) -> None:
        self.pushes += 1
        self.work(AFTER)
        self.close()

    def force(self, moment: tuple[float, float]) -> None:
        """Work on a row that has waited for too long."""
        self.work(moment)
        for sensor in self.sensors:
            setbacks, time = sensor.last
            if setbacks < moment[0] or moment[1] - time > sensor.gap:
                self.close()
                sensor.left, sensor.lost = None, True
                if setbacks < moment[0]:
                    sensor.last = (moment[0], -math.inf)

    def work(self, until: tuple[float, float]) -> None:
        """The rows up to a moment, in their order."""
        self.done = until
        rows = sorted(
            (row for sensor in self.sensors for row in sensor.waiting if row[0] <= until),
            key=lambda row: row[:2],
        )
        for sensor in self.sensors:
            sensor.waiting = [row for row in sensor.waiting if row[0] > until]
        for moment, group in groupby(rows, key=lambda row: row[0]):
            now = list(group)
            opening = {number: value for _, number, value, opens in now if opens}
            if opening:
                self.close()
                self.open(moment, opening)
            for _, number, value, _ in now:
                if self.start is not None:
                    self.sensors[number].take(moment[1], value)
                self.sensors[number].left = moment, value
            self.emit(ended=False)

    def open(self, moment: tuple[float, float], opening: dict[int, np.ndarray]) -> None:
        for number, sensor in enumerate(self.sensors):
            there = sensor.left is not None and sensor.left[0][0] == moment[0]
            if number not in opening and not there:
                return
        self.start = moment[1]
        self.origin = self.start if self.origin is None else self.origin
        self.segments.append((self.start, []))
        for number, sensor in enumerate(self.sensors):
            if number in opening:
                sensor.begin(self.start, opening[number])
            else:
                sensor.begin(self.start, sensor.left[1])
                sensor.take(sensor.left[0][1], sensor.left[1])

    def close(self) -> None:
        if self.start is not None:
            self.emit(ended=True)
        self.start = None

    def emit(self, ended: bool) -> None:
        """Step 4."""
        if self.start is None:
            return
        for sensor in self.sensors:
            sensor.advance(ended)
        outputs = self.segments[-1][1]
        while len(outputs) < min(len(sensor.outputs) for sensor in self.sensors):
            m = len(outputs)
            outputs.append(np.concatenate([sensor.outputs[m] for sensor in self.sensors]))
            first = len(outputs) - self.samples
            if first >= 0 and first % self.stride == 0:
                start = self.start - self.origin + first / self.rate_out
                self.windows.append((start, self.pushes, np.array(outputs[first:]).T))
