"""How little a window is like any of the classes that a classifier has learnt.

Three signs tell it. The energy of the logits (W. Liu et al., *Energy-based Out-of-distribution
Detection*, NeurIPS 2020) and the distance of the features from the mean of a class (K. Lee et al.,
*A Simple Unified Framework for Detecting Out-of-Distribution Samples*, NeurIPS 2018) do not mean
the same in all classes: a stranger's walk is further from walking than writing is from sitting. So
both are compared with what they are in windows of the class from people left out. The third takes
unlabelled windows, where there are any, for examples of what else there is: a regression tells
them from the labelled ones (C. Elkan and K. Noto, *Learning Classifiers from Only Positive and
Unlabeled Data*, KDD 2008). It finds what looks like a class but is none, as long as some of it is
among the unlabelled windows, and harms little where they hold nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor, nn

from .linear import Array, Scale, view_heads

SHARED = 0.5
"""Share that all classes together have in the variance of each: a few windows tell it badly."""

ODD_C = 0.1
"""Inverse strength of the penalty of the regression that tells unlabelled windows from labelled
ones, divided by the number of features."""

LEAST_VARIANCE = 1e-6
"""Of what is the same in all windows of a class."""


@dataclass(frozen=True)
class Known:
    """The classes in the space of standardised features, and where what is unlabelled lies.

    Attributes
    ----------
    shift, scale
        Shape (d,): standardised features are ``(features - shift) * scale``, 0 of what does not
        count.
    means
        Shape (k, d): of each class, standardised.
    oddness
        Shape (d,): direction in which unlabelled windows leave the labelled ones; zeros where there
        are none.
    """

    shift: Array
    scale: Array
    means: Array
    oddness: Array

    @classmethod
    def of(
        cls,
        features: Array,
        labels: NDArray[np.int_],
        unlabelled: Array,
        scales: Sequence[Scale],
        trends: Sequence[bool] = (),
    ) -> Known:
        """What labelled and unlabelled windows tell.

        Parameters
        ----------
        features
            Shape (n, d).
        labels
            Shape (n,), class numbers 0 to k - 1, each present.
        unlabelled
            Shape (m, d).
        scales, trends
            As of :class:`.linear.Others`; what tells an order in time does not count.
        """
        shift = np.concatenate([each.mean for each in scales])
        flags = trends or [False] * len(scales)
        counts = [
            np.full(len(each.mean), not flag) for each, flag in zip(scales, flags, strict=True)
        ]
        scale = np.concatenate(counts) / np.concatenate([each.deviation for each in scales])
        known = cls(shift, scale, np.empty((0, len(shift))), np.zeros(len(shift)))
        standard = known.standard(features)
        means = [standard[labels == k].mean(0) for k in range(int(labels.max()) + 1)]
        known = replace(known, means=np.stack(means))
        if not len(unlabelled):
            return known
        return replace(known, oddness=_leaving(standard, known.standard(unlabelled)))

    def standard(self, features: Array) -> Array:
        """Features (n, d) standardised."""
        return (features - self.shift) * self.scale

    def signs(self, features: Array, logits: Array) -> Signs:
        """Of windows with these features (n, d) and logits (n, k)."""
        standard = self.standard(features)
        apart = [((standard - mean) ** 2).sum(1) for mean in self.means]
        distance = np.log(np.maximum(np.stack(apart, axis=1), LEAST_VARIANCE))
        return Signs(logits, distance, standard @ self.oddness)


def _leaving(labelled: Array, unlabelled: Array) -> Array:
    both = np.concatenate([labelled, unlabelled])
    sides = (np.arange(len(both)) >= len(labelled)).astype(np.int_)
    width = both.shape[1]
    as_they_are = Scale(np.zeros(width), np.ones(width))
    [head] = view_heads(both, sides, ODD_C / width, [as_they_are])
    return head.weight[1] - head.weight[0]


@dataclass(frozen=True)
class Signs:
    """What tells how strange windows are.

    Attributes
    ----------
    logits
        Shape (n, k).
    distance
        Shape (n, k): logarithm of the squared distance to the mean of each class.
    odd
        Shape (n,): how far towards the unlabelled windows.
    """

    logits: Array
    distance: Array
    odd: Array


class Strangeness(nn.Module):
    """Features (n, d) and logits (n, k) to one number for each window, higher for stranger ones.

    It is a sum of three deviations from what is usual, in standard deviations: of the distance from
    a class and of the energy of the logits, for windows of the class (of several by their
    probabilities), and of the oddness for windows of any.

    Parameters
    ----------
    classes, features
        How many there are.
    """

    shift: Tensor
    scale: Tensor
    means: Tensor
    oddness: Tensor
    usual: Tensor
    deviation: Tensor

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        for name in ("shift", "scale", "oddness"):
            self.register_buffer(name, torch.zeros(features))
        self.register_buffer("means", torch.zeros(classes, features))
        # Of distance, energy and oddness, by class.
        self.register_buffer("usual", torch.zeros(3, classes))
        self.register_buffer("deviation", torch.ones(3, classes))

    @classmethod
    def fit(cls, known: Known, held: Signs, labels: NDArray[np.int_]) -> Strangeness:
        """From what windows of people left out show.

        Parameters
        ----------
        known
            The classes.
        held
            Of windows (n,) that were not learnt from.
        labels
            Shape (n,), their class numbers.
        """
        classes, width = known.means.shape
        own = held.distance[np.arange(len(labels)), labels]
        energy = -logsumexp(held.logits, axis=1)
        told = [_by_class(sign, labels, classes) for sign in (own, energy)]
        # It leaves all classes together. What nobody left out can tell does not count.
        told.append((np.full(classes, held.odd.mean()), np.full(classes, held.odd.std() or np.inf)))
        usual, deviation = (np.stack(part) for part in zip(*told, strict=True))
        values = {"usual": usual, "deviation": deviation, **vars(known)}
        module = cls(classes, width)
        module.load_state_dict({name: torch.as_tensor(each) for name, each in values.items()})
        return module

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Shape (n,)."""
        standard = (features - self.shift) * self.scale
        squares = (standard**2).sum(1, keepdim=True) + (self.means**2).sum(1)
        apart = squares - 2 * standard @ self.means.T
        return self.combine(apart.clamp_min(LEAST_VARIANCE).log(), logits, standard @ self.oddness)

    def combine(self, distance: Tensor, logits: Tensor, odd: Tensor) -> Tensor:
        """The same of :class:`Signs`."""
        energy = -logits.logsumexp(1, keepdim=True)
        signs = torch.stack(torch.broadcast_tensors(distance, energy, odd.unsqueeze(1)), dim=1)
        strange = ((signs - self.usual) / self.deviation).sum(1)
        return (torch.softmax(logits, dim=1) * strange).sum(1)


def _by_class(sign: Array, labels: NDArray[np.int_], classes: int) -> tuple[Array, Array]:
    """Mean and deviation in each class, (k,) each; of a class without windows those of all."""
    each = [sign[labels == k] for k in range(classes)]
    shared = float(np.mean([part.var() for part in each if len(part)]))
    mean = np.array([part.mean() if len(part) else sign.mean() for part in each])
    own = np.array([part.var() if len(part) else shared for part in each])
    variance = SHARED * shared + (1 - SHARED) * own
    return mean, np.sqrt(np.maximum(variance, LEAST_VARIANCE))
