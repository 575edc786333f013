"""Windows for the converter's tests, and the picture as anyone would draw it with mlab."""

from __future__ import annotations

import warnings

import cv2
import matplotlib.mlab as mlab
import numpy as np


def movement(count, samples, seed=0, sampling_rate=50.0):
    """Gravity, a few tones and noise, (count, 3, samples), float32, in g."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / sampling_rate
    pace = rng.uniform(0.5, sampling_rate / 3, (count, 3, 3, 1))
    tones = rng.exponential(0.3, (count, 3, 3, 1)) * np.sin(2 * np.pi * pace * time)
    noise = 0.02 * rng.normal(size=(count, 3, samples))
    gravity = rng.uniform(-1, 1, (count, 3, 1))
    return (gravity + tones.sum(2) + noise).astype(np.float32)


def mlab_density(axis, config):
    """(samples,) to (bins, frames)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlab warns of windows with a single frame
        return mlab.specgram(
            axis, NFFT=config.nfft, Fs=config.sampling_rate, noverlap=config.noverlap
        )[0]


def mlab_picture(window, config):
    """(3, samples) to bytes (3, height, width), normalised by axis."""
    planes = []
    for axis in window.astype(np.float64):
        decibels = 10 * np.log10(np.maximum(mlab_density(axis, config), config.floor))
        if config.dynamic_range is not None:
            decibels = np.maximum(decibels, decibels.max() - config.dynamic_range)
        planes.append((decibels - decibels.min()) / (decibels.max() - decibels.min()))
    picture = np.ascontiguousarray(np.stack(planes, -1)[::-1])
    resized = cv2.resize(picture, (config.width, config.height))
    return (resized * 255 + 0.5).astype(np.uint8).transpose(2, 0, 1)


def levels_apart(first, second):
    """Largest difference of two byte pictures in grey levels."""
    return int(np.abs(first.astype(int) - second.astype(int)).max())
