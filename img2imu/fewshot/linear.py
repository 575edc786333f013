"""The two linear probes: logistic regression solved to optimality, and the paper's schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import softmax

Array = NDArray[np.floating]

QUIET = 0.1
"""Least deviation of a feature, in medians of all features' deviations, when standardising."""

PRIOR = 500
"""How many windows the identity counts for in the covariance by which features are whitened."""

ROUNDING = 1e-5
"""Variance within classes, of features whose own is 1, that copies of windows show in float32."""

EVEN = 1.0
"""Weight of the guess that all classes are equally frequent, where labelled windows per class have
their square."""

SHARPNESS = 6.0
"""Of the first head's logits when it labels windows: learnt from few, it is surer than it says."""


@dataclass(frozen=True)
class LinearHead:
    """``features @ weight.T + bias``: weight (classes, features), bias (classes,), float64."""

    weight: Array
    bias: Array

    def logits(self, features: Array) -> Array:
        """Scores of shape (n, classes)."""
        return features @ self.weight.T + self.bias

    def divided(self, temperature: float) -> LinearHead:
        """One whose logits are these, divided."""
        return LinearHead(self.weight / temperature, self.bias / temperature)

    def probabilities(self, features: Array) -> Array:
        """Shape (n, classes), in the precision of the features."""
        # A head in float64 would copy all features at every prediction.
        weight, bias = self.weight.T.astype(features.dtype), self.bias.astype(features.dtype)
        return softmax(features @ weight + bias, axis=1)


@dataclass(frozen=True)
class Scale:
    """What makes the features of a view comparable: ``(x - mean) / deviation``, then whitened.

    `root` is the lower triangular root of a covariance, by which whitening divides.
    """

    mean: Array
    deviation: Array
    root: Array | None = None

    def apply(self, features: Array) -> Array:
        """Features (n, d) made comparable."""
        scaled = (features - self.mean) / self.deviation
        if self.root is None:
            return scaled
        return solve_triangular(self.root, scaled.T, lower=True, check_finite=False).T

    def fold(self, head: LinearHead) -> LinearHead:
        """A head for comparable features as one for the features as they are."""
        weight = head.weight
        if self.root is not None:
            weight = solve_triangular(
                self.root, weight.T, lower=True, trans="T", check_finite=False
            ).T
        weight = weight / self.deviation
        return LinearHead(weight, head.bias - weight @ self.mean)


def scales(typical: Array, widths: Sequence[int]) -> list[Scale]:
    """How each view's features are standardised, told by `typical` windows, (m, d), of any class.

    `widths` says how many features belong to each view.
    """
    return [_standard(view) for view in np.split(typical, np.cumsum(widths)[:-1], 1)]


def _standard(typical: Array) -> Scale:
    mean, deviation = typical.mean(0, dtype=np.float64), typical.std(0, dtype=np.float64)
    # Standardised as it is, a feature that hardly ever changes would be nothing but its noise.
    deviation = np.maximum(deviation, QUIET * np.median(deviation))
    deviation[deviation == 0] = 1.0
    return Scale(mean, deviation)


def view_heads(
    features: Array, labels: NDArray[np.int_], C: float, known: Sequence[Scale]
) -> list[LinearHead]:
    """L2 multinomial logistic regressions on standardised features, one for each view.

    Windows are weighted so that all classes count alike.

    Regressions that see one view each disagree where a single one over all views would fit the
    few samples by whatever view fits them best; :func:`combined` adds them up.

    Parameters
    ----------
    features
        Shape (n, d).
    labels
        Shape (n,), class numbers 0 to c - 1, each present.
    C
        Inverse strength of the penalty of each regression.
    known
        How the features of each view are made comparable; they stand in this order.

    Returns
    -------
    list of LinearHead
        For the features as given: what `known` does to them is folded in.
    """
    views = zip(by_view(features, known), known, strict=True)
    with _one_thread():
        return [_fit_view(view, scale, labels, C) for view, scale in views]


