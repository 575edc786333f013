"""Makes the golden vectors of this folder anew: ``python tests/golden/make.py [FOLDER]``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from img2imu import Img2ImuClassifier
from img2imu.convert import SpectrogramConfig, fast_views
from img2imu.export.golden import new_folder, write_arrays, write_golden, write_settings
from img2imu.fewshot import READINGS
from img2imu.models import DEFAULT_ENCODER
from img2imu.recordings import Piece, SplitManifest, WindowConfig, make_windows, open_source
from img2imu.recordings.resampling import Resampler, default_max_gap
from img2imu.recordings.sensors import sensor_metadata
from img2imu.timeline import WindowStream
from img2imu.timeline.smoothing import (
    DWELL,
    Chain,
    FixedLagSmoother,
    chances,
    unknown_chain,
)

FOLDER = Path(__file__).parent

RATES = [(50.0, 50.0), (40.0, 50.0), (50.0, 20.0), (40.0, 64.0)]
"""Of the input, nominally, and of the windows."""

SECONDS = 2.0
"""Length of a window of the resampled recordings."""

BOTH = ("accel", "gyro")

CLOCKS = [(50.0, 25.0, 40.0), (50.0, 25.0, 20.0)]
"""Of accelerometer and gyroscope, nominally, and of the windows."""

LAGS = (0, 1, 2, 6)
"""Windows that the smoothed answers wait for."""

STRIDE = 0.5
"""Seconds between the windows whose labels are smoothed."""

KEEP = 0.95
"""Share of the known windows that are not strange."""


def make_classifiers(folder: Path) -> None:
    """Windows of people held out, and what classifiers of ten windows per class say of them."""
    windows = make_windows(open_source("exercise", sensors=BOTH), WindowConfig())
    splits = SplitManifest.create("exercise", windows, (10,), (0,))
    shown = splits.draw(0, 0, 10)
    held_out = windows.select(splits.folds[0].windows("test", windows.subject))
    _, firsts = np.unique(held_out.y, return_index=True)
    fast = replace(DEFAULT_ENCODER, **READINGS["fast"])
    for name, sensors, views, encoder, rows in (
        ("paper", BOTH[:1], (SpectrogramConfig(),), DEFAULT_ENCODER, firsts[:3]),
        ("fast", BOTH[:1], fast_views(50.0, 250), fast, firsts[3:5]),
        ("sensors", BOTH, fast_views(50.0, 250, BOTH), fast, firsts[5:6]),
    ):
        classifier = Img2ImuClassifier(50.0, views, encoder, sensors=sensors)
        classifier.fit(windows.only(sensors).X[shown], windows.y[shown])
        write_golden(folder / name, classifier, held_out.only(sensors).X[rows])


def piece_of(samples: int, **options: object) -> Piece:
    """The first real recording that is long enough."""
    return next(p for p in open_source("exercise", **options).pieces() if len(p) >= samples)


def irregular() -> tuple[np.ndarray, np.ndarray]:
    """24 s of a real recording whose sensor has every fault: times (n,) and samples (n, 3)."""
    piece = piece_of(1200)
    rng = np.random.default_rng(0)
    kept = rng.random(1200) < 0.9
    kept[500:540] = False  # a gap of 0.8 s
    rows = np.flatnonzero(kept)
    time = piece.time[rows] + rng.uniform(-0.004, 0.004, len(rows))
    samples = piece.values[rows].copy()
    time[100] = time[99]
    time[200] = time[199] - 0.03
    samples[300, 1] = np.nan
    time[800:] -= 1000.0
    return time, samples


def make_resampling(folder: Path) -> None:
    """An irregular recording as uniform segments and windows, at several rates."""
    time, samples = irregular()
    with new_folder(folder / "resampling") as scratch:
        inputs = {"time": time, "samples": samples}
        settings = {
            "unit": "g",
            "tolerance": {"values": 1e-5, "start": 1e-6},
            "arrays": write_arrays(scratch, inputs),
            "cases": [resampled(scratch, time, samples, *rates) for rates in RATES],
        }
        write_settings(scratch, settings)


def resampled(
    scratch: Path, time: np.ndarray, samples: np.ndarray, rate: float, sampling_rate: float
) -> dict[str, object]:
    """One case: settings, and the answers as files."""
    config = WindowConfig(sampling_rate, SECONDS)
    resampler = Resampler(rate, sampling_rate)
    blocks = resampler.push(time, samples, np.zeros(len(time), int)) + resampler.finish()
    segments: dict[int, dict[str, float]] = {}
    for block in blocks:
        segment = segments.setdefault(block.segment, {"start": block.start, "count": 0})
        segment["count"] += len(block.values)
    stream = WindowStream(config, rate)
    answers = [stream.push(*row) for row in zip(time, samples, strict=True)] + [stream.finish()]
    windows, start = (np.concatenate(part) for part in zip(*answers, strict=True))
    name = f"{rate:g}-{sampling_rate:g}"
    arrays = {
        "values": np.concatenate([block.values for block in blocks]),
        "windows": windows,
        "start": start,
    }
    described = write_arrays(scratch, {f"{name}-{key}": value for key, value in arrays.items()})
    return {
        "rate": rate,
        "sampling_rate": sampling_rate,
        "max_gap": default_max_gap(rate),
        "samples": config.samples,
        "stride": config.stride,
        "segments": list(segments.values()),
        "arrays": {key: described[f"{name}-{key}"] for key in arrays},
        "due": [row for row, (found, _) in enumerate(answers) for _ in found],
    }


def two_clocks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """40 s of a real recording, its gyroscope at half the rate: sensor, times and samples.

    In the order of arrival, each sensor up to 0.2 s late. Each has a gap and faults of its own; the
    clock is set back; what the gyroscope says of 12 s comes all at once, too late.
    """
    piece = piece_of(2000, sensors=BOTH)
    rng = np.random.default_rng(1)
    arrival, sensor, times, samples = [], [], [], []
    for number, step in enumerate((1, 2)):
        rows = np.arange(7 * number, 2000, step)
        rows = rows[(rng.random(len(rows)) < 0.95) & (abs(rows - 400 - 350 * number) > 20)]
        time = piece.time[rows] + 0.007 * number + rng.uniform(-0.004, 0.004, len(rows))
        late = time + rng.uniform(0, 0.2, len(rows))
        if number:
            late[(time > 22) & (time < 34)] = 34
        arrival.append(np.maximum.accumulate(late))
        values = piece.values[rows, 3 * number : 3 * number + 3].copy()
        values[50, 1] = np.nan
        time[100] = time[99]
        time[150] = time[149] - 0.03
        time[time > 20] -= 1000
        times, samples = [*times, time], [*samples, values]
        sensor.append(np.full(len(rows), number))
    order = np.argsort(np.concatenate(arrival), kind="stable")
    return tuple(np.concatenate(part)[order] for part in (sensor, times, samples))


def make_clocks(folder: Path) -> None:
    """Two sensors, each with its own clock and faults, as windows at several rates."""
    sensor, time, samples = two_clocks()
    with new_folder(folder / "clocks") as scratch:
        inputs = {"sensor": sensor.astype(np.float32), "time": time, "samples": samples}
        settings = {
            **sensor_metadata(BOTH),
            "tolerance": {"values": 1e-5, "start": 1e-6},
            "arrays": write_arrays(scratch, inputs),
            "cases": [joined(scratch, sensor, time, samples, *rates) for rates in CLOCKS],
        }
        write_settings(scratch, settings)


def joined(
    scratch: Path,
    sensor: np.ndarray,
    time: np.ndarray,
    samples: np.ndarray,
    *rates: float,
) -> dict[str, object]:
    """One case: settings, and the answers as files."""
    *rate, sampling_rate = rates
    config = WindowConfig(sampling_rate, SECONDS)
    stream = WindowStream(config, dict(zip(BOTH, rate, strict=True)), BOTH)
    pushes = zip(time, samples, sensor, strict=True)
    answers = [stream.push(moment, row, BOTH[number]) for moment, row, number in pushes]
    answers.append(stream.finish())
    windows, start = (np.concatenate(part) for part in zip(*answers, strict=True))
    described = write_arrays(
        scratch, {f"{sampling_rate:g}-windows": windows, f"{sampling_rate:g}-start": start}
    )
    return {
        "rates": rate,
        "sampling_rate": sampling_rate,
        "max_gaps": [default_max_gap(one) for one in rate],
        "samples": config.samples,
        "stride": config.stride,
        "arrays": {key: described[f"{sampling_rate:g}-{key}"] for key in ("windows", "start")},
        "due": [row for row, (found, _) in enumerate(answers) for _ in found],
    }


def answered() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers to 200 windows: starts, probabilities of four classes, which are strange.

    A class lasts ten windows or so. There are gaps of some windows, of half a minute and of an
    hour, the clock is set back, and some answers are certain, and wrong.
    """
    rng = np.random.default_rng(2)
    start = np.arange(200) * STRIDE + rng.uniform(-0.01, 0.01, 200)
    for first, seconds in ((40, 2.0), (80, 30.0), (120, -1000.0), (160, 3600.0)):
        start[first:] += seconds
    redrawn = rng.integers(4, size=200)
    state = redrawn[np.maximum.accumulate(np.where(rng.random(200) < 0.1, np.arange(200), 0))]
    probabilities = rng.dirichlet(np.full(4, 0.5), 200)
    probabilities[np.arange(200), state] += 0.5
    probabilities /= probabilities.sum(1, keepdims=True)
    probabilities[[30, 121]] = [0, 0, 0, 1]
    strange = rng.random(200) < np.where((np.arange(200) // 25) % 3 == 1, 0.6, 0.05)
    return start, probabilities.astype(np.float32), strange


def make_smoothing(folder: Path) -> None:
    """Answers to windows as online smoothing changes them, and which are of the unknown."""
    start, probabilities, strange = answered()
    rates = np.random.default_rng(3).uniform(0.001, 0.1, (4, 4))
    np.fill_diagonal(rates, 0)
    transitions = rates - np.diag(rates.sum(1))
    with new_folder(folder / "smoothing") as scratch:
        inputs = {
            "start": start,
            "probabilities": probabilities,
            "strange": strange[:, None].astype(np.float32),
        }
        settings = {
            "stride": STRIDE,
            "dwell": DWELL,
            "keep": KEEP,
            "tolerance": 1e-6,
            "arrays": write_arrays(scratch, inputs),
            "cases": [
                smoothed(scratch, known, lag) for known in (None, transitions) for lag in LAGS
            ],
        }
        write_settings(scratch, settings)


def smoothed(scratch: Path, transitions: np.ndarray | None, lag: int) -> dict[str, object]:
    """One case: settings, and the answers as files."""
    start, probabilities, strange = answered()
    chain = Chain.sticky(DWELL, np.full(4, 0.25)) if transitions is None else Chain(transitions)
    classes = FixedLagSmoother(chain, lag, STRIDE)
    unknown = FixedLagSmoother(unknown_chain(), lag, STRIDE)
    told = chances(strange, KEEP)
    labels, flags, due = [], [], []
    for row, moment in enumerate(start.tolist()):
        found = classes.push(moment, probabilities[row])
        labels, due = labels + found, due + [row] * len(found)
        flags += unknown.push(moment, told[row])
    found = classes.finish()
    labels, due = labels + found, due + [len(start)] * len(found)
    flags += unknown.finish()
    name = f"{'sticky' if transitions is None else 'transitions'}-{lag}"
    arrays = {
        "posterior": np.array(labels, np.float32),
        "unknown": np.array(flags, np.float32)[:, 1:],
    }
    described = write_arrays(scratch, {f"{name}-{key}": value for key, value in arrays.items()})
    return {
        "lag": lag,
        "transitions": None if transitions is None else transitions.tolist(),
        "arrays": {key: described[f"{name}-{key}"] for key in arrays},
        "due": due,
    }


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    make_classifiers(target)
    make_resampling(target)
    make_clocks(target)
    make_smoothing(target)
