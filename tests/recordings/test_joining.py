"""Sensors with clocks of their own: whose rows are used, why others are not, what is between."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from img2imu.errors import InputError
from img2imu.recordings import WindowConfig, WindowReport, iter_windows
from img2imu.recordings.joining import join
from img2imu.recordings.resampling import default_max_gap
from img2imu.recordings.types import Piece, RowReport


def pieces(
    time: np.ndarray, values: np.ndarray, rate: float, size: int, report: RowReport, **more: object
) -> list[Piece]:
    """One sensor's rows, cut into pieces of a size, and counted as a reader counts them."""
    report.rows += len(time)
    report.used += len(time)
    labels = np.array(more.pop("labels", [""] * len(time)), dtype=object)
    return [
        Piece("ann", "walk", rate, time[i : i + size], values[i : i + size], labels[i : i + size],
              **more)  # type: ignore[arg-type]
        for i in range(0, len(time), size)
    ]  # fmt: skip


def brute_force(times: dict[str, list[float]], rates: dict[str, float]) -> tuple[Counter, Counter]:
    """Used rows by sensor and dropped ones by reason, row by row."""
    used: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    rising: dict[str, list[float]] = {}
    for name, every in times.items():
        kept: list[float] = []
        for moment in every:
            if kept and moment <= kept[-1]:
                reason = "repeated" if moment == kept[-1] else "backward"
                dropped[f"{name}: {reason} time"] += 1
            else:
                kept.append(moment)
        rising[name] = kept
    for name, kept in rising.items():
        for moment in kept:
            for other, beside in rising.items():
                before = [t for t in beside if t <= moment]
                after = [t for t in beside if t >= moment]
                gap = default_max_gap(rates[other])
                if not (before and after and after[0] - before[-1] <= gap):
                    dropped[f"{name} without {other}"] += 1
                    break
            else:
                used[name] += 1
    return used, dropped


step = st.sampled_from([0.02, 0.02, 0.02, 0.021, 0.05, 0.4, 0.51, 1.0, 3.0, 0.0, -0.3, -2.0])
stream = st.tuples(
    st.sampled_from([0.0, 0.013, 0.7, -1.5]),
    st.lists(step, max_size=40),
    st.sampled_from([10.0, 50.0, 104.0]),
    st.integers(1, 9),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(stream, min_size=1, max_size=3))
def test_every_row_of_every_sensor_is_used_or_counted(streams):
    report, tracks, times, rates = RowReport(), {}, {}, {}
    for name, (start, steps, rate, size) in zip(("accel", "gyro", "magn"), streams, strict=False):
        # On a grid of binary fractions sums and differences are exact.
        time = np.round((start + np.cumsum([0.0, *steps])) * 1024) / 1024
        values = np.stack([time, time + 1, time + 2], axis=1).astype(np.float32)
        times[name], rates[name] = time.tolist(), rate
        tracks[name] = pieces(time, values, rate, size, report)
    joined = list(join(tracks, report))
    used, dropped = brute_force(times, rates)
    assert report.used == used.total()
    assert report.dropped == dropped
    assert report.rows == report.used + report.dropped.total()
    clock = max(rates, key=rates.__getitem__)
    assert sum(map(len, joined)) == used[clock]
    for piece in joined:
        assert piece.sensors == tuple(tracks)
        # What rises as time does is interpolated exactly.
        moment = piece.time + times[next(iter(times))][0]
        expected = np.tile(moment[:, None] + [0, 1, 2], len(tracks))
        np.testing.assert_allclose(piece.values, expected, atol=1e-5)


def streams(size: int, began: tuple[datetime | None, datetime | None] = (None, None)):
    """The same movement by an accelerometer at 50 Hz and a gyroscope at 104 Hz, begun later."""
    report = RowReport()
    first, second = np.arange(500) / 50, 0.313 + np.arange(1000) / 104
    tracks = {
        name: pieces(
            time - (time[0] if date else 0),
            np.sin(time[:, None] * [5, 9, 12]).astype(np.float32),
            rate,
            size,
            report,
            began=date,
        )
        for name, time, rate, date in zip(
            ("accel", "gyro"), (first, second), (50.0, 104.0), began, strict=True
        )
    }
    parts = list(join(tracks, report))
    time, values = (
        np.concatenate([getattr(each, name) for each in parts]) for name in ("time", "values")
    )
    return replace(parts[0], time=time, values=values), report


