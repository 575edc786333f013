"""What is learnt while somebody labels: features ahead, a head after each answer, its macro-F1."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fewshot import FeatureCache, ProbeConfig
from ..fewshot.features import laid_out
from ..fewshot.linear import (
    LinearHead,
    Others,
    balanced_heads,
    by_view,
    combined,
    scales,
    whitened_heads,
    whitened_scales,
)
from ..fewshot.methods import UNLABELLED_SAMPLE
from ..fewshot.metrics import confusion_matrix, macro_f1
from ..models import build_encoder
from .recordings import Library

Features = NDArray[np.float32]

CHUNK = 1024
"""Windows whose features are kept on disk together: what a kill can cost."""

CANDIDATES = 2000
"""Windows among which the next one is chosen."""

DIMENSIONS = 64
"""Principal components in which windows are near or far."""

FOLDS = 5
"""Of the cross-validation by which macro-F1 is estimated."""

LEAST, LEAST_OF_CLASS = 12, 3
"""Labelled windows, and those of each of two classes at least, from which on it is."""

RESAMPLES = 400
"""Of the bootstrap that says how uncertain it is."""


def compute_features(
    library: Library,
    config: ProbeConfig,
    device: str = "cpu",
    on_batch: Callable[[int], Any] = lambda count: None,
    cache: FeatureCache | None = None,
) -> tuple[list[Features], list[int]]:
    """The frozen encoder's features of all windows, some at a time, from disk where they are.

    Trends over time are left out: it takes more labels to tell whether they help.

    Parameters
    ----------
    library
        The windows.
    config
        What is drawn and what reads it.
    device
        Where the encoder runs.
    on_batch
        Called with the number of windows done; what it raises ends the work.
    cache
        The user's when None.

    Returns
    -------
    features : list of ndarray of shape (m, d)
        Memory maps, in the order of the windows.
    widths : list of int
        How many of the d belong to each view.
    """
    rate, samples = library.config.sampling_rate, library.config.samples
    views = config.drawing(rate, samples, library.sensors)
    encoder = build_encoder(config.encoder, axes=3 * len(library.sensors))
    cache = cache or FeatureCache()
    parts: list[NDArray[np.float32]] = []
    widths: list[int] = []
    for first in range(0, len(library), CHUNK):
        windows = library.windows(range(first, min(first + CHUNK, len(library))))
        stages = cache.get(
            windows, views, encoder, sensors=library.sensors, device=device, on_batch=on_batch
        )
        features, widths, _ = laid_out(stages, len(views), 0)
        parts.append(features)
    return parts, widths


class Learning:
    """Features of all windows, and what can be learnt from few of them quickly.

    Parameters
    ----------
    parts
        Features, in parts of shape (m, d).
    widths
        How many of the d belong to each view.
    C
        Inverse penalty of each view's regression.
    seed
        Of the windows that stand for all.

    Attributes
    ----------
    candidates
        Numbers of the windows that stand for all, sorted.
    points
        Shape (candidates, dimensions): they in principal components of the standardised features.
    """

    def __init__(
        self, parts: Sequence[Features], widths: Sequence[int], C: float = 0.1, seed: int = 0
    ) -> None:
        self.parts, self.C = parts, C
        self._ends = np.cumsum([len(part) for part in parts])
        order = np.random.default_rng(seed).permutation(self._ends[-1])
        self.candidates = np.sort(order[:CANDIDATES])
        typical = self.rows(np.sort(order[:UNLABELLED_SAMPLE]))
        self._others = Others(scales(typical, widths), typical)
        scaled = self._scaled(self.rows(self.candidates))
        self._centre = scaled.mean(0)
        self._axes = _principal_axes(scaled - self._centre)
        self.points = (scaled - self._centre) @ self._axes

    def rows(self, numbers: NDArray[np.intp]) -> Features:
        """Features of some windows."""
        part = np.searchsorted(self._ends, numbers, side="right")
        first = np.concatenate([[0], self._ends])[part]
        pairs = zip(part.tolist(), (numbers - first).tolist(), strict=True)
        return np.stack([self.parts[place][row] for place, row in pairs])

    def project(self, numbers: NDArray[np.intp]) -> NDArray[np.float32]:
        """Some windows among the :attr:`points`."""
        return (self._scaled(self.rows(numbers)) - self._centre) @ self._axes

    def _scaled(self, features: Features) -> Features:
        scales = self._others.scales
        views = zip(by_view(features, scales), scales, strict=True)
        scaled = [scale.apply(view) for view, scale in views]
        return np.concatenate(scaled, axis=1).astype(np.float32)

    def fit(self, numbers: NDArray[np.intp], labels: NDArray[np.int_]) -> LinearHead:
        """The head that a classifier would get from these windows, of at least two classes."""
        features = self.rows(numbers)
        return combined(whitened_heads(features, labels, self.C, self._others))

    def probabilities(self, head: LinearHead) -> NDArray[np.float32]:
        """Of all windows, (n, classes)."""
        return np.concatenate([head.probabilities(part) for part in self.parts])

    def estimate(
        self, numbers: NDArray[np.intp], labels: NDArray[np.int_], groups: NDArray[np.intp]
    ) -> Estimate | None:
        """:func:`estimate_f1` of the labelled windows.

        How windows of a class differ is told by all of them once, labelled or not: too much for
        each part anew, and the few that are left out hardly change it.
        """
        whitened = whitened_scales(self.rows(numbers), labels, self.C, self._others)

        def learn(
            features: Features, known: NDArray[np.int_], others: Features
        ) -> NDArray[np.intp]:
            heads = balanced_heads(features, known, self.C, whitened, self._others.mean)
            return combined(heads).logits(others).argmax(1)

        return estimate_f1(self.rows(numbers), labels, groups, learn)


def _principal_axes(centred: Features) -> NDArray[np.float32]:
    """The first principal axes of rows (m, d), as columns (d, dimensions)."""
    values, vectors = np.linalg.eigh(centred @ centred.T)
    kept = slice(None, -1 - min(DIMENSIONS, len(values) - 1), -1)
    roots = np.sqrt(np.maximum(values[kept], values[-1] * 1e-6))
    return (centred.T @ (vectors[:, kept] / roots)).astype(np.float32)


@dataclass(frozen=True)
class Estimate:
    """Macro-F1 of labelled windows, each labelled by a classifier that has not seen its group.

    Attributes
    ----------
    f1
        Over the classes that have labels.
    low, high
        95 % of a bootstrap over groups, and in each over its windows.
    groups
        How many there are.
    """

    f1: float
    low: float
    high: float
    groups: int


def estimate_f1(
    features: Features,
    labels: NDArray[np.int_],
    groups: NDArray[np.intp],
    learn: Callable[[Features, NDArray[np.int_], Features], NDArray[np.intp]],
) -> Estimate | None:
    """Cross-validate with no group on both sides; None where labels or groups do not suffice.

    Parameters
    ----------
    features
        Shape (n, d), of the labelled windows.
    labels
        Shape (n,), class numbers from 0.
    groups
        Shape (n,): persons, recordings or stretches of time.
    learn
        From features, labels from 0 and others' features the others' labels.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    counts, count = np.bincount(labels), len(np.unique(groups))
    if len(labels) < LEAST or count < 2 or (counts >= LEAST_OF_CLASS).sum() < 2:
        return None
    number = min(FOLDS, count, int(counts.max()))
    folds = StratifiedGroupKFold(number, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class of fewer windows than folds is no surprise here.
        warnings.simplefilter("ignore", UserWarning)
        parts = list(folds.split(features, labels, groups))
    told = np.zeros(len(labels), np.intp)
    for training, test in parts:
        known, numbers = np.unique(labels[training], return_inverse=True)
        told[test] = (
            known[learn(features[training], numbers, features[test])] if len(known) > 1 else known
        )
    classes = len(counts)
    f1 = macro_f1(confusion_matrix(labels, told, classes))
    drawn = [
        macro_f1(confusion_matrix(labels[rows], told[rows], classes))
        for rows in _resampled(groups, np.random.default_rng(0))
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(f1, float(low), float(high), count)


def _resampled(groups: NDArray[np.intp], rng: np.random.Generator) -> list[NDArray[np.intp]]:
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    return [
        np.concatenate(
            [
                rng.choice(members[group], len(members[group]))
                for group in rng.integers(len(members), size=len(members))
            ]
        )
        for _ in range(RESAMPLES)
    ]
