"""What learns a small problem from features: two linear probes and a forest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .linear import fit_logistic, fit_paper
from .protocol import Probabilities

Features = NDArray[np.float32]
Labels = NDArray[np.int_]
Predictor = Callable[[Features], Probabilities]
"""Features (n, d) to probabilities (n, classes)."""

TREES = 300
"""Of a forest."""


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
    """

    unlabelled: Features
    widths: Sequence[int] | None


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
    """:func:`.linear.fit_logistic`."""

    C: float

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {"C": self.C}

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """Each problem by itself."""
        return [
            fit_logistic(
                problem.features,
                problem.labels,
                self.C,
                widths=background.widths,
                unlabelled=background.unlabelled,
            ).probabilities
            for problem in problems
        ]


@dataclass(frozen=True)
class PaperLearner:
    """:func:`.linear.fit_paper`."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {}

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """All problems side by side."""
        heads = fit_paper(
            np.stack([problem.features for problem in problems]),
            np.stack([problem.labels for problem in problems]),
            [problem.seed for problem in problems],
        )
        return [head.probabilities for head in heads]


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
