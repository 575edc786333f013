"""Sensors with clocks of their own, on one clock: what becomes of each one's rows is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .resampling import default_max_gap
from .types import UNLABELLED, Piece, RowReport

Floats = NDArray[np.float64]


def join(
    tracks: Mapping[str, Iterable[Piece]], report: RowReport, incomplete: bool = False
) -> Iterator[Piece]:
    """One recording of several sensors from one of each, read piece by piece in bounded memory.

    The clock is that of the fastest sensor, of equals the first: its rows stay as they are, and
    the others are interpolated at their times by cubic Hermite polynomials, whose tangents are
    those of the parabola through three neighbouring rows. A sensor covers the times between its
    rows, but for steps longer than :func:`default_max_gap`. A row is used where all sensors cover
    its time; any other is counted in `report` as one ``without`` the first sensor that does not.
    Rows whose time does not rise are dropped and counted before that: a clock that is set back
    is followed again once it has caught up.

    A row that tells no label has that of the nearest row of another sensor.

    Parameters
    ----------
    tracks
        The pieces of each sensor, by its name: (n, 3) values of one recording. Where all have a
        date, time is counted from it, and otherwise on a clock that they share.
    report
        Counts the rows of all pieces as used already; those that are not are counted again.
    incomplete
        Use the fastest sensor's rows also where others do not cover their time: those are NaN
        there. Where the fastest one is missing there is no row.

    Yields
    ------
    Piece
        Of all sensors, in the order of `tracks`, their time from the first one's first row.

    Raises
    ------
    InputError
        If some sensors tell the date and others do not.
    """
    ready = {name: _Track(name, pieces, report) for name, pieces in tracks.items()}
    for track in ready.values():
        track.pull()
    form = _aligned(ready)
    horizon = -np.inf
    while horizon < np.inf:
        horizon = min(track.horizon for track in ready.values())
        yield from _decided(ready, horizon, form, report, incomplete)
        for track in ready.values():
            track.forget(horizon)
            if track.horizon == horizon:
                track.pull()


def _aligned(tracks: Mapping[str, _Track]) -> Piece | None:
    """Put all on the first one's time; a piece such as they will have, None if one has no row."""
    firsts = [track.first for track in tracks.values() if track.first is not None]
    if len(firsts) < len(tracks):
        return None
    dates = [piece.began for piece in firsts]
    if len({(date is None, date is not None and date.tzinfo is None) for date in dates}) > 1:
        raise InputError(
            f"the clocks of {' and '.join(tracks)} in {firsts[0].recording} cannot be joined: some "
            "tell the date or the zone, and some do not"
        )
    for track, date in zip(tracks.values(), dates, strict=True):
        track.shift(_seconds(date, dates[0]) - firsts[0].time[0])
    rate = max(piece.rate for piece in firsts)
    return replace(firsts[0], rate=rate, sensors=tuple(tracks))


def _seconds(date: datetime | None, origin: datetime | None) -> float:
    return 0.0 if date is None or origin is None else (date - origin).total_seconds()


def _decided(
    tracks: Mapping[str, _Track],
    horizon: float,
    form: Piece | None,
    report: RowReport,
    incomplete: bool,
) -> Iterator[Piece]:
    """Use, or count as dropped, the rows up to a time about which all sensors are known."""
    clock = _clock(tracks)
    for name, track in tracks.items():
        time = track.undecided(horizon)
        whole = np.ones(len(time), dtype=bool)
        # The clock's own rows may lack the others; rows of others need the clock.
        for other, beside in tracks.items():
            if incomplete and form is not None and beside is not clock:
                continue
            missing = whole & ~beside.covers(time)
            report.used -= int(np.count_nonzero(missing))
            report.drop(f"{name} without {other}", np.count_nonzero(missing))
            whole &= ~missing
        if form is not None and track is clock and whole.any():
            time = time[whole]
            values = np.concatenate([each.at(time) for each in tracks.values()], axis=1)
            labels = track.label(time)
            for each in tracks.values():
                bare = (labels == UNLABELLED) & each.covers(time)
                labels[bare] = each.label(time[bare])
            yield replace(form, time=time, values=values.astype(np.float32), labels=labels)


def _clock(tracks: Mapping[str, _Track]) -> _Track:
    return max(tracks.values(), key=lambda track: track.rate)


