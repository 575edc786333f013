"""A method that reads each sensor of a window by itself, and the losses of such methods."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ...errors import InputError
from ...models import AnyBackbone, Backbone
from ...models.conv1d import LateConv1d
from ..distributed import World
from ..norm import group_batch_norm
from ..sources.sensors import SensorSource
from .images import Measures, Method, geometry, nt_xent_logits, perceptron

HIDDEN = 512
"""Units of a head's hidden layer."""


class SensorMethod(Method):
    """A method that compares sensors of a window, or windows of a sensor.

    An image encoder reads the pictures of all sensors, with the same weights; ``conv1d`` is a
    network for each. With several processes each compares within its own part of the batch.

    Attributes
    ----------
    sequence
        Windows in a row of a batch that follow each other in their recording.
    paired
        Share of a batch that is drawn from the windows with several sensors.
    """

    sequence = 1
    paired = 0.0

    def __init__(self, encoder: AnyBackbone) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def forward(self, views: list[Tensor], trust: Tensor, step: int) -> Measures:
        """The loss and its companions.

        Parameters
        ----------
        views
            Of shape (sensors, n, 3, height, width) each, normalised pictures; or
            (sensors, n, 3, samples), signals as they are.
        trust
            (sensors, n): 1 where the sensor was recorded with the window, 0 where there is none.
        step
            Number of the step since the beginning of training; the same in all processes.
        """

    @property
    def width(self) -> int:
        """Features of one sensor."""
        if isinstance(self.encoder, Backbone):
            return sum(self.encoder.widths)
        assert isinstance(self.encoder, LateConv1d)
        return self.encoder.width // len(self.encoder.parts)

    def features(self, view: Tensor, there: Tensor) -> Tensor:
        """Features of each sensor that is `there`, (sensors, n, width); 0 of the others."""
        if isinstance(self.encoder, Backbone):
            some = torch.cat(self.encoder(view[there]), dim=1)
        else:
            assert isinstance(self.encoder, LateConv1d)
            each = zip(view, there, strict=True)
            some = torch.cat(
                [self.encoder.read(k, one[rows]) for k, (one, rows) in enumerate(each)]
            )
        features = some.new_zeros(*there.shape, some.shape[1])
        features[there] = some
        return features


class Factorised(SensorMethod):
    """A method with an embedding for each sensor, half of it shared and half of it private.

    Batch norm of an image encoder is over the pictures of all sensors and processes; where these
    have unequal numbers of pictures each process counts alike.

    Parameters
    ----------
    encoder
        Of the sensors.
    source
        What is learnt from.
    dim
        Of an embedding.
    world
        This process among all.

    Raises
    ------
    InputError
        If no window has two sensors.
    """

    def __init__(self, encoder: AnyBackbone, source: SensorSource, dim: int, world: World) -> None:
        super().__init__(encoder)
        if ((source.trust > 0).sum(0) < 2).all():
            raise InputError(
                "no window has two sensors, and one alone has nothing to share: the sources hold "
                f"{' and '.join(source.sensors)}"
            )
        self.heads = nn.ModuleList(perceptron(self.width, HIDDEN, dim) for _ in source.sensors)
        group_batch_norm(self, 1, world)

    def forward(self, views: list[Tensor], trust: Tensor, step: int) -> Measures:
        """The loss on the embeddings of two views, in full precision."""
        there = trust > 0
        embedded = [self.embed(view, there) for view in views]
        with torch.autocast(trust.device.type, enabled=False):
            return self.measure(embedded, there)

    def embed(self, view: Tensor, there: Tensor) -> Tensor:
        """Embeddings of each sensor, (sensors, n, dim), whatever where there is none."""
        features = self.features(view, there)
        each = [head(one) for head, one in zip(self.heads, features, strict=True)]
        return torch.stack(each).float()

    @abstractmethod
    def measure(self, embedded: Sequence[Tensor], there: Tensor) -> Measures:
        """The loss and its companions.

        Parameters
        ----------
        embedded
            Of each view (sensors, n, dim).
        there
            (sensors, n), whether a window has the sensor.
        """


def weighted(terms: Mapping[str, Any], config: object) -> Any:
    """The sum of a loss' terms, all but `shared` by the weights of their names in `config`."""
    others = (getattr(config, name) * term for name, term in terms.items() if name != "shared")
    return sum(others, terms["shared"])


