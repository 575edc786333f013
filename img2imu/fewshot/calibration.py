"""Probabilities that mean what they say, and what is strange, told by people left out.

A head learnt without somebody's windows answers for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from .linear import Array, Others, combined, scales, whitened_heads
from .order import left_out
from .strangeness import Known, Signs, Strangeness

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


LEAST_PEOPLE = 3
"""Of whom each is left out once; fewer tell nothing of people in general."""


@dataclass(frozen=True)
class HeldOut:
    """Answers to labelled windows of people who were not learnt from.

    Attributes
    ----------
    signs
        Of n windows, the logits among them.
    labels
        Shape (n,), class numbers.
    groups
        Shape (n,): whose windows they are.
    """

    signs: Signs
    labels: NDArray[np.int_]
    groups: NDArray[Any]

    @property
    def temperature(self) -> float:
        """As of :func:`fit_temperature`."""
        return fit_temperature(self.signs.logits, self.labels)

    def strangeness(self, known: Known) -> tuple[Strangeness, Array]:
        """What tells strange windows, and below which strangeness 0 to 100 percent of them are.

        They are below it in each person: some are stranger than others, and of all windows together
        the threshold would give up theirs. The module takes logits divided by the temperature;
        `known` is what everybody teaches.
        """
        logits = self.signs.logits / self.temperature
        module = Strangeness.fit(known, replace(self.signs, logits=logits), self.labels)
        signs = self.signs.distance, logits, self.signs.odd
        strange = module.combine(*map(torch.from_numpy, signs)).numpy()
        each = [
            np.percentile(strange[self.groups == person], np.arange(101))
            for person in np.unique(self.groups)
        ]
        return module, np.max(each, axis=0)


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
    features, labels, C
        As of :func:`.linear.whitened_heads`.
    groups
        Shape (n,), whose windows they are.
    unlabelled
        Features (m, d) of other windows, and whose they are, (m,).
    widths
        As of :func:`.linear.scales`.
    trends, order
        As of :func:`.linear.combined`.

    Returns
    -------
    HeldOut
        None below :data:`LEAST_PEOPLE`, or where nobody can be left out without a class.
    """
    if len(np.unique(groups)) < LEAST_PEOPLE:
        return None
    others, whose = unlabelled
    signs, tested = [], []
    for training, test in left_out(labels, groups):
        seen = others[~np.isin(whose, groups[test])]
        known = scales(np.concatenate([features[training], seen]), widths)
        heads = whitened_heads(features[training], labels[training], C, Others(known, seen, trends))
        logits = combined(heads, trends, order).logits(features[test])
        classes = Known.of(features[training], labels[training], seen, known, trends)
        signs.append(classes.signs(features[test], logits))
        tested.append(test)
    if not signs:
        return None
    parts = zip(*(vars(each).values() for each in signs), strict=True)
    rows = np.concatenate(tested)
    return HeldOut(Signs(*map(np.concatenate, parts)), labels[rows], groups[rows])


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
