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
from img2imu.recordings import SplitManifest, WindowConfig, make_windows, open_source
from img2imu.recordings.resampling import Resampler, default_max_gap
from img2imu.timeline import WindowStream

FOLDER = Path(__file__).parent

RATES = [(50.0, 50.0), (40.0, 50.0), (50.0, 20.0), (40.0, 64.0)]
"""Of the input, nominally, and of the windows."""

SECONDS = 2.0
"""Length of a window of the resampled recording."""


def make_classifiers(folder: Path) -> None:
    """Windows of people held out, and what classifiers of ten windows per class say of them."""
    windows = make_windows(open_source("exercise"), WindowConfig())
    splits = SplitManifest.create("exercise", windows, (10,), (0,))
    shown = splits.draw(0, 0, 10)
    held_out = windows.select(splits.folds[0].windows("test", windows.subject))
    _, firsts = np.unique(held_out.y, return_index=True)
    fast = replace(DEFAULT_ENCODER, **READINGS["fast"])
    for name, views, encoder, rows in (
        ("paper", (SpectrogramConfig(),), DEFAULT_ENCODER, firsts[:3]),
        ("fast", fast_views(50.0, 250), fast, firsts[3:5]),
    ):
        classifier = Img2ImuClassifier(50.0, views, encoder).fit(windows.X[shown], windows.y[shown])
        write_golden(folder / name, classifier, held_out.X[rows])


def irregular() -> tuple[np.ndarray, np.ndarray]:
    """24 s of a real recording whose sensor has every fault: times (n,) and samples (n, 3)."""
    piece = next(p for p in open_source("exercise").pieces() if len(p) >= 1200)
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


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    make_classifiers(target)
    make_resampling(target)