def _one_thread() -> AbstractContextManager[Any]:
    """Several wait for each other in problems so small: ten times as long on a busy machine."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def combined(
    heads: Sequence[LinearHead], trends: Sequence[bool] = (), order: float = 0.0
) -> LinearHead:
    """The sum of the heads of all views, and `order` times that of those flagged in `trends`.

    Each sum is divided by the square root of their number, which leaves probabilities about as
    sharp as one's.
    """
    flags = trends or [False] * len(heads)
    views, ordered = len(heads) - sum(flags), sum(flags)
    scales = [order / math.sqrt(ordered) if flag else 1 / math.sqrt(views) for flag in flags]
    scaled = list(zip(heads, scales, strict=True))
    weight = np.concatenate([head.weight * scale for head, scale in scaled], axis=1)
    return LinearHead(weight, np.sum([head.bias * scale for head, scale in scaled], axis=0))


@dataclass(frozen=True)
class Others:
    """Windows without labels, beside which any number of heads is learnt.

    Attributes
    ----------
    scales
        How the features of each view are standardised.
    features
        Shape (m, d); there may be none.
    trends
        Which of the views are trends over time; empty where none are.
    """

    scales: Sequence[Scale]
    features: Array
    trends: Sequence[bool] = ()

    @cached_property
    def mean(self) -> Array | None:
        """Of the features, (d,); None where there are no windows."""
        return self.features.mean(0, dtype=np.float64) if len(self.features) else None

    @cached_property
    def standard(self) -> list[NDArray[np.float32]]:
        """The features of each view, standardised, (m, width)."""
        views = zip(by_view(self.features, self.scales), self.scales, strict=True)
        return [scale.apply(view).astype(np.float32) for view, scale in views]

    @cached_property
    def moments(self) -> list[NDArray[np.float32]]:
        """Of the standardised features, not centred: a sum over windows, (width, width)."""
        with _one_thread():
            return [view.T @ view for view in self.standard]


def whitened_heads(
    features: Array, labels: NDArray[np.int_], C: float, others: Others
) -> list[LinearHead]:
    """:func:`view_heads` on features whitened within classes, favouring none.

    Parameters
    ----------
    features, labels, C, others
        As of :func:`whitened_scales`.
    """
    whitened = whitened_scales(features, labels, C, others)
    return balanced_heads(features, labels, C, whitened, others.mean)


def whitened_scales(
    features: Array, labels: NDArray[np.int_], C: float, others: Others
) -> list[Scale]:
    """The scales of `others`, which then also divide by the covariance within classes.

    How windows of one class differ (by person, place of the sensor, phase of a movement) says
    nothing about the class: divided by that covariance, what remains counts. It is that of linear
    discriminant analysis, and few labelled windows cannot tell it. So a first head, learnt
    without it, labels the unlabelled windows. It errs on many of them, but a covariance forgives
    what a class mean would not.

    Parameters
    ----------
    features, labels, C
        As of :func:`view_heads`.
    others
        The unlabelled windows, and how views are standardised. Trends over time do not take part
        in the first head.
    """
    told = _told(features, labels, C, others)
    known = np.eye(told.shape[1], dtype=np.float32)[labels]
    views = zip(
        others.scales,
        by_view(features, others.scales),
        others.standard,
        others.moments,
        strict=True,
    )
    with _one_thread():
        return [
            _whitened(scale, few, known, many, told, moment) for scale, few, many, moment in views
        ]


def _told(
    features: Array, labels: NDArray[np.int_], C: float, others: Others
) -> NDArray[np.float32]:
    """What the first head makes of the unlabelled windows: shares of classes, (m, classes)."""
    flags = others.trends or [False] * len(others.scales)
    views = [number for number, flag in enumerate(flags) if not flag]
    parts = by_view(features, others.scales)
    scales = [others.scales[view] for view in views]
    mean = None
    if others.mean is not None:
        mean = np.concatenate([by_view(others.mean, others.scales)[view] for view in views])
    shown = np.concatenate([parts[view] for view in views], axis=1)
    heads = balanced_heads(shown, labels, C, scales, mean)
    logits = np.sum(
        [
            others.standard[view] @ (head.weight * scale.deviation).T.astype(np.float32)
            + (head.bias + head.weight @ scale.mean)
            for view, head, scale in zip(views, heads, scales, strict=True)
        ],
        axis=0,
    )
    # Divided as :func:`combined` does.
    told: Array = softmax(SHARPNESS / math.sqrt(len(views)) * logits, axis=1)
    return told.astype(np.float32)


def balanced_heads(
    features: Array,
    labels: NDArray[np.int_],
    C: float,
    known: Sequence[Scale],
    mean: Array | None,
) -> list[LinearHead]:
    """:func:`view_heads` with biases that favour no class in the mean of the unlabelled windows.

    How frequent classes are is what a bias says, and one or two labelled windows of each only say
    it by chance. The more there are, the less is corrected: rare classes are rare.

    Parameters
    ----------
    features, labels, C, known
        As of :func:`view_heads`.
    mean
        Of the features of the unlabelled windows, (d,); None corrects nothing.
    """
    heads = view_heads(features, labels, C, known)
    if mean is None:
        return heads
    share = EVEN / (EVEN + (len(labels) / len(heads[0].bias)) ** 2)
    return [
        replace(head, bias=head.bias - share * head.logits(part))
        for head, part in zip(heads, by_view(mean, known), strict=True)
    ]


def by_view(features: Array, scales: Sequence[Scale]) -> list[Array]:
    """The features, or one number for each, by view."""
    edges = np.cumsum([len(scale.mean) for scale in scales])[:-1]
    return np.split(features, edges, axis=-1)


def _whitened(
    scale: Scale, features: Array, known: Array, many: Array, told: Array, moment: Array
) -> Scale:
    """`scale` that also divides by the covariance within classes.

    Parameters
    ----------
    scale
        Of the view.
    features, known
        Of the labelled windows: features (n, d) as they are, and their classes as shares, (n, c).
    many, told, moment
        Of the others: standardised (m, d), shares of classes (m, c), which sum to 1 each, and
        ``many.T @ many``, the same for all heads.
    """
    few = scale.apply(features).astype(np.float32)
    count, sizes = len(few) + len(many), known.sum(0) + told.sum(0)
    means = (known.T @ few + told.T @ many) / sizes[:, None]
    free = count - len(sizes)
    if not free:
        return scale
    within = moment + few.T @ few - (means.T * sizes) @ means
    covariance = within.astype(np.float64) / free
    variance = np.trace(covariance) / len(covariance)
    if variance < ROUNDING:
        return scale
    covariance *= free / (free + PRIOR)
    covariance[np.diag_indices_from(covariance)] += variance * PRIOR / (free + PRIOR)
    root = np.linalg.cholesky(covariance)
    whitened = Scale(scale.mean, scale.deviation, root)
    # As large as without whitening, so that the penalty means the same.
    return replace(whitened, root=root * whitened.apply(features).std())


def _fit_view(features: Array, scale: Scale, labels: NDArray[np.int_], C: float) -> LinearHead:
    scaled = scale.apply(features)
    if scaled.shape[0] >= scaled.shape[1]:
        return scale.fold(_logistic(scaled, labels, C))
    coordinates, basis = _row_space(scaled)
    head = _logistic(coordinates, labels, C)
    return scale.fold(LinearHead(head.weight @ basis.T @ scaled, head.bias))


def _logistic(features: Array, labels: NDArray[np.int_], C: float) -> LinearHead:
    from sklearn.linear_model import LogisticRegression

    # Classes count alike, however many windows each has: labels as they come have rare ones.
    model = LogisticRegression(C=C, class_weight="balanced", tol=1e-5, max_iter=2000)
    model.fit(features, labels)
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        # One row stands for the difference of two classes.
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return LinearHead(weight, bias)


def _row_space(scaled: Array) -> tuple[Array, Array]:
    """Coordinates (n, r) of the rows, and of which rows the axes are sums: (n, r), r at most n.

    The optimum of an L2-penalised linear model lies in the span of its samples, so with fewer
    samples than features the same problem is solved in far fewer dimensions.
    """
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    kept = values > values[-1] * 1e-12
    root = np.sqrt(values[kept])
    return vectors[:, kept] * root, vectors[:, kept] / root


PAPER_LR = 1e-5
"""Highest learning rate of the paper's linear layer."""


