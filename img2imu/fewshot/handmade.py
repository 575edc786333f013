"""Hand-made features of a window: what a practitioner computes before reaching for a network."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

BANDS = ((0.1, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 5.0), (5.0, 10.0), (10.0, 25.0))
"""Edges in Hz over which the spectrum's power is summed: posture sway up to impacts."""


def handmade_features(windows: NDArray[np.float32], sampling_rate: float) -> NDArray[np.float32]:
    """Time, frequency and correlation features of each sensor's three axes and magnitude.

    For each of these signals: mean, deviation, extremes, quartiles, interquartile range, mean
    absolute change, mean crossings, skewness, kurtosis, dominant frequency with its share of the
    power, spectral entropy and log power in :data:`BANDS`; then the correlations of all axes.

    Parameters
    ----------
    windows
        Shape (n, 3 * sensors, samples), g (rad/s, uT).
    sampling_rate
        In Hz.

    Returns
    -------
    ndarray of shape (n, 91) of one sensor, and (n, 191) of two
    """
    axes = np.asarray(windows, np.float64)
    triads = axes.reshape(len(axes), -1, 3, axes.shape[-1])
    magnitude = np.sqrt((triads**2).sum(2))
    signals = np.concatenate([axes, magnitude], axis=1)
    features = [*_in_time(signals), *_in_frequency(signals, sampling_rate)]
    return np.concatenate([*features, _correlations(axes)], axis=1).astype(np.float32)


def _in_time(signals: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    mean, deviation = signals.mean(-1), signals.std(-1)
    centred = signals - mean[..., None]
    standard = centred / np.where(deviation > 0, deviation, 1)[..., None]
    low, median, high = np.percentile(signals, (25, 50, 75), axis=-1)
    return [
        mean,
        deviation,
        signals.min(-1),
        signals.max(-1),
        low,
        median,
        high,
        high - low,
        np.abs(np.diff(signals)).mean(-1),
        (np.diff(np.signbit(centred)) != 0).mean(-1),
        (standard**3).mean(-1),
        (standard**4).mean(-1),
    ]


def _in_frequency(signals: NDArray[np.float64], rate: float) -> list[NDArray[np.float64]]:
    samples = signals.shape[-1]
    centred = signals - signals.mean(-1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * np.hanning(samples))) ** 2
    frequency = np.fft.rfftfreq(samples, 1 / rate)
    total = power.sum(-1) + 1e-12
    share = power / total[..., None]
    peak = power.argmax(-1)
    bands = [
        np.log(power[..., (frequency >= low) & (frequency < high)].sum(-1) + 1e-9)
        for low, high in BANDS
    ]
    return [
        frequency[peak],
        share.max(-1),
        -(share * np.log(share + 1e-12)).sum(-1),
        *bands,
    ]


def _correlations(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = axes - axes.mean(-1, keepdims=True)
    norm = np.sqrt((centred**2).sum(-1))
    pairs = [
        (centred[:, i] * centred[:, j]).sum(-1) / np.maximum(norm[:, i] * norm[:, j], 1e-12)
        for i, j in combinations(range(axes.shape[1]), 2)
    ]
    return np.stack(pairs, axis=1)