class _Track:
    """The rows of one sensor that are not decided yet, and two before them."""

    def __init__(self, name: str, pieces: Iterable[Piece], report: RowReport) -> None:
        self.first: Piece | None = None
        self.rate = 0.0
        self._name, self._pieces, self._report = name, iter(pieces), report
        self._shift, self._last, self._ended = 0.0, -np.inf, False
        self._time: Floats = np.empty(0)
        self._values: Floats = np.empty((0, 3))
        self._labels: NDArray[np.object_] = np.empty(0, dtype=object)
        self._decided = 0

    @property
    def horizon(self) -> float:
        """Up to where nothing that follows changes what is between the rows."""
        if self._ended:
            return np.inf
        return float(self._time[-2]) if len(self._time) > 1 else -np.inf

    def pull(self) -> None:
        """Take the next piece, without the rows whose time does not rise."""
        piece = next(self._pieces, None)
        if piece is None:
            self._ended = True
            return
        if self.first is None:
            self.first, self.rate = piece, piece.rate
        time = piece.time + self._shift
        before = np.maximum.accumulate(np.concatenate([[self._last], time]))[:-1]
        rising = time > before
        self._report.used -= int(np.count_nonzero(~rising))
        self._report.drop(f"{self._name}: repeated time", np.count_nonzero(time == before))
        self._report.drop(f"{self._name}: backward time", np.count_nonzero(time < before))
        self._last = max(self._last, float(time.max()))
        self._time = np.concatenate([self._time, time[rising]])
        self._values = np.concatenate([self._values, piece.values[rising].astype(np.float64)])
        self._labels = np.concatenate([self._labels, piece.labels[rising]])

    def shift(self, seconds: float) -> None:
        """Count time from another moment."""
        self._shift = seconds
        self._time = self._time + seconds
        self._last += seconds

    def undecided(self, horizon: float) -> Floats:
        """Times of the rows up to `horizon` that are not decided."""
        return self._time[self._decided : np.searchsorted(self._time, horizon, "right")]

    def forget(self, horizon: float) -> None:
        """Let go of what is decided, but for the two rows that tangents after it still need."""
        decided = int(np.searchsorted(self._time, horizon, "right"))
        gone = max(0, decided - 2)
        self._time, self._values = self._time[gone:].copy(), self._values[gone:].copy()
        self._labels = self._labels[gone:].copy()
        self._decided = decided - gone

    def covers(self, time: Floats) -> NDArray[np.bool_]:
        """Whether each time is a row's, or lies between two that are near each other."""
        if not len(self._time):
            return np.zeros(len(time), dtype=bool)
        bridged = np.append(np.diff(self._time) <= self._max_gap, False)
        row = np.searchsorted(self._time, time, "right") - 1
        covered: NDArray[np.bool_] = (row >= 0) & (bridged[row] | (self._time[row] == time))
        return covered

    @property
    def _max_gap(self) -> float:
        return default_max_gap(self.rate)

    def at(self, time: Floats) -> Floats:
        """Values at times that are covered; NaN at others."""
        from scipy.interpolate import CubicHermiteSpline

        covered = self.covers(time)
        if not covered.all():
            values = np.full((len(time), 3), np.nan)
            if covered.any():
                values[covered] = self.at(time[covered])
            return values
        if len(self._time) == 1:
            return self._values.repeat(len(time), axis=0)
        step = np.diff(self._time)[:, None]
        slope = np.diff(self._values, axis=0) / step
        bridged = step <= self._max_gap
        earlier, later = np.concatenate([slope[:1], slope]), np.concatenate([slope, slope[-1:]])
        # Beside a gap, the slope of the other side stands for both.
        before = np.where(np.concatenate([[[False]], bridged]), earlier, later)
        after = np.where(np.concatenate([bridged, [[False]]]), later, earlier)
        near, far = np.concatenate([step[:1], step]), np.concatenate([step, step[-1:]])
        tangent = (before * far + after * near) / (near + far)
        return np.asarray(CubicHermiteSpline(self._time, self._values, tangent)(time))

    def label(self, time: Floats) -> NDArray[np.object_]:
        """Labels of the rows nearest to times that are covered."""
        later = np.searchsorted(self._time, time).clip(max=len(self._time) - 1)
        earlier = (later - 1).clip(min=0)
        nearer = time - self._time[earlier] < self._time[later] - time
        return self._labels[np.where(nearer, earlier, later)]
