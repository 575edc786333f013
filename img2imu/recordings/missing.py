"""Samples that are missing: NaN on all three axes of a sensor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .windows import Windows

LOST = 0.5
"""Share of its samples that :func:`with_gaps` takes from a window it hits."""


def with_gaps(windows: Windows, share: float, seed: int = 0) -> Windows:
    """The windows as a recording with gaps would give them: a share of their samples is missing.

    Twice that share of the windows, chosen at random, lose half of their samples each. In one half
    of these each sensor loses one stretch of time, anywhere in the window; in the other, where
    there are several sensors, half of the sensors are missing from beginning to end.

    Parameters
    ----------
    windows
        Complete ones.
    share
        Of all samples, from 0 to 0.5.
    seed
        Of what is missing.

    Raises
    ------
    InputError
        If `share` is out of its range.
    """
    if not 0 <= share <= LOST:
        raise InputError(f"share must lie in [0, {LOST:g}], not {share}")
    rng = np.random.default_rng(seed)
    X = windows.X.copy()
    triads = X.reshape(len(X), -1, 3, X.shape[2])  # a view
    sensors, samples = triads.shape[1], X.shape[2]
    length = round(LOST * samples)
    for row in np.flatnonzero(rng.random(len(X)) < share / LOST):
        if sensors > 1 and rng.random() < 0.5:
            count = int(LOST * sensors + rng.random())
            triads[row, rng.permutation(sensors)[:count]] = np.nan
            continue
        for sensor in range(sensors):
            first = rng.integers(samples - length + 1)
            triads[row, sensor, :, first : first + length] = np.nan
    return replace(windows, X=X)


def require_whole_triads(X: NDArray[np.floating], where: str) -> None:
    """Raise :class:`InputError` if a sensor lacks some of its axes, or a window all samples.

    Parameters
    ----------
    X
        Shape (n, 3 * sensors, samples), NaN where missing.
    where
        They come from, for the error.
    """
    missing = np.isnan(X).reshape(len(X), -1, 3, X.shape[2])
    torn = np.flatnonzero((missing.any(axis=2) != missing.all(axis=2)).any(axis=(1, 2)))
    if len(torn):
        raise InputError(
            f"{where} has a sample of which some axes are missing and others are not: in window "
            f"{torn[0]} and {len(torn) - 1} others"
        )
    empty = np.flatnonzero(missing.all(axis=(1, 2, 3)))
    if len(empty):
        raise InputError(
            f"{where} has windows without any sample: window {empty[0]} and {len(empty) - 1} others"
        )
