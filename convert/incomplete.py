"""Pictures of windows that lack samples: what depends on a missing one is missing too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .config import (
    ACCELEROMETER,
    SignalError,
    SpectrogramConfig,
    View,
    source_positions,
    view_axes,
)
from .images import to_images

ROUNDING = 1e-3
"""Of a source pixel's place, in pixels."""


def incomplete_images(
    windows: NDArray[np.floating],
    views: Sequence[View],
    sensors: Sequence[str] = (ACCELEROMETER,),
) -> NDArray[np.float32]:
    """Draw windows of which samples may be missing.

    Parameters
    ----------
    windows
        Shape (n, 3 * sensors, samples), in g (rad/s, uT); NaN on all axes of a sensor where its
        sample is missing.
    views, sensors
        As in :func:`~.images.to_images`.

    Returns
    -------
    ndarray of shape (n, views, 3, height, width)
        In [0, 1], and NaN in the columns that depend on a missing sample: of a view that takes the
        mean out, or the range of the window, on any. Without missing samples these are the pictures
        of :func:`~.images.to_images`.

    Raises
    ------
    SignalError
        As :func:`~.images.to_images`.
    """
    missing = np.isnan(windows)
    if not missing.any():
        return to_images(windows, views, sensors=sensors)
    # Anything will do: no column that is kept depends on it, but for rounding in a spectrogram.
    images = to_images(np.where(missing, 0, windows), views, sensors=sensors)
    for number, view in enumerate(views):
        lost = missing[:, view_axes(view, sensors)].any(axis=1)
        columns = lost.astype(np.int64) @ column_samples(view, windows.shape[2]).T > 0
        images[:, number].transpose(0, 3, 1, 2)[columns] = np.nan
    return images


def column_samples(view: View, samples: int) -> NDArray[np.int64]:
    """Which samples each column of a picture depends on, as zeros and ones: (width, samples)."""
    if isinstance(view, SpectrogramConfig):
        if view.detrend or view.normalize != "fixed":
            return np.ones((view.width, samples), np.int64)
        if samples < view.nfft:
            raise SignalError(
                f"a window of {samples} samples is shorter than nfft = {view.nfft}: it cannot be "
                "drawn where samples are missing"
            )
        first, length = np.arange(view.frames(samples)) * view.hop, view.nfft
    elif view.detrend:
        return np.ones((view.width, samples), np.int64)
    else:
        first, length = np.arange(samples), 1
    sample = np.arange(samples)
    reach = (sample >= first[:, None]) & (sample < first[:, None] + length)
    position = source_positions(len(first), view.width)
    # An engine may round a position that lies on a source pixel to either side of it.
    left = np.floor(position - ROUNDING).clip(0).astype(np.int64)
    right = np.ceil(position + ROUNDING).clip(max=len(first) - 1).astype(np.int64)
    touched: NDArray[np.int64] = (reach[left] | reach[right]).astype(np.int64)
    return touched
