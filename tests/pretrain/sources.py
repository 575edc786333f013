"""Images for the tests of pre-training: small, labelled, and told apart by more than colour."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2imu.recordings import Windows


@dataclass
class Images:
    """In memory what a packed store has on disk."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def width(self) -> int:
        return self.images.shape[2]

    @property
    def height(self) -> int:
        return self.images.shape[1]


def stripes(count: int, width: int = 32, height: int = 32, classes: int = 4) -> Images:
    """Stripes of a class' own spacing and slant, in any colour and phase."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count).astype(np.int32)
    y, x = np.mgrid[:height, :width] / width
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    kind = labels[:, None, None]
    wave = np.sin(2 * np.pi * (2 + 2 * kind) * (x + 0.3 * kind * y) + phase)
    color = rng.uniform(0.3, 1.0, (count, 1, 1, 3))
    images = 127 + 90 * wave[..., None] * color + rng.normal(0, 15, (count, height, width, 3))
    return Images(images.clip(0, 255).astype(np.uint8), labels)


def photographs_of(shard: Path, classes: int = 10, width: int = 48, height: int = 36) -> Images:
    """The images of a Tiny-ImageNet shard that are of the first classes, by Pillow."""
    index = np.load(shard.with_suffix(".npz"), allow_pickle=False)
    chosen = np.flatnonzero(index["labels"] < classes)
    images = np.empty((len(chosen), height, width, 3), np.uint8)
    with shard.open("rb") as stream:
        for image, row in zip(images, chosen, strict=True):
            stream.seek(index["offsets"][row])
            data = stream.read(index["lengths"][row])
            image[:] = Image.open(io.BytesIO(data)).convert("RGB").resize((width, height))
    return Images(images, index["labels"][chosen].astype(np.int32))


def recorded(
    sensors: tuple[str, ...] = ("accel", "gyro"),
    subjects: int = 2,
    recordings: int = 3,
    length: int = 5,
    samples: int = 60,
    seed: int = 0,
) -> Windows:
    """Windows of each subject's recordings, in any order; all sensors move as one.

    Each recording has a frequency of its own, and each sensor its own phase, scale and noise.
    """
    rng = np.random.default_rng(seed)
    who, which, place = (
        each.ravel() for each in np.indices((subjects, recordings, length)).astype(np.int64)
    )
    count = len(who)
    own = 1 + 3 * rng.permutation(subjects * recordings) / (subjects * recordings)
    wave = 2 * np.pi * own[who * recordings + which, None] * np.arange(samples) / 25
    X = [
        (1 + number) * np.sin(wave + rng.uniform(0, 6, (count, 1)) + number + axis)
        for number in range(len(sensors))
        for axis in range(3)
    ]
    signals = np.stack(X, axis=1) + rng.normal(0, 0.1, (count, len(X), samples))
    order = rng.permutation(count)
    return Windows(
        signals[order].astype(np.float32),
        np.array([f"c{each}" for each in which % 2])[order],
        np.array([f"s{each}" for each in who])[order],
        np.array([f"r{each}" for each in which])[order],
        place[order] * samples / 50.0,
        25.0,
        sensors=sensors,
    )
