"""QUANT: quantiles of intervals, read by extremely randomised trees.

After Dempster, Schmidt and Webb, "QUANT: a minimalist interval method for time series
classification" (Data Mining and Knowledge Discovery 38, 2024), with its settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from .learners import Background, Predictor, Problem

DEPTH = 6
"""How often a series is halved, at most: intervals of all of it down to a 32nd part."""

SAMPLES_PER_QUANTILE = 4

SMOOTHING = 5
"""Samples over which the first difference is averaged."""

TREES = 200
SHARE_OF_FEATURES = 0.1
"""Of the forest; the share is of the features among which a split is sought."""


def quant_features(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quantiles of dyadic intervals of each axis, its differences and its spectrum.

    Each axis is looked at in four ways: as it is, its first difference (smoothed), its second
    difference, and the absolute values of its Fourier transform. Each of these is cut into 1, 2,
    4, ... equal intervals, and into those again moved by half their length. Of every four samples
    an interval gives one quantile, equally spaced from the least to the largest value; from every
    second one the interval's mean is subtracted.

    Parameters
    ----------
    windows
        Shape (n, 3, samples), g.

    Returns
    -------
    ndarray of shape (n, features)
    """
    axes = np.asarray(windows, np.float64)
    smoothed = uniform_filter1d(np.diff(axes), SMOOTHING, axis=-1, mode="nearest")
    series = (axes, smoothed, np.diff(axes, 2), np.abs(np.fft.rfft(axes)))
    quantiles = [
        _quantiles(each[..., start:end])
        for each in series
        for start, end in intervals(each.shape[-1])
    ]
    return np.concatenate(quantiles, axis=-1).reshape(len(axes), -1).astype(np.float32)


def intervals(samples: int) -> list[tuple[int, int]]:
    """Start and end of every interval of a series, coarse to fine."""
    found: list[tuple[int, int]] = []
    for parts in 2 ** np.arange(DEPTH):
        if parts > samples:
            break
        edges = np.linspace(0, samples, parts + 1).astype(int).tolist()
        cut = list(pairwise(edges))
        # Moved by half, so that what a border cuts in two is whole in another interval.
        half = -(-samples // (2 * int(parts)))
        moved = [(start + half, min(end + half, samples)) for start, end in cut[:-1]]
        found += cut + (moved if half > 1 else [])
    return found


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    count = 1 + (values.shape[-1] - 1) // SAMPLES_PER_QUANTILE
    if count == 1:
        return np.median(values, axis=-1, keepdims=True)
    found = np.moveaxis(np.quantile(values, np.linspace(0, 1, count), axis=-1), 0, -1)
    found[..., 1::2] -= values.mean(-1, keepdims=True)
    return found


@dataclass(frozen=True)
class ExtraTreesLearner:
    """Extremely randomised trees with QUANT's settings."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {"trees": TREES}

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """Each problem by itself."""
        from sklearn.ensemble import ExtraTreesClassifier

        forests = [
            ExtraTreesClassifier(
                TREES,
                criterion="entropy",
                max_features=SHARE_OF_FEATURES,
                random_state=problem.seed,
            )
            for problem in problems
        ]
        return [
            forest.fit(problem.features, problem.labels).predict_proba
            for forest, problem in zip(forests, problems, strict=True)
        ]
