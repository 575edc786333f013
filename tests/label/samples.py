"""Recordings with known contents, and a library of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from img2imu.label import Library, read_library
from img2imu.recordings import Piece, WindowConfig
from img2imu.recordings.types import RowReport

RATE = 50.0


class Made:
    """A source of some recordings: (subject, name, times, values), and when they began."""

    name = "made"

    def __init__(self, recordings, began: datetime | None = None) -> None:
        self.recordings, self.began = recordings, began
        self.report = RowReport()

    def pieces(self) -> Iterator[Piece]:
        for subject, name, time, values in self.recordings:
            for part in np.array_split(np.arange(len(time)), 3):
                labels = np.full(len(part), "", object)
                yield Piece(
                    subject, name, RATE, time[part], values[part].astype(np.float32), labels,
                    self.began,
                )  # fmt: skip


def movement(kind: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Acceleration in g: rest in another posture for each kind, and a movement of its own pace."""
    time = np.arange(samples) / RATE
    posture = np.roll([1.0, 0.1, 0.0], kind)
    pace = np.sin(2 * np.pi * (0.6 + 1.1 * kind) * time + rng.uniform(0, 6))
    values = posture + 0.35 * pace[:, None] * np.array([0.5, 1.0, 0.3])
    return values + rng.normal(scale=0.03, size=(samples, 3))


def people(count: int = 4, each: int = 6, kinds: int = 3, seconds: float = 5.0):
    """Recordings of `count` people who do `kinds` things, `each` windows of every one in turn."""
    rng = np.random.default_rng(0)
    samples = round(seconds * RATE)
    recordings = []
    for person in range(count):
        parts = [movement(kind, each * samples, rng) for kind in range(kinds)]
        values = np.concatenate(parts)
        time = np.arange(len(values)) / RATE
        recordings.append((f"p{person}", f"day/{person}.csv", time, values))
    return recordings


def truth_of(library: Library, each: int = 6) -> np.ndarray:
    """Which kind each window of :func:`people` is."""
    inside = (
        np.arange(len(library)) - np.array([r.first for r in library.recordings])[library.owner]
    )
    return inside // each


def library_of(recordings, began=None, **settings) -> Library:
    """What ``img2imu label`` reads of them."""
    config = WindowConfig(**{"overlap": 0.0, **settings})
    return read_library(Made(recordings, began), config)
