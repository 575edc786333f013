"""MMBind: windows that lack a sensor borrow it from one like them (Ouyang et al. 2024)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ...convert import to_images
from ...convert.presets import recommended_views
from ...errors import InputError
from ...models import AnyBackbone, Backbone
from ...models.conv1d import LateConv1d
from ...models.encoder import IMAGENET_MEAN, IMAGENET_STD
from ...progress import Progress, silent
from ..distributed import World
from ..method_config import MMBindConfig
from ..norm import group_batch_norm
from ..sources.pictures import HEIGHT, WIDTH
from ..sources.sensors import SensorSource
from .images import Measures, perceptron
from .sensor_base import HIDDEN, SensorMethod, between_views, distinct, paired, shares, watched

CHUNK = 256
"""Windows that are encoded, or compared with all others, at once."""


class MMBind(SensorMethod):
    """Sensors of a window find each other, the more so the better they are bound.

    After arXiv 2411.12126: a weighted contrastive loss between the sensors of a window, bound or
    recorded, and one between two views of each sensor.

    Parameters
    ----------
    encoder
        Of the sensors.
    config
        Settings of the losses.
    source
        What is learnt from, as :func:`bind` has left it.
    n
        Windows of a batch that are this process', among which each is compared.
    world
        This process among all.
    """

    def __init__(
        self, encoder: AnyBackbone, config: MMBindConfig, source: SensorSource, n: int, world: World
    ) -> None:
        super().__init__(encoder)
        self.config = config
        dim = config.dim
        self.heads = nn.ModuleList(perceptron(self.width, HIDDEN, dim) for _ in source.sensors)
        group_batch_norm(self, 1, world)
        own, both = shares(source)
        between = [math.log1p((n - 1) * share) for share in both if share]
        single = [math.log1p(2 * (n - 1) * share) for share in own]
        self.chance = float(np.mean(between) + config.single * np.mean(single))

    def forward(self, views: list[Tensor], trust: Tensor, step: int) -> Measures:
        """The loss, by its terms, and how often sensors of a window find each other."""
        there, config = trust > 0, self.config
        embedded = [self._embed(view, there) for view in views]
        with torch.autocast(trust.device.type, enabled=False):
            both = [self._between(each, trust) for each in embedded]
            every = distinct(trust.shape[1], 1, trust.device)
            single = between_views(embedded[0], embedded[1], there, every, config.temperature)
            with torch.no_grad():
                companions = watched([(embedded[0], embedded[1])], there)
        single = single / len(there)  # a mean over sensors, as that over their pairs
        between = (both[0][0] + both[1][0]) / 2
        companions["top1"] = (both[0][1] + both[1][1]) / 2
        loss = between + config.single * single
        return {"loss": loss, "between": between, "single": single, **companions}

    def _embed(self, view: Tensor, there: Tensor) -> Tensor:
        """Embeddings of each sensor, (sensors, n, dim), of unit length."""
        features = self.features(view, there)
        each = [head(one).float() for head, one in zip(self.heads, features, strict=True)]
        return F.normalize(torch.stack(each), dim=2)

    def _between(self, embedded: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted contrast and top1, means over the pairs of sensors that there are."""
        each = [
            weighted_info_nce(
                embedded[a, both],
                embedded[b, both],
                (trust[a] * trust[b])[both],
                self.config.temperature,
            )
            for a, b, both in paired(trust > 0)
            if both.any()
        ]
        if not each:
            return embedded.sum() * 0, embedded.new_zeros(())
        losses, hits = zip(*each, strict=True)
        return torch.stack(losses).mean(), torch.stack(hits).mean()


