"""SemiCMT: learnt with several sensors, for the one of a device (Chen et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ...errors import InputError
from ...models import AnyBackbone
from ..distributed import World
from ..method_config import SemiCMTConfig
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


class SemiCMT(Factorised):
    """Contrastive transfer between sensors, few windows of which have both (IMWUT 8(4), 198).

    Where a sensor is named as the target, the others are its teachers: similarities among windows
    are taken over from them, not given back.

    Parameters
    ----------
    encoder, source, world
        As of :class:`~.sensor_base.Factorised`.
    config
        Weights of the terms, and the target.
    n
        Windows of a batch that are this process'.

    Raises
    ------
    InputError
        If no window has two sensors, the sources lack the target, or a batch is too small.

    Notes
    -----
    Public is the paper's abstract, not its programme: halves, structure and anchors are after it,
    the form of each term and its weight are ours.
    """

    def __init__(
        self,
        encoder: AnyBackbone,
        config: SemiCMTConfig,
        source: SensorSource,
        n: int,
        world: World,
    ) -> None:
        super().__init__(encoder, source, config.dim, world)
        names = " and ".join(source.sensors)
        if config.target is not None and config.target not in source.sensors:
            raise InputError(f"target {config.target} is no sensor of the sources: {names}")
        if n <= len(source.sensors):
            raise InputError(f"a batch must have more windows than sensors: {names}, not {n}")
        self.config = config
        self.target = source.sensors.index(config.target) if config.target else None
        self.chance = weighted(self._chances(source, n), config)

    def measure(self, embedded: Sequence[Tensor], there: Tensor) -> Measures:
        """The four terms, weighted, and each as it is."""
        config, halves = self.config, [each.chunk(2, dim=2) for each in embedded]
        candidates = distinct(there.shape[1], 1, there.device)
        between = [
            between_sensors(shared, there, candidates, config.temperature) for shared, _ in halves
        ]
        independence = [orthogonality(each[0], each[1], there) for each in halves]
        agreement = [self._structure(shared, there) for shared, _ in halves]
        # Of each half by itself: of both together one could collapse unnoticed.
        alone = [
            between_views(first, second, there, candidates, config.temperature)
            for first, second in zip(*halves, strict=True)
        ]
        terms = {
            "shared": between[0][0] + between[1][0],
            "alone": (alone[0] + alone[1]) / 2,
            "orthogonality": independence[0] + independence[1],
            "structure": agreement[0] + agreement[1],
        }
        companions = {"top1": (between[0][1] + between[1][1]) / 2}
        with torch.no_grad():
            companions |= watched([*zip(*halves, strict=True)], there)
        return {"loss": weighted(terms, config), **terms, **companions}

    def _structure(self, shared: Tensor, there: Tensor) -> Tensor:
        """:func:`structure` of each teacher and its pupil, summed."""
        halves = F.normalize(shared, dim=2)
        terms = []
        for teacher, pupil in self._lessons(len(there)):
            taught = halves[teacher] if self.target is None else halves[teacher].detach()
            terms.append(structure(taught, halves[pupil], there[teacher], there[pupil]))
        return torch.stack(terms).sum()

    def _lessons(self, sensors: int) -> Iterator[tuple[int, int]]:
        """Teacher and pupil: each sensor of each other one, or all of the target."""
        for one in range(sensors):
            for other in range(sensors):
                if one != other and self.target in (None, other):
                    yield one, other

    def _chances(self, source: SensorSource, n: int) -> dict[str, float]:
        """What each term is when embeddings of windows are directions at random, on average."""
        single, pairs = shares(source)
        having = source.trust > 0
        taught = [bool((having[a] & having[b]).any()) for a, b in self._lessons(len(having))]
        independent = len(single) + sum(share > 0 for share in pairs)
        return {
            "shared": 2 * sum(math.log1p((n - 1) * share) for share in pairs),
            "alone": sum(math.log1p(2 * (n - 1) * share) for share in single),
            "orthogonality": 2 * independent * 2 / self.config.dim,
            "structure": 2 * sum(taught) * 4 / self.config.dim,
        }


def structure(teacher: Tensor, pupil: Tensor, taught: Tensor, known: Tensor) -> Tensor:
    """How far the similarities among a pupil's windows are from those of its teacher.

    Of each window that both have, its cosines with all other windows of the teacher's; what the
    pupil does not have of these, anchors, it compares itself with in the teacher's place. The
    mean squared difference; 0 without such windows.

    Parameters
    ----------
    teacher, pupil
        Shared halves (n, dim), of unit length.
    taught, known
        (n,), which windows have the teacher's sensor, and the pupil's.
    """
    both = taught & known
    references = torch.where(known[:, None], pupil, teacher)[taught]
    difference = pupil[both] @ references.T - teacher[both] @ teacher[taught].T
    number = torch.arange(len(both), device=both.device)
    others = number[both][:, None] != number[taught]
    return (difference.square() * others).sum() / others.sum().clamp(min=1)