def test_the_slower_is_interpolated_at_the_times_of_the_faster():
    piece, _ = streams(10_000)
    assert piece.rate == 104
    np.testing.assert_allclose(piece.time[0], 0.313)
    known = np.arange(500) / 50
    spline = CubicSpline(known, np.sin(known[:, None] * [5, 9, 12]))
    np.testing.assert_allclose(piece.values[:, :3], spline(piece.time), atol=2e-3)
    np.testing.assert_allclose(
        piece.values[:, 3:], np.sin(piece.time[:, None] * [5, 9, 12]), atol=1e-6
    )


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pieces_may_be_cut_anywhere(size):
    whole, report = streams(10_000)
    cut, other = streams(size)
    assert report == other
    np.testing.assert_array_equal(cut.time, whole.time)
    np.testing.assert_array_equal(cut.values, whole.values)


def test_dates_tell_when_each_began():
    noon = datetime(2025, 12, 31, 12, tzinfo=UTC)
    piece, _ = streams(10_000, (noon, noon + timedelta(seconds=0.313)))
    shared, _ = streams(10_000)
    assert piece.began == noon
    np.testing.assert_allclose(piece.time, shared.time, atol=1e-6)
    np.testing.assert_allclose(piece.values, shared.values, atol=1e-5)
    with pytest.raises(InputError, match="clocks of accel and gyro in walk cannot be joined"):
        streams(100, (noon, None))
    with pytest.raises(InputError, match="the date or the zone"):
        streams(100, (noon, noon.replace(tzinfo=None)))


def test_no_sensor_is_read_far_ahead_of_the_others():
    report, pulled = RowReport(), Counter()

    def track(name: str, rate: float, count: int):
        for part in range(count):
            time = (np.arange(10) + 10 * part) / rate
            pulled[name] = time[-1]
            yield from pieces(time, np.ones((10, 3), np.float32), rate, 10, report)

    joined = join({"accel": track("accel", 50.0, 300), "gyro": track("gyro", 100.0, 600)}, report)
    ahead = [abs(pulled["accel"] - pulled["gyro"]) for _ in joined]
    assert len(ahead) > 100
    assert max(ahead) < 0.5


def test_labels_of_either_sensor_count():
    report = RowReport()
    time = np.arange(10) / 10
    tracks = {
        "accel": pieces(time, np.ones((10, 3), np.float32), 10.0, 4, report, labels=["walk"] * 10),
        "gyro": pieces(time, np.ones((10, 3), np.float32), 20.0, 4, report),
    }
    assert {label for piece in join(tracks, report) for label in piece.labels} == {"walk"}


def test_a_gap_of_one_ends_the_windows_of_all():
    report = RowReport()
    accel = np.arange(500) / 50
    gyro = np.delete(accel + 0.004, slice(200, 260))
    tracks = {
        name: pieces(time, np.sin(time[:, None] + [0, 1, 2]).astype(np.float32), 50.0, 64, report)
        for name, time in (("accel", accel), ("gyro", gyro))
    }

    class Joined:
        name = "walk"

        def __init__(self) -> None:
            self.report = report

        def pieces(self):
            return join(tracks, report)

    counted = WindowReport()
    config = WindowConfig(50.0, 1.0, 0.0)
    windows = list(iter_windows(Joined(), config, keep_unlabelled=True, report=counted))
    assert report.dropped == {
        "accel without gyro": 62,  # one before the gyroscope began, the others in its gap
        "gyro without accel": 1,
    }
    assert (counted.samples.segments, counted.samples.gaps) == (2, 1)
    starts = np.concatenate([batch.start for batch in windows])
    np.testing.assert_allclose(starts, [0, 1, 2, 5.2, 6.2, 7.2, 8.2], atol=0.011)
