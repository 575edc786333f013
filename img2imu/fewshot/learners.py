"""What learns a small problem from features: two linear probes, neighbours and a forest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .linear import (
    PAPER_LR,
    LinearHead,
    Others,
    combined,
    fit_paper,
    scales,
    view_heads,
    whitened_heads,
)
from .protocol import Probabilities

Features = NDArray[np.float32]
Labels = NDArray[np.int_]
Predictor = Callable[[Features], Probabilities]
"""Features (n, d) to probabilities (n, classes)."""

TREES = 300
"""Of a forest."""

NEIGHBOURS = 20
TEMPERATURE = 0.07
"""Labelled windows that vote at most, and the temperature of their votes (Wu et al. 2018)."""

ORDERS = (0.0, 0.2, 0.4, 0.7, 1.0)
"""Weights of what came first in a window, among which a task's own data choose; 0 does without."""


@dataclass(frozen=True)
class Problem:
    """A few labelled windows: features (n, d), labels (n,) and the seed of whatever is random."""

    features: Features
    labels: Labels
    seed: int


@dataclass(frozen=True)
class Background:
    """What all problems of a fold may learn from beside their labelled windows.

    Attributes
    ----------
    unlabelled
        Features (m, d) of windows of the training subjects, their labels unknown.
    widths
        How many features belong to each view; None if they are all of one kind.
    trends
        Which of these are of trends over time; empty where none are.
    heads
        What was learnt of a problem, for learners that differ in nothing else than its use.
    """

    unlabelled: Features
    widths: Sequence[int] | None
    trends: Sequence[bool] = ()
    heads: dict[tuple[int, float, bool], list[LinearHead]] = field(default_factory=dict)

    @property
    def views(self) -> Any:
        """Index of the features that are no trends over time."""
        if self.widths and self.trends:
            return np.repeat(np.logical_not(self.trends), self.widths)
        return slice(None)

    @cached_property
    def others(self) -> Others:
        """The unlabelled windows, which tell how the features of each view are standardised."""
        known = scales(self.unlabelled, self.widths or [self.unlabelled.shape[1]])
        return Others(known, self.unlabelled, self.trends)


class Learner(Protocol):
    """Learns small problems from features."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        ...

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """One predictor for each problem; all problems are of one size."""
        ...


@dataclass(frozen=True)
class LogisticLearner:
    """Logistic regressions of :mod:`.linear`, their sum a linear head.

    Attributes
    ----------
    C
        Inverse penalty.
    order
        Weight of what came first; None where the features do not tell.
    whiten
        Whether it learns twice, the second time from features whitened within classes.
    """

    C: float
    order: float | None = None
    whiten: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {"C": self.C} | ({} if self.order is None else {"order": self.order})

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """Each problem by itself."""
        return [
            combined(
                self._heads(problem, background), background.trends, self.order or 0.0
            ).probabilities
            for problem in problems
        ]

    def _heads(self, problem: Problem, background: Background) -> list[LinearHead]:
        key = id(problem), self.C, self.whiten
        if key not in background.heads:
            given, others = (problem.features, problem.labels, self.C), background.others
            background.heads[key] = (
                whitened_heads(*given, others) if self.whiten else view_heads(*given, others.scales)
            )
        return background.heads[key]


@dataclass(frozen=True)
class PaperLearner:
    """:func:`.linear.fit_paper`, with its highest learning rate and weight decay."""

    lr: float = PAPER_LR
    weight_decay: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {"lr": self.lr, "weight_decay": self.weight_decay}

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """All problems side by side; trends over time are no part of the paper's."""
        views = background.views
        heads = fit_paper(
            np.stack([problem.features[:, views] for problem in problems]),
            np.stack([problem.labels for problem in problems]),
            [problem.seed for problem in problems],
            lr=self.lr,
            weight_decay=self.weight_decay,
        )
        return [partial(_of_views, head, views) for head in heads]


def _of_views(head: LinearHead, views: Any, features: Features) -> Probabilities:
    """Probabilities by some of the features, those of the views."""
    return head.probabilities(features[:, views])


@dataclass(frozen=True)
class NeighboursLearner:
    """The nearest labelled windows vote, by exp(cosine / 0.07) (Wu et al. 2018, 1805.01978).

    Of each class as many are labelled as shots, so that more neighbours than shots would always
    be of several classes: no more than the shots vote, nor more than :data:`NEIGHBOURS`. Features
    are standardised as for the logistic regressions; trends over time take no part.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {"neighbours": NEIGHBOURS, "temperature": TEMPERATURE}

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """Each problem by itself."""
        mean, deviation = (
            np.concatenate([getattr(scale, name) for scale in background.others.scales])
            for name in ("mean", "deviation")
        )

        def unit(features: Features) -> Any:
            scaled = ((features - mean) / deviation)[:, background.views]
            return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)

        def vote(problem: Problem, features: Features) -> Probabilities:
            count = min(NEIGHBOURS, int(np.unique(problem.labels, return_counts=True)[1].min()))
            cosine = unit(features) @ unit(problem.features).T
            nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
            weight = np.exp((np.take_along_axis(cosine, nearest, axis=1) - 1) / TEMPERATURE)
            votes = np.zeros((len(features), problem.labels.max() + 1))
            rows = np.arange(len(features))[:, None]
            np.add.at(votes, (rows, problem.labels[nearest]), weight)
            return np.asarray(votes / votes.sum(axis=1, keepdims=True), np.float32)

        return [partial(vote, problem) for problem in problems]


@dataclass(frozen=True)
class ForestLearner:
    """A random forest, scikit-learn's defaults but for the number of trees."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {"trees": TREES}

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """Each problem by itself."""
        from sklearn.ensemble import RandomForestClassifier

        forests = [RandomForestClassifier(TREES, random_state=problem.seed) for problem in problems]
        return [
            forest.fit(problem.features, problem.labels).predict_proba
            for forest, problem in zip(forests, problems, strict=True)
        ]
