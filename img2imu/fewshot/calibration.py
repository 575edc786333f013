"""Probabilities that mean what they say, and windows that are like none of the classes.

Both are told by people left out: a head learnt without somebody's windows answers for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from .linear import Array, combined, scales, whitened_heads
from .order import left_out

BINS = 15
"""Of the reliability diagram, equally wide."""

LEAST, MOST = 0.1, 10.0
"""Temperatures among which one is sought."""

DOUBT = 0.5
"""Deviation of the logarithm of temperatures as they usually are: a few windows tell little."""


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.int_]) -> float:
    """What logits are divided by so that the labels are likeliest (C. Guo et al., ICML 2017).

    Before any is seen it is about 1, within :data:`DOUBT`.

    Parameters
    ----------
    logits
        Shape (n, k), of windows that were not learnt from.
    labels
        Shape (n,), class numbers.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))

    def surprise(log_temperature: float) -> float:
        told = log_softmax(logits / np.exp(log_temperature), axis=1)
        return (log_temperature / DOUBT) ** 2 / 2 - float(told[rows, labels].sum())

    found = minimize_scalar(surprise, bounds=(np.log(LEAST), np.log(MOST)), method="bounded")
    return float(np.exp(found.x))


def strangeness(logits: NDArray[np.floating]) -> Array:
    """How little windows are like any class, (n,): the energy of their logits (n, k).

    W. Liu et al., *Energy-based Out-of-distribution Detection*, NeurIPS 2020.
    """
    return np.asarray(-logsumexp(logits, axis=1), np.float64)


LEAST_PEOPLE = 3
"""Of whom each is left out once; fewer tell nothing of people in general."""


@dataclass(frozen=True)
class HeldOut:
    """Answers to labelled windows of people who were not learnt from.

    Attributes
    ----------
    logits
        Shape (n, k).
    labels
        Shape (n,), class numbers.
    """

    logits: Array
    labels: NDArray[np.int_]

    @property
    def temperature(self) -> float:
        """As of :func:`fit_temperature`."""
        return fit_temperature(self.logits, self.labels)

    def quantiles(self, temperature: float) -> Array:
        """Percentiles 0 to 100 of :func:`strangeness`, of logits divided by `temperature`."""
        return np.percentile(strangeness(self.logits / temperature), np.arange(101))


def hold_out(
    features: Array,
    labels: NDArray[np.int_],
    groups: NDArray[Any],
    C: float,
    unlabelled: tuple[Array, NDArray[Any]],
    widths: Sequence[int],
    trends: Sequence[bool],
    order: float,
) -> HeldOut | None:
    """Learn the head again without some people, in turn, and answer for these.

    Parameters
    ----------
    features, labels, C, trends
        As of :func:`.linear.whitened_heads`.
    groups
        Shape (n,), whose windows they are.
    unlabelled
        Features (m, d) of other windows, and whose they are, (m,).
    widths
        As of :func:`.linear.scales`.
    order
        As of :func:`.linear.combined`.

    Returns
    -------
    HeldOut
        None below :data:`LEAST_PEOPLE`, or where nobody can be left out without a class.
    """
    if len(np.unique(groups)) < LEAST_PEOPLE:
        return None
    others, whose = unlabelled
    logits, tested = [], []
    for training, test in left_out(labels, groups):
        seen = others[~np.isin(whose, groups[test])]
        known = scales(np.concatenate([features[training], seen]), widths)
        heads = whitened_heads(features[training], labels[training], C, known, seen, trends)
        logits.append(combined(heads, trends, order).logits(features[test]))
        tested.append(labels[test])
    return HeldOut(np.concatenate(logits), np.concatenate(tested)) if logits else None


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, in bins of confidence.

    Attributes
    ----------
    count, confidence, accuracy
        Shape (:data:`BINS`,): windows, their mean confidence and the share that is right, 0 where
        there are none.
    """

    count: NDArray[np.int_]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @classmethod
    def of(cls, sure: NDArray[np.floating], right: NDArray[np.bool_]) -> Reliability:
        """From the confidence of answers, (n,), and which of them are right."""
        place = np.minimum((sure * BINS).astype(np.intp), BINS - 1)
        count = np.bincount(place, minlength=BINS)
        each = np.maximum(count, 1)
        return cls(
            count,
            np.bincount(place, sure, BINS) / each,
            np.bincount(place, right, BINS) / each,
        )

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, weighted by the windows."""
        apart = np.abs(self.confidence - self.accuracy)
        return float((apart * self.count).sum() / max(self.count.sum(), 1))