def shares(source: SensorSource) -> tuple[list[float], list[float]]:
    """What share of a batch has each sensor, and each pair of sensors, on average."""
    weights = source.weights(np.arange(len(source)))
    having = source.trust > 0
    single = [float(weights[own].sum()) for own in having]
    return single, [float(weights[one & other].sum()) for one, other in combinations(having, 2)]


def paired(there: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Each pair of sensors, and the windows (n,) that have both."""
    for one, other in combinations(range(len(there)), 2):
        yield one, other, there[one] & there[other]


def distinct(n: int, sequence: int, device: torch.device) -> Tensor:
    """Which of `n` windows each is compared with: itself and those of other sequences.

    Neighbours in a recording are not told from each other, as in FOCAL's programme.
    """
    number = torch.arange(n, device=device)
    of = number // sequence
    return (of[:, None] != of) | (number[:, None] == number)


def info_nce(
    first: Tensor, second: Tensor, candidates: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """How well two sensors' embeddings of a window find each other, both ways.

    Parameters
    ----------
    first, second
        (n, dim), of unit length.
    candidates
        (n, n), which windows each is compared with.
    temperature
        Of the softmax.

    Returns
    -------
    loss, top1
        Means over windows and directions; 0 without a window.
    """
    logits = (first @ second.T / temperature).masked_fill(~candidates, -math.inf)
    target = torch.arange(len(first), device=first.device)
    both = torch.cat([logits, logits.T]), target.repeat(2)
    return _mean_cross_entropy(*both)


def nt_xent(
    first: Tensor, second: Tensor, candidates: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """How well two views of a window find each other among all views; as :func:`info_nce`."""
    logits, target = nt_xent_logits(first, second, temperature)
    return _mean_cross_entropy(logits.masked_fill(~candidates.repeat(2, 2), -math.inf), target)


def _mean_cross_entropy(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    count = max(1, len(target))
    loss = F.cross_entropy(logits, target, reduction="sum") / count
    if not len(target):
        return loss, loss.detach()
    return loss, (logits.detach().argmax(1) == target).float().mean()


def between_sensors(
    shared: Tensor, there: Tensor, candidates: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """:func:`info_nce` of the shared halves, (sensors, n, dim): its sum over pairs of sensors.

    Windows in which one of the two is absent take no part. With it top1, the mean over pairs.
    """
    halves = F.normalize(shared, dim=2)
    each = [
        info_nce(halves[a, both], halves[b, both], candidates[both][:, both], temperature)
        for a, b, both in paired(there)
    ]
    losses, hits = zip(*each, strict=True)
    return torch.stack(losses).sum(), torch.stack(hits).mean()


def between_views(
    first: Tensor, second: Tensor, there: Tensor, candidates: Tensor, temperature: float
) -> Tensor:
    """:func:`nt_xent` of two views of each sensor, (sensors, n, dim) each: its sum over sensors."""
    views = [F.normalize(each, dim=2) for each in (first, second)]
    losses = [
        nt_xent(views[0][k, own], views[1][k, own], candidates[own][:, own], temperature)[0]
        for k, own in enumerate(there)
    ]
    return torch.stack(losses).sum()


def orthogonality(shared: Tensor, private: Tensor, there: Tensor) -> Tensor:
    """Squared cosines of what is to be independent, means over windows, summed.

    Of the two halves of each sensor, and of the private halves of each pair of sensors; all are
    (sensors, n, dim).
    """
    terms = [_squared_cosine(shared[k, own], private[k, own]) for k, own in enumerate(there)]
    for a, b, both in paired(there):
        terms.append(_squared_cosine(private[a, both], private[b, both]))
    return torch.stack(terms).sum()


def _squared_cosine(first: Tensor, second: Tensor) -> Tensor:
    return F.cosine_similarity(first, second, dim=1).square().sum() / max(1, len(first))


def watched(halves: Sequence[tuple[Tensor, Tensor]], there: Tensor) -> Measures:
    """:func:`~.images.geometry` of two views of each sensor's halves, (sensors, n, dim) each.

    Alignment and uniformity are means over sensors and halves, spread is the least: of what is
    nearest to collapse. Some sensor must have two windows.
    """
    each = [
        geometry(F.normalize(first[k, own], dim=1), F.normalize(second[k, own], dim=1))
        for first, second in halves
        for k, own in enumerate(there)
        if own.sum() > 1
    ]
    stacked = {name: torch.stack([one[name] for one in each]) for name in each[0]}
    spread = stacked.pop("spread").min()
    return {**{name: values.mean() for name, values in stacked.items()}, "spread": spread}
