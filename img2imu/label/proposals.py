"""Which window to label next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .learning import Learning

REACH = 1.5
"""How far a window without any labelled one near it counts as being, in median distances."""

SPREAD = 0.5
"""Power of the number of answers about a recording by which the worth of its windows is divided."""


class Proposer:
    """Proposes windows that are typical of many others about which little is known.

    The worth of a window is what the others would gain by its label: each gains as much as its
    nearest labelled window comes nearer, times how unsure the classifier is about it. Without a
    classifier all are equally unsure, and the first proposals are the centres of what there is.
    Greedy choice by such a worth is facility location, a submodular function for which it is nearly
    the best (Wei, Iyer, Bilmes: Submodularity in data subset selection and active learning, ICML
    2015). A recording that was asked about is asked about less.

    Parameters
    ----------
    learning
        Whose candidates are proposed.
    recording
        Shape (n,): number of each window's.
    """

    def __init__(self, learning: Learning, recording: NDArray[np.intp]) -> None:
        self._numbers, self._points = learning.candidates, learning.points
        self._learning, self._recording = learning, recording
        self._distance = distances(self._points, self._points)
        self._far = REACH * float(np.median(self._distance))

    def propose(
        self,
        count: int,
        asked: NDArray[np.bool_],
        taken: NDArray[np.bool_],
        probability: NDArray[np.float32] | None = None,
    ) -> list[int]:
        """Numbers of the `count` windows to label next, each chosen as if those before were.

        Parameters
        ----------
        count
            Fewer are proposed where fewer are left.
        asked
            Shape (n,): windows that have an answer, or are about to get one.
        taken
            Shape (n,): these, and others that are not to be proposed.
        probability
            Shape (n, classes), of the classifier so far.
        """
        unsure = np.ones(len(self._numbers))
        if probability is not None:
            ranked = np.sort(probability[self._numbers], axis=1)
            unsure = 1.0 - (ranked[:, -1] - ranked[:, -2])
        nearest = np.full(len(self._numbers), self._far)
        known = np.flatnonzero(asked)
        if len(known):
            away = distances(self._points, self._learning.project(known)).min(1)
            nearest = np.minimum(nearest, away)
        often = np.bincount(self._recording[known], minlength=self._recording.max() + 1)
        open_ = ~taken[self._numbers]
        proposed: list[int] = []
        while len(proposed) < count and open_.any():
            gain = unsure @ np.maximum(nearest[:, None] - self._distance, 0)
            worth = gain / (1 + often[self._recording[self._numbers]]) ** SPREAD
            best = int(np.where(open_, worth, -1).argmax())
            open_[best] = False
            nearest = np.minimum(nearest, self._distance[best])
            number = int(self._numbers[best])
            often[self._recording[number]] += 1
            proposed.append(number)
        return proposed


def distances(points: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean, of shape (points, others)."""
    squared = (points**2).sum(1)[:, None] + (others**2).sum(1) - 2 * points @ others.T
    return np.sqrt(np.maximum(squared, 0))


def spread(
    recording: NDArray[np.intp], person: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """All windows in an order that spreads them over people, recordings and time.

    Every person gives a first window before any gives a second, of another recording where there
    is one.

    Parameters
    ----------
    recording, person
        Shape (n,): numbers of each window's.
    rng
        Draws within a recording.
    """
    turn = _turns(recording, rng.random(len(recording)))
    # Within a person, the first windows of all recordings come before the second ones.
    later = _turns(person, turn + rng.random(len(recording)))
    return np.lexsort((rng.random(len(recording)), later))


def _turns(group: NDArray[np.intp], key: NDArray[np.float64]) -> NDArray[np.intp]:
    """Place of each element within its group, sorted by `key`."""
    order = np.lexsort((key, group))
    ends = np.flatnonzero(np.diff(group[order])) + 1
    starts = np.repeat(np.append(0, ends), np.diff(np.concatenate([[0], ends, [len(group)]])))
    turns = np.empty(len(group), np.intp)
    turns[order] = np.arange(len(group)) - starts
    return turns