def weighted_info_nce(
    first: Tensor, second: Tensor, weight: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """How well two sensors' embeddings of a window find each other, both ways, by weight.

    Parameters
    ----------
    first, second
        (n, dim), of unit length.
    weight
        (n,), above 0: what each window counts for; as a negative of others it counts in full.
    temperature
        Of the softmax.

    Returns
    -------
    loss, top1
        Means over windows by weight, and directions.
    """
    logits, target = first @ second.T / temperature, torch.arange(len(first), device=first.device)
    losses, hits = [], []
    for each in (logits, logits.T):
        losses.append(F.cross_entropy(each, target, reduction="none"))
        hits.append((each.argmax(1) == target).float())
    mean, right = (sum(pair) / 2 for pair in (losses, hits))
    return (mean * weight).sum() / weight.sum(), (right * weight).sum() / weight.sum()


def trust_of(similarity: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far a bound window is trusted, by its cosine: nothing up to .5, fully from .83 on."""
    return np.clip((similarity - 0.5) * 3, 0, 1).astype(np.float32)


def bind(
    source: SensorSource,
    encoder: AnyBackbone,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> SensorSource:
    """Give each window that lacks a sensor that of the window most like it.

    Windows are compared by the first sensor that they share with windows that have the missing
    one: the cosine of the encoder's features, centred over the windows compared, as otherwise all
    cosines are near one. Nothing is decided at random.

    Parameters
    ----------
    source
        What is learnt from; it is left as it is.
    encoder
        As training starts.
    device
        Where it encodes.
    progress
        Opens a progress bar with a description and a total.

    Returns
    -------
    SensorSource
        The same windows, with the partners found and the trust in them.

    Raises
    ------
    InputError
        If no window lacks a sensor, or none that does shares one with those that have it.
    """
    there = source.trust > 0
    if there.all():
        raise InputError("no window lacks a sensor: there is nothing to bind")
    plans = [*_plans(there)]
    if not plans:
        raise InputError(
            "no window has two sensors, so that others could be bound to it: the sources hold "
            f"{' and '.join(source.sensors)}"
        )
    bound = copy.copy(source)
    bound.partner, bound.trust = source.partner.copy(), source.trust.copy()
    wanted = np.zeros_like(there)
    for _, shared, lacking, having in plans:
        wanted[shared, lacking] = wanted[shared, having] = True
    encoder = copy.deepcopy(encoder).to(device).eval()
    bar = progress("binding windows", int(wanted.sum()))
    features = {
        shared: read(source, encoder, shared, np.flatnonzero(rows), bar)
        for shared, rows in enumerate(wanted)
        if rows.any()
    }
    bar.close()
    for missing, shared, lacking, having in plans:
        table = np.cumsum(wanted[shared]) - 1  # where a window's features lie
        nearest, similarity = most_similar(
            features[shared][table[lacking]], features[shared][table[having]]
        )
        bound.partner[missing, lacking] = having[nearest]
        bound.trust[missing, lacking] = trust_of(similarity)
    return bound


def _plans(
    there: NDArray[np.bool_],
) -> Iterator[tuple[int, int, NDArray[np.int64], NDArray[np.int64]]]:
    """Missing sensor, shared one, windows that lack the former, and those that have both."""
    for missing in range(len(there)):
        left = ~there[missing]
        for shared in range(len(there)):
            having = np.flatnonzero(there[missing] & there[shared])
            lacking = np.flatnonzero(left & there[shared])
            if len(having) and len(lacking):
                yield missing, shared, lacking, having
                left[lacking] = False


def most_similar(
    queries: Tensor, candidates: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each query (n, dim) the nearest of candidates (m, dim), and the cosine.

    Features are centred over both.
    """
    mean = (queries.sum(0) + candidates.sum(0)) / (len(queries) + len(candidates))

    def centred(part: Tensor) -> Tensor:
        return F.normalize(part - mean, dim=1)

    others = centred(candidates).T
    best = [(centred(chunk) @ others).max(dim=1) for chunk in queries.split(CHUNK)]
    similarity, nearest = (torch.cat(parts).numpy() for parts in zip(*best, strict=True))
    return nearest, similarity


@torch.inference_mode()
def read(
    source: SensorSource, encoder: AnyBackbone, sensor: int, rows: NDArray[np.int64], bar: Any
) -> Tensor:
    """Features of one sensor's windows as they are, (n, features) on the CPU.

    Of pictures those of all recommended views, side by side.
    """
    device = next(encoder.parameters()).device
    parts = []
    for chosen in np.split(rows, range(CHUNK, len(rows), CHUNK)):
        signals = source.signals(sensor, chosen)
        if isinstance(encoder, Backbone):
            name = (source.sensors[sensor],)
            views = recommended_views(source.sampling_rate, source.samples, WIDTH, HEIGHT, name)
            pictures = torch.from_numpy(to_images(signals, views, sensors=name)).to(device)
            mean, deviation = (
                torch.tensor(each, device=device).view(3, 1, 1)
                for each in (IMAGENET_MEAN, IMAGENET_STD)
            )
            stages = encoder((pictures.flatten(0, 1) - mean) / deviation)
            features = torch.cat(stages, dim=1).view(len(chosen), -1)
        else:
            assert isinstance(encoder, LateConv1d)
            features = encoder.read(sensor, torch.from_numpy(signals).to(device))
        parts.append(features.cpu())
        bar.update(len(chosen))
    return torch.cat(parts)
