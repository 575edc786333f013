"""FOCAL: what sensors share and what each has of its own (Liu et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ...errors import InputError
from ...models import AnyBackbone
from ..distributed import World
from ..method_config import FocalConfig
from ..sources.sensors import SensorSource
from .images import Measures
from .sensor_base import (
    Factorised,
    between_sensors,
    between_views,
    distinct,
    orthogonality,
    shares,
    watched,
    weighted,
)


class Focal(Factorised):
    """Factorised contrastive learning in an orthogonal latent space (arXiv 2310.20071).

    Sums, as the authors' programme has them: over both views where a term is of one, over sensors,
    and over pairs of sensors. Windows of a sequence are no negatives of each other.

    Parameters
    ----------
    encoder, source, world
        As of :class:`~.sensor_base.Factorised`.
    config
        Weights of the terms, and the sequences' length.
    n
        Windows of a batch that are this process'.

    Raises
    ------
    InputError
        If no window has two sensors, or a batch is a single sequence.
    """

    def __init__(
        self, encoder: AnyBackbone, config: FocalConfig, source: SensorSource, n: int, world: World
    ) -> None:
        super().__init__(encoder, source, config.dim, world)
        if n < 2 * config.sequence:
            raise InputError(
                f"a batch of {n} windows does not hold two sequences of {config.sequence}: "
                "choose a larger batch size"
            )
        self.config, self.sequence = config, config.sequence
        self.chance = weighted(focal_chance(config, source, n), config)

    def measure(self, embedded: Sequence[Tensor], there: Tensor) -> Measures:
        """The four terms, weighted, and each as it is."""
        config, halves = self.config, [each.chunk(2, dim=2) for each in embedded]
        candidates = distinct(there.shape[1], config.sequence, there.device)
        between = [
            between_sensors(shared, there, candidates, config.temperature) for shared, _ in halves
        ]
        private = halves[0][1], halves[1][1]
        independence = [orthogonality(each[0], each[1], there) for each in halves]
        ranking = [order(each, there, config.sequence, config.margin) for each in embedded]
        terms = {
            "shared": between[0][0] + between[1][0],
            "private": between_views(*private, there, candidates, config.temperature),
            "orthogonality": independence[0] + independence[1],
            "order": ranking[0] + ranking[1],
        }
        companions = {"top1": (between[0][1] + between[1][1]) / 2}
        with torch.no_grad():
            companions |= watched([*zip(*halves, strict=True)], there)
        return {"loss": weighted(terms, config), **terms, **companions}


def order(embedded: Tensor, there: Tensor, sequence: int, margin: float) -> Tensor:
    """:func:`ranking` of the sequences that have a sensor throughout, summed over sensors.

    Parameters
    ----------
    embedded
        (sensors, n, dim), sequence after sequence.
    there
        (sensors, n), whether a window has the sensor.
    sequence
        Windows of each.
    margin
        As of :func:`ranking`.
    """
    terms = [
        ranking(one.unflatten(0, (-1, sequence))[own.unflatten(0, (-1, sequence)).all(1)], margin)
        for one, own in zip(embedded, there, strict=True)
    ]
    return torch.stack(terms).sum()


def ranking(sequences: Tensor, margin: float) -> Tensor:
    """By how much windows of a sequence lie no nearer to each other than to another sequence.

    Of each ordered pair of sequences (s, t) the mean Euclidean distance between two windows of s,
    less that from a window of s to one of t, plus `margin`, where this is positive; the mean over
    pairs.

    Parameters
    ----------
    sequences
        (sequences, windows of each, dim).
    margin
        By which the former is to be smaller.
    """
    count, length = sequences.shape[:2]
    rows = sequences.flatten(0, 1)
    # Differences, not products: of near windows the latter would leave rounding alone.
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    sums = apart.unflatten(1, (count, length)).unflatten(0, (count, length)).sum((1, 3))
    within = sums.diagonal() / (length * (length - 1))
    excess = F.relu(within[:, None] - sums / length**2 + margin)
    return (excess.sum() - excess.diagonal().sum()) / max(1, count * (count - 1))


def focal_chance(config: FocalConfig, source: SensorSource, n: int) -> dict[str, float]:
    """What each term is when embeddings of windows are directions at random, on average.

    Of `order` when all distances are alike.
    """
    single, pairs = shares(source)
    others = n - config.sequence
    independent = len(single) + sum(share > 0 for share in pairs)
    return {
        "shared": 2 * sum(math.log1p(others * share) for share in pairs),
        "private": sum(math.log1p(2 * others * share) for share in single),
        "orthogonality": 2 * independent * 2 / config.dim,
        "order": 2 * len(single) * config.margin,
    }
