"""The two linear probes: logistic regression solved to optimality, and the paper's schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import softmax

Array = NDArray[np.floating]

QUIET = 0.1
"""Least deviation of a feature, in medians of all features' deviations, when standardising."""

SHRINKAGE = 0.3
"""Share of the identity in the covariance by which features are whitened."""


@dataclass(frozen=True)
class LinearHead:
    """``features @ weight.T + bias``: weight (classes, features), bias (classes,), float64."""

    weight: Array
    bias: Array

    def logits(self, features: Array) -> Array:
        """Scores of shape (n, classes)."""
        return features @ self.weight.T + self.bias

    def probabilities(self, features: Array) -> Array:
        """Shape (n, classes), in the precision of the features."""
        # A head in float64 would copy all features at every prediction.
        weight, bias = self.weight.T.astype(features.dtype), self.bias.astype(features.dtype)
        return softmax(features @ weight + bias, axis=1)


def fit_logistic(
    features: Array,
    labels: NDArray[np.int_],
    C: float,
    *,
    widths: Sequence[int] | None = None,
    unlabelled: Array | None = None,
    trends: Sequence[bool] = (),
    order: float = 0.0,
) -> LinearHead:
    """L2 multinomial logistic regressions on standardised features, one for each view, summed.

    Regressions that see one view each disagree where a single one over all views would fit the
    few samples by whatever view fits them best. Their sum is a linear head again; it is divided
    by the square root of their number, which leaves probabilities about as sharp as one's.

    A deviation below :data:`QUIET` of the median one counts as that, so that no weight can grow
    without bounds on features that the few samples hardly move.

    Parameters
    ----------
    features
        Shape (n, d).
    labels
        Shape (n,), class numbers 0 to c - 1, each present.
    C
        Inverse strength of the penalty of each regression.
    widths
        How many features belong to each view, in order; None takes all together.
    unlabelled
        Shape (m, d), windows of whatever class that tell mean and deviation of the features
        better than the few labelled ones; None takes those.
    trends
        Which of the `widths` are of trends over time; none where it is empty.
    order
        Weight of the sum of their regressions beside that of the others.

    Returns
    -------
    LinearHead
        For the features as given: mean and deviation are folded in.
    """
    widths = widths or [features.shape[1]]
    typical = features if unlabelled is None else unlabelled
    return combined(view_heads(features, labels, C, scales(typical, widths)), trends, order)


@dataclass(frozen=True)
class Scale:
    """What makes the features of a view comparable: ``(x - mean) / deviation @ basis``."""

    mean: Array
    deviation: Array
    basis: Array | None = None


def scales(typical: Array, widths: Sequence[int], differences: Array | None = None) -> list[Scale]:
    """How each view's features are standardised and, by `differences`, whitened.

    Neighbouring windows of a recording nearly always show the same activity: how their features
    differ is what says nothing about it. Divided by that covariance, what remains counts
    (within-class covariance normalisation, Hatch et al. 2006, without the classes).

    Parameters
    ----------
    typical
        (m, d), windows of whatever class.
    widths
        How many features belong to each view.
    differences
        (p, d), between neighbouring windows; None standardises only.
    """
    edges = np.cumsum(widths)[:-1]
    views = np.split(typical, edges, 1)
    if differences is None:
        return [_scale(view) for view in views]
    parts = zip(views, np.split(differences, edges, 1), strict=True)
    return [_scale(view, part) for view, part in parts]


def _scale(typical: Array, differences: Array | None = None) -> Scale:
    mean, deviation = typical.mean(0, dtype=np.float64), typical.std(0, dtype=np.float64)
    # Standardised as it is, a feature that hardly ever changes would be nothing but its noise.
    deviation = np.maximum(deviation, QUIET * np.median(deviation))
    deviation[deviation == 0] = 1.0
    if differences is None:
        return Scale(mean, deviation)
    scaled = differences / deviation
    covariance = scaled.T @ scaled / len(scaled)
    variance = np.trace(covariance) / len(covariance)
    covariance *= 1 - SHRINKAGE
    covariance[np.diag_indices_from(covariance)] += SHRINKAGE * variance
    # Any root of the inverse will do: a rotation changes nothing for a penalty on the length.
    lower = np.linalg.cholesky(covariance)
    basis = solve_triangular(lower, np.eye(len(lower)), lower=True).T
    # As large as without whitening, so that the penalty means the same.
    return Scale(mean, deviation, basis / ((typical - mean) / deviation @ basis).std())


def view_heads(
    features: Array, labels: NDArray[np.int_], C: float, known: Sequence[Scale]
) -> list[LinearHead]:
    """The regression of each view; see :func:`fit_logistic`."""
    edges = np.cumsum([len(scale.mean) for scale in known])[:-1]
    views = zip(np.split(features, edges, 1), known, strict=True)
    return [_fit_view(view, scale, labels, C) for view, scale in views]


