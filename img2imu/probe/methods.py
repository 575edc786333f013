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
Predictor = Callable[[Features], Labels]


class FeatureSet(Protocol):
    """Features of every window under one setting."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of these features."""
        ...

    def of_fold(self, training: NDArray[np.int_]) -> Features:
        """All windows' features, (n, d); `training` are the rows that may be learnt from."""
        ...


@dataclass(frozen=True)
class FixedFeatures:
    """Features that learn nothing from the data: the same in every fold."""

    settings: dict[str, Any]
    array: Features

    def of_fold(self, training: NDArray[np.int_]) -> Features:
        """The features as they are."""
        return self.array


@dataclass(frozen=True)
class MiniRocketFeatures:
    """MiniRocket's 9,996 features; its biases come from the fold's unlabelled training windows."""

    settings: dict[str, Any]
    windows: NDArray[np.float32]

    def of_fold(self, training: NDArray[np.int_]) -> Features:
        """Fit the kernels' biases on the training windows and transform all."""
        from sktime.transformations.panel.rocket import MiniRocketMultivariate

        # More than a thousand windows do not sharpen the quantiles the biases are drawn from.
        sample = np.random.default_rng(0).permutation(training)[:1000]
        transform = MiniRocketMultivariate(random_state=0)
        transform.fit(self.windows[sample].astype(np.float64))
        return np.asarray(transform.transform(self.windows.astype(np.float64)), np.float32)


class Learner(Protocol):
    """Learns small problems from features."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        ...

    def fit(
        self, features: Sequence[Features], labels: Sequence[Labels], seeds: Sequence[int]
    ) -> list[Predictor]:
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

    def fit(
        self, features: Sequence[Features], labels: Sequence[Labels], seeds: Sequence[int]
    ) -> list[Predictor]:
        """Each problem by itself."""
        heads = [fit_logistic(f, y, self.C) for f, y in zip(features, labels, strict=True)]
        return [_by_head(head.weight, head.bias) for head in heads]


@dataclass(frozen=True)
class PaperLearner:
    """:func:`img2imu.probe.linear.fit_paper`."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {}

    def fit(
        self, features: Sequence[Features], labels: Sequence[Labels], seeds: Sequence[int]
    ) -> list[Predictor]:
        """All problems side by side."""
        heads = fit_paper(np.stack(features), np.stack(labels), list(seeds))
        return [_by_head(head.weight, head.bias) for head in heads]


@dataclass(frozen=True)
class ForestLearner:
    """A random forest of 300 trees, scikit-learn's defaults otherwise."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of this learner."""
        return {"trees": 300}

    def fit(
        self, features: Sequence[Features], labels: Sequence[Labels], seeds: Sequence[int]
    ) -> list[Predictor]:
        """Each problem by itself."""
        from sklearn.ensemble import RandomForestClassifier

        return [
            RandomForestClassifier(300, random_state=seed).fit(f, y).predict
            for f, y, seed in zip(features, labels, seeds, strict=True)
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


def minirocket(windows: Windows, C: Sequence[float]) -> Method:
    """MiniRocket with the same logistic regression as ours.

    Raises
    ------
    InputError
        If sktime is not installed.
    """
    from importlib.util import find_spec

    if find_spec("sktime") is None:
        raise InputError("minirocket needs sktime: pip install 'img2imu[baselines]'")
    learners = [LogisticLearner(c) for c in C]
    return Method("minirocket", "logistic", [MiniRocketFeatures({}, windows.X)], learners)


def _by_head(weight: NDArray[np.floating], bias: NDArray[np.floating]) -> Predictor:
    # float32 like the features: a float64 head would copy them all at every prediction.
    w, b = weight.T.astype(np.float32), bias.astype(np.float32)
    return lambda features: (features @ w + b).argmax(1)
