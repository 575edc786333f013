"""The reference engine: float64, one readable step after the other, by scipy and OpenCV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .config import CONSTANT_DB, SpectrogramConfig, View, WaveformConfig

Array = NDArray[np.float64]


def power_density(windows: NDArray[np.floating], config: SpectrogramConfig) -> Array:
    """One-sided power spectral density of each axis, as ``matplotlib.mlab.specgram`` gives it.

    Parameters
    ----------
    windows
        Shape (n, 3, samples), in g.
    config
        Settings; only `sampling_rate`, `nfft`, `noverlap` and `detrend` matter here.

    Returns
    -------
    ndarray of shape (n, 3, bins, frames)
        In g²/Hz.
    """
    from scipy.signal import spectrogram

    signal = np.asarray(windows, np.float64)
    if config.detrend:
        signal = signal - signal.mean(-1, keepdims=True)
    missing = config.nfft - signal.shape[-1]
    if missing > 0:
        signal = np.pad(signal, [(0, 0), (0, 0), (0, missing)])
    return spectrogram(
        signal,
        config.sampling_rate,
        window=np.hanning(config.nfft),
        nperseg=config.nfft,
        noverlap=config.noverlap,
        detrend=False,
    )[2]


def render(windows: NDArray[np.floating], view: View) -> Array:
    """Pictures of windows in float64.

    Parameters
    ----------
    windows
        Shape (n, 3, samples), in g, checked.
    view
        What to draw.

    Returns
    -------
    ndarray of shape (n, 3, height, width)
        In [0, 1].
    """
    if isinstance(view, WaveformConfig):
        return _waveform(np.asarray(windows, np.float64), view)
    decibels = 10 * np.log10(np.maximum(power_density(windows, view), view.floor))
    return _resize(_normalize(decibels, view)[:, :, ::-1], view.width, view.height)


def _normalize(decibels: Array, config: SpectrogramConfig) -> Array:
    if config.normalize == "fixed":
        low, high = config.db_range
        return np.clip((decibels - low) / (high - low), 0, 1)
    over = (2, 3) if config.normalize == "axis" else (1, 2, 3)
    high = decibels.max(over, keepdims=True)
    low = decibels.min(over, keepdims=True)
    if config.dynamic_range is not None:
        low = np.maximum(low, high - config.dynamic_range)
    constant = high - low < CONSTANT_DB
    levels = np.maximum(decibels - low, 0) / np.where(constant, 1.0, high - low)
    return np.where(constant, 0.0, levels)


def _waveform(signal: Array, config: WaveformConfig) -> Array:
    if config.detrend:
        signal = signal - signal.mean(-1, keepdims=True)
    trace = _resize(signal[:, :, None, :], config.width, 1)
    relative = (trace - config.low) / (config.high - config.low)
    level = np.linspace(1, 0, config.height)[:, None]
    # Far from the trace the exponential overflows to infinity, which is a correct black.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp((level - relative) * config.height / 2))


def _resize(pictures: Array, width: int, height: int) -> Array:
    import cv2

    resized = np.empty((*pictures.shape[:2], height, width))
    for target, picture in zip(resized, pictures, strict=True):
        planes = np.ascontiguousarray(picture.transpose(1, 2, 0))
        scaled = cv2.resize(planes, (width, height), interpolation=cv2.INTER_LINEAR)
        target[:] = scaled.transpose(2, 0, 1)
    return resized