def combined(
    heads: Sequence[LinearHead], trends: Sequence[bool] = (), order: float = 0.0
) -> LinearHead:
    """The sum of the heads of all views, and `order` times that of those flagged in `trends`."""
    flags = trends or [False] * len(heads)
    views, ordered = len(heads) - sum(flags), sum(flags)
    scales = [order / math.sqrt(ordered) if flag else 1 / math.sqrt(views) for flag in flags]
    scaled = list(zip(heads, scales, strict=True))
    weight = np.concatenate([head.weight * scale for head, scale in scaled], axis=1)
    return LinearHead(weight, np.sum([head.bias * scale for head, scale in scaled], axis=0))


def _fit_view(features: Array, scale: Scale, labels: NDArray[np.int_], C: float) -> LinearHead:
    from sklearn.linear_model import LogisticRegression

    scaled = (features - scale.mean) / scale.deviation
    if scale.basis is not None:
        scaled = scaled @ scale.basis
    rotated, rows = _row_space(scaled)
    model = LogisticRegression(C=C, tol=1e-5, max_iter=2000).fit(rotated, labels)
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        # One row stands for the difference of two classes.
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight @ rows
    if scale.basis is not None:
        weight = weight @ scale.basis.T
    weight = weight / scale.deviation
    return LinearHead(weight, bias - weight @ scale.mean)


def _row_space(scaled: Array) -> tuple[Array, Array]:
    """Coordinates (n, r) and orthonormal basis (r, d) of the rows, r at most n.

    The optimum of an L2-penalised linear model lies in the span of its samples, so with fewer
    samples than features the same problem is solved in far fewer dimensions.
    """
    if scaled.shape[0] >= scaled.shape[1]:
        return scaled, np.eye(scaled.shape[1])
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    kept = values > values[-1] * 1e-12
    root = np.sqrt(values[kept])
    return vectors[:, kept] * root, (vectors[:, kept] / root).T @ scaled


def paper_learning_rate(epoch: int, epochs: int = 50, warmup: int = 10) -> float:
    """Learning rate of the paper's §IV-A4: 1e-8 up to 1e-5 over `warmup`, cosine down to 1e-6."""
    if epoch < warmup:
        return 1e-8 + (1e-5 - 1e-8) * epoch / warmup
    progress = (epoch - warmup) / (epochs - 1 - warmup)
    return 1e-6 + (1e-5 - 1e-6) * (1 + math.cos(math.pi * progress)) / 2


def fit_paper(
    features: Array, labels: NDArray[np.int_], seeds: list[int], epochs: int = 50, batch: int = 4
) -> list[LinearHead]:
    """The paper's linear layer: Adam with :func:`paper_learning_rate`, batch 4, raw features.

    Independent problems of equal size are trained side by side; each behaves as if alone.

    Parameters
    ----------
    features
        Shape (problems, n, d).
    labels
        Shape (problems, n), class numbers.
    seeds
        One per problem: initial weights and the order of the samples.

    Returns
    -------
    list of LinearHead, one per problem
    """
    classes = int(labels.max()) + 1
    x = torch.tensor(features, dtype=torch.float32)
    problems, n, width = x.shape
    target = torch.nn.functional.one_hot(torch.from_numpy(labels), classes).float()
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    bound = 1 / math.sqrt(width)
    # Weight and bias in one array, as torch's Linear draws them.
    parameters = torch.stack(
        [torch.empty(classes, width + 1).uniform_(-bound, bound, generator=g) for g in generators]
    )
    x = torch.cat([x, torch.ones(problems, n, 1)], dim=2)
    first, second = torch.zeros_like(parameters), torch.zeros_like(parameters)
    step = 0
    for epoch in range(epochs):
        rate = paper_learning_rate(epoch, epochs)
        order = torch.stack([torch.randperm(n, generator=g) for g in generators])
        for start in range(0, n, batch):
            rows = order[:, start : start + batch, None]
            inputs = x.gather(1, rows.expand(-1, -1, width + 1))
            wanted = target.gather(1, rows.expand(-1, -1, classes))
            error = torch.softmax(inputs @ parameters.mT, dim=-1) - wanted
            gradient = error.mT @ inputs / rows.shape[1]
            step += 1
            first.lerp_(gradient, 1 - 0.9)
            second.lerp_(gradient.square_(), 1 - 0.999)
            scale = math.sqrt(1 - 0.999**step)
            parameters.addcdiv_(
                first, second.sqrt().div_(scale).add_(1e-8), value=-rate / (1 - 0.9**step)
            )
    values = parameters.double().numpy()
    return [LinearHead(each[:, :-1], each[:, -1]) for each in values]
