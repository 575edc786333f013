"""What is compared: our features and the alternatives a user would otherwise pick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..recordings.windows import Windows
from .handmade import handmade_features
from .linear import fit_logistic, fit_paper

Features = NDArray[np.float32]
Labels = NDArray[np.int_]
Probabilities = NDArray[np.floating]
Predictor = Callable[[Features], Probabilities]
"""Features (n, d) to probabilities (n, classes)."""


class FeatureSet(Protocol):
    """Features of every window under one setting."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of these features."""
        ...

    @property
    def widths(self) -> Sequence[int] | None:
        """How many features belong to each view; None if they are all of one kind."""
        ...

    def of_fold(self, training: NDArray[np.int_]) -> Features:
        """All windows' features, (n, d); `training` are the rows that may be learnt from."""
        ...


@dataclass(frozen=True)
class FixedFeatures:
    """Features that learn nothing from the data: the same in every fold."""

    settings: dict[str, Any]
    array: Features
    widths: Sequence[int] | None = None

    def of_fold(self, training: NDArray[np.int_]) -> Features:
        """The features as they are."""
        return self.array


@dataclass(frozen=True)
class MiniRocketFeatures:
    """MiniRocket's 9,996 features; its biases come from the fold's unlabelled training windows."""

    settings: dict[str, Any]
    windows: NDArray[np.float32]
    widths: None = None

    def of_fold(self, training: NDArray[np.int_]) -> Features:
        """Fit the kernels' biases on the training windows and transform all."""
        from sktime.transformations.panel.rocket import MiniRocketMultivariate

        # More than a thousand windows do not sharpen the quantiles the biases are drawn from.
        sample = np.random.default_rng(0).permutation(training)[:1000]
        transform = MiniRocketMultivariate(random_state=0)
        transform.fit(self.windows[sample].astype(np.float64))
        return np.asarray(transform.transform(self.windows.astype(np.float64)), np.float32)


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
    """:func:`img2imu.probe.linear.fit_logistic`."""

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
    """:func:`img2imu.probe.linear.fit_paper`."""

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
    """A random forest of 300 trees, scikit-learn's defaults otherwise."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {"trees": 300}

    def fit(self, problems: Sequence[Problem], background: Background) -> list[Predictor]:
        """Each problem by itself."""
        from sklearn.ensemble import RandomForestClassifier

        forests = [RandomForestClassifier(300, random_state=problem.seed) for problem in problems]
        return [
            forest.fit(problem.features, problem.labels).predict_proba
            for forest, problem in zip(forests, problems, strict=True)
        ]


@dataclass(frozen=True)
class Method:
    """A row of the result table: features × learner, each with its candidate settings."""

    name: str
    probe: str
    feature_sets: Sequence[FeatureSet]
    learners: Sequence[Learner]


def hand_forest(windows: Windows) -> Method:
    """Hand-made features with a random forest."""
    features = handmade_features(windows.X, windows.sampling_rate)
    return Method("hand-forest", "forest", [FixedFeatures({}, features)], [ForestLearner()])


MINIROCKET_C = 0.01
"""Inverse penalty of MiniRocket's regression: of 9,996 features, not of one view's."""


def minirocket(windows: Windows) -> Method:
    """MiniRocket with the same logistic regression as ours.

    Raises
    ------
    InputError
        If sktime is not installed.
    """
    from importlib.util import find_spec

    if find_spec("sktime") is None:
        raise InputError("minirocket needs sktime: pip install 'img2imu[baselines]'")
    learners = [LogisticLearner(MINIROCKET_C)]
    return Method("minirocket", "logistic", [MiniRocketFeatures({}, windows.X)], learners)