def paper_learning_rate(epoch: int, epochs: int = 50, warmup: int = 10) -> float:
    """Learning rate of the paper's §IV-A4: 1e-8 up to 1e-5 over `warmup`, cosine down to 1e-6."""
    if epoch < warmup:
        return 1e-8 + (1e-5 - 1e-8) * epoch / warmup
    progress = (epoch - warmup) / (epochs - 1 - warmup)
    return 1e-6 + (1e-5 - 1e-6) * (1 + math.cos(math.pi * progress)) / 2


def fit_paper(
    features: Array,
    labels: NDArray[np.int_],
    seeds: list[int],
    epochs: int = 50,
    batch: int = 4,
    *,
    lr: float = PAPER_LR,
    weight_decay: float = 0.0,
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
    lr
        Highest learning rate; the schedule's others are in proportion.
    weight_decay
        L2 penalty on weights and bias, as of torch's Adam.

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
        rate = paper_learning_rate(epoch, epochs) * lr / PAPER_LR
        order = torch.stack([torch.randperm(n, generator=g) for g in generators])
        for start in range(0, n, batch):
            rows = order[:, start : start + batch, None]
            inputs = x.gather(1, rows.expand(-1, -1, width + 1))
            wanted = target.gather(1, rows.expand(-1, -1, classes))
            error = torch.softmax(inputs @ parameters.mT, dim=-1) - wanted
            gradient = error.mT @ inputs / rows.shape[1] + weight_decay * parameters
            step += 1
            first.lerp_(gradient, 1 - 0.9)
            second.lerp_(gradient.square_(), 1 - 0.999)
            scale = math.sqrt(1 - 0.999**step)
            parameters.addcdiv_(
                first, second.sqrt().div_(scale).add_(1e-8), value=-rate / (1 - 0.9**step)
            )
    values = parameters.double().numpy()
    return [LinearHead(each[:, :-1], each[:, -1]) for each in values]
