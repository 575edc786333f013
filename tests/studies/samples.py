"""Small windows files with classes that a method can tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from img2imu.recordings import Windows, save_windows


def make_windows(
    subjects: int = 5, each: int = 6, samples: int = 64, classes: str = "abc", seed: int = 0
) -> Windows:
    """`each` windows of every subject and class: sines of 1, 2, ... Hz at 20 Hz, in noise."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.repeat(list(classes), each), subjects)
    subject = np.repeat([f"s{i}" for i in range(subjects)], each * len(classes))
    pace = 1 + np.searchsorted(list(classes), y)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (len(y), 3, 1))
    X = np.sin(2 * np.pi * pace * np.arange(samples) / 20 + phase)
    X += rng.normal(size=X.shape) * 1.5
    start = np.arange(len(y)) * samples / 20
    return Windows(X.astype(np.float32), y, subject, subject, start, 20.0)


def windows_file(folder: Path, name: str = "toy", **settings: int) -> Path:
    """:func:`make_windows` on disk."""
    path = folder / f"{name}.npz"
    save_windows(path, make_windows(**settings))
    return path
