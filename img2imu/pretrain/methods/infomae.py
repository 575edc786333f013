"""InfoMAE: masked autoencoders of sensors, aligned by few pairs (Kimura et al. 2025)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import InputError
from ...models import AnyBackbone, Backbone
from ...models.conv1d import LateConv1d
from ...models.encoder import feature_maps, pool_bands
from ..distributed import World
from ..method_config import InfoMAEConfig
from ..norm import group_batch_norm
from ..sources.sensors import SensorSource
from .images import Measures, geometry, perceptron
from .sensor_base import SensorMethod, info_nce, paired

PATCH = 16
"""Pixels, to each side, of the squares that are hidden in a picture."""

SPAN = 25
"""Samples of the spans that are hidden in a signal."""

EPSILON = 1e-5
"""Added to variances."""


class Form(ABC):
    """What differs between pictures and signals: how they are hidden, read and compared.

    A *cell* is a place in the encoder's last map, whose features are decoded to the pixels or
    samples around it.

    Attributes
    ----------
    channels
        Features of a cell.
    outputs
        Numbers that are decoded from it.
    bands
        Cells to which a window is pooled.
    """

    channels: int
    outputs: int
    bands: int

    @abstractmethod
    def mask(self, view: Tensor, share: float) -> Tensor:
        """What to hide of each window, (sensors, n, 1, ...), as broadcast over channels."""

    @abstractmethod
    def hide(self, view: Tensor, mask: Tensor) -> Tensor:
        """The view with grey, or the mean, where `mask` is."""

    @abstractmethod
    def target(self, view: Tensor) -> Tensor:
        """What is to be predicted, of mean 0 and variance 1."""

    @abstractmethod
    def cells(self, view: Tensor, there: Tensor) -> list[Tensor]:
        """By sensor, of its windows that are `there`, (n, ..., channels)."""

    @abstractmethod
    def pooled(self, cells: Tensor) -> Tensor:
        """What is read of a window in the end, as cells (n, bands, channels)."""

    @abstractmethod
    def placed(self, decoded: Tensor, size: Sequence[int]) -> Tensor:
        """Numbers decoded from cells (n, ..., outputs), at their places (n, 3, ...) in a `size`."""

    @abstractmethod
    def within(self, whole: Tensor, placed: Tensor) -> Tensor:
        """The part of `whole`, a target or mask, that lies where `placed` does."""


class Pictures(Form):
    """Pictures, and the last of an image encoder's stages."""

    def __init__(self, encoder: Backbone) -> None:
        info: Any = encoder.body.feature_info
        self.encoder, self.reach, self.bands = encoder, info.reduction()[-1], encoder.bands
        self.channels, self.outputs = info.channels()[-1], 3 * self.reach**2

    def mask(self, view: Tensor, share: float) -> Tensor:
        """Squares of some pixels."""
        height, width = view.shape[-2:]
        grid = -(-height // PATCH), -(-width // PATCH)
        hidden = random_cells(view.shape[:2].numel(), math.prod(grid), share, view.device)
        squares = hidden.unflatten(1, grid).repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2)
        return squares[:, None, :height, :width].unflatten(0, view.shape[:2])

    def hide(self, view: Tensor, mask: Tensor) -> Tensor:
        """Grey, the mean of photographs, is 0 in normalised pictures."""
        return view.masked_fill(mask, 0)

    def target(self, view: Tensor) -> Tensor:
        """Each picture normalised by itself."""
        variance, mean = torch.var_mean(view.float(), (-3, -2, -1), correction=0, keepdim=True)
        return (view - mean) * (variance + EPSILON).rsqrt()

    def cells(self, view: Tensor, there: Tensor) -> list[Tensor]:
        """All sensors' pictures go through the encoder together."""
        images = view[there].contiguous(memory_format=torch.channels_last)
        maps = feature_maps(self.encoder.body, images)[-1].movedim(1, -1)
        return [*maps.split(there.sum(1).tolist())]

    def pooled(self, cells: Tensor) -> Tensor:
        """Over time, in the encoder's bands of frequency."""
        return pool_bands(cells.movedim(-1, 1), self.encoder.bands).mT

    def placed(self, decoded: Tensor, size: Sequence[int]) -> Tensor:
        """A cell gives a square of as many pixels as lie between two; the last may reach over."""
        return F.pixel_shuffle(decoded.movedim(-1, 1), self.reach)[..., : size[0], : size[1]]

    def within(self, whole: Tensor, placed: Tensor) -> Tensor:
        """Some encoders' last cells do not reach the edge."""
        return whole[..., : placed.shape[-2], : placed.shape[-1]]


class Signals(Form):
    """Signals, and the map over time of ``conv1d``."""

    outputs = 3
    bands = 1

    def __init__(self, encoder: LateConv1d) -> None:
        self.encoder, self.channels = encoder, encoder.width // len(encoder.parts)

    def mask(self, view: Tensor, share: float) -> Tensor:
        """Spans of some samples."""
        samples = view.shape[-1]
        count = view.shape[:2].numel()
        hidden = random_cells(count, -(-samples // SPAN), share, view.device)
        spans = hidden.repeat_interleave(SPAN, 1)[:, None, :samples]
        return spans.unflatten(0, view.shape[:2])

    def hide(self, view: Tensor, mask: Tensor) -> Tensor:
        """The mean of each axis, which the encoder takes away."""
        return torch.where(mask, self.encoder.mean.view(-1, 1, 3, 1), view)

    def target(self, view: Tensor) -> Tensor:
        """Normalised as by the encoder."""
        mean, deviation = (
            each.view(-1, 1, 3, 1) for each in (self.encoder.mean, self.encoder.deviation)
        )
        return (view - mean) / deviation

    def cells(self, view: Tensor, there: Tensor) -> list[Tensor]:
        """Each sensor's windows go through its own network."""
        each = zip(view, there, strict=True)
        return [self.encoder.over_time(k, one[own]).mT for k, (one, own) in enumerate(each)]

    def pooled(self, cells: Tensor) -> Tensor:
        """The maximum over time, as a single band."""
        return cells.amax(1, keepdim=True)

    def placed(self, decoded: Tensor, size: Sequence[int]) -> Tensor:
        """A cell gives the sample in its middle."""
        return decoded.mT

    def within(self, whole: Tensor, placed: Tensor) -> Tensor:
        """At either end a few samples are the middle of no cell."""
        first = (whole.shape[-1] - placed.shape[-1]) // 2
        return whole[..., first : first + placed.shape[-1]]


class InfoMAE(SensorMethod):
    """Each sensor by itself predicts what is hidden; what sensors share is aligned by pairs.

    After arXiv 2504.09707, in one loop. Each sensor has two projections of a cell, one shared and
    one private, and a decoder of both, of the cell and of what is read of the window in the end.
    All windows learn to predict what is hidden of them. After a share ``align_from`` of the steps,
    the windows that have two sensors are read whole besides; they are at least half of a batch,
    where there are so many. The shared projections of what is read in the end are to have one
    distribution, and to find their window's partner; those of all cells are not to correlate with
    the private ones.

    Parameters
    ----------
    encoder
        Of the sensors; of an image encoder's stages the last is read.
    config
        Weights of the terms.
    source
        What is learnt from.
    n
        Windows of a batch that are this process'.
    steps
        Of the whole training.
    world
        This process among all; each aligns and correlates within its own part of the batch.

    Raises
    ------
    InputError
        If there are no two windows with two sensors, or a batch is too small for them.
    """

    views = 1
    paired = 0.5

    def __init__(
        self,
        encoder: AnyBackbone,
        config: InfoMAEConfig,
        source: SensorSource,
        n: int,
        steps: int,
        world: World,
    ) -> None:
        super().__init__(encoder)
        if ((source.trust > 0).sum(0) >= 2).sum() < 2:
            raise InputError(
                "no windows have two sensors, and so there is nothing to align: the sources hold "
                f"{' and '.join(source.sensors)}"
            )
        if round(self.paired * n) < 2:
            raise InputError(f"a batch of {n} windows is too small to align two: choose 4 or more")
        self.config, self.first = config, round(config.align_from * steps)
        self.form: Form
        if isinstance(encoder, Backbone):
            self.form = Pictures(encoder)
        else:
            assert isinstance(encoder, LateConv1d)
            self.form = Signals(encoder)
        dim, channels = config.dim, self.form.channels
        self.shared, self.private, self.decoders = (
            nn.ModuleList(perceptron(inputs, dim, outputs) for _ in source.sensors)
            for inputs, outputs in (
                (channels, dim // 2),
                (channels, dim // 2),
                (dim * (1 + self.form.bands), self.form.outputs),
            )
        )
        group_batch_norm(self, 1, world)

    def forward(self, views: list[Tensor], trust: Tensor, step: int) -> Measures:
        """The loss, by its terms, and how well partners find each other."""
        config, [view], there = self.config, views, trust > 0
        reconstruction, independence = self._reconstruct(view, there)
        aligned = step >= self.first
        # Before, too, it is measured, and batch norm sees whole pictures.
        with torch.set_grad_enabled(aligned and torch.is_grad_enabled()):
            distribution, contrast, pairs, companions = self._align(view, there)
        loss, self.chance = reconstruction, 1.0
        if aligned:
            loss = (
                reconstruction
                + config.distribution * distribution
                + config.contrast * contrast
                + config.independence * independence
            )
            self.chance += config.contrast * math.log(max(1, pairs))
        terms = {
            "reconstruction": reconstruction,
            "distribution": distribution,
            "contrast": contrast,
            "independence": independence,
        }
        return {"loss": loss, **terms, **companions}

    def _reconstruct(self, view: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Error of what is hidden, and correlation of the projections: means over sensors."""
        mask = self.form.mask(view, self.config.masked)
        with still_norm(self.encoder):
            cells = self.form.cells(self.form.hide(view, mask), there)
        target = self.form.target(view)
        errors, correlations = [], []
        for k, own in enumerate(there):
            shared, private = self.shared[k](cells[k]), self.private[k](cells[k])
            parts = torch.cat([shared, private, *self._of_window(k, cells[k])], dim=-1)
            decoded = self.decoders[k](parts)
            placed = self.form.placed(decoded, view.shape[3:]).float()
            wanted, hidden = (self.form.within(each[k, own], placed) for each in (target, mask))
            errors.append(masked_error(placed, wanted, hidden))
            correlations.append(correlation(shared.flatten(0, -2), private.flatten(0, -2)))
        return torch.stack(errors).mean(), torch.stack(correlations).mean()

    def _of_window(self, k: int, cells: Tensor) -> list[Tensor]:
        """Both projections of what is read in the end, at each cell."""
        pooled = self.form.pooled(cells)
        places = cells.shape[1:-1]
        each = (head[k](pooled).flatten(1) for head in (self.shared, self.private))
        return [
            one.view(len(one), *[1] * len(places), one.shape[1]).expand(-1, *places, -1)
            for one in each
        ]

    def _align(self, view: Tensor, there: Tensor) -> tuple[Tensor, Tensor, float, Measures]:
        """Distance and contrast of shared parts, means over pairs of sensors; rows of a pair."""
        several = there & (there.sum(0) >= 2)
        cells = self.form.cells(view, several)
        each = [head(self.form.pooled(one)) for head, one in zip(self.shared, cells, strict=True)]
        parts = view.new_zeros(*there.shape, each[0][0].numel(), dtype=torch.float32)
        parts[several] = F.normalize(torch.cat(each).flatten(1).float(), dim=1)
        pairs = [(parts[a, both], parts[b, both]) for a, b, both in paired(several) if both.any()]
        with torch.autocast(view.device.type, enabled=False):
            distances = [energy_distance(*pair) for pair in pairs]
            contrasts = [self._contrast(*pair) for pair in pairs]
        losses, hits = zip(*contrasts, strict=True)
        first, second = (torch.cat(each).detach() for each in zip(*pairs, strict=True))
        companions = {"top1": torch.stack(hits).mean(), **geometry(first, second)}
        rows = len(first) / len(pairs)
        return torch.stack(distances).mean(), torch.stack(losses).mean(), rows, companions

    def _contrast(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Each window is compared with all."""
        every = torch.ones(len(first), len(first), dtype=torch.bool, device=first.device)
        return info_nce(first, second, every, self.config.temperature)


def random_cells(n: int, cells: int, share: float, device: torch.device) -> Tensor:
    """A share of so many cells, drawn anew for each of `n`: (n, cells), 1 at least, never all."""
    count = min(max(1, round(share * cells)), cells - 1)
    order = torch.rand(n, cells, device=device).argsort(dim=1)
    return order.argsort(dim=1) < count


def masked_error(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error (n, channels, ...) where `mask`, (n, 1, ...), is; 0 without a window."""
    errors = (predicted - target).square() * mask
    return errors.sum() / (mask.sum() * predicted.shape[1]).clamp(min=1)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Mean square of the correlations between columns of the one, (n, dim), and the other."""
    with torch.autocast(first.device.type, enabled=False):
        columns = []
        for each in (first.float(), second.float()):
            centred = each - each.mean(0)
            columns.append(centred * (centred.square().mean(0) + EPSILON).rsqrt())
        return (columns[0].T @ columns[1] / max(1, len(first))).square().mean()


def energy_distance(first: Tensor, second: Tensor) -> Tensor:
    """How far apart two samples' distributions are, (n, dim) and (m, dim); 0 for the same ones.

    Twice the mean distance between the samples, less those within each (Székely & Rizzo 2013).
    """

    def within(sample: Tensor) -> Tensor:
        return 2 * F.pdist(sample).sum() / len(sample) ** 2

    between = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").mean()
    return 2 * between - within(first) - within(second)


@contextmanager
def still_norm(network: nn.Module) -> Iterator[None]:
    """Batch norm's running statistics stay as they are: not of pictures with parts hidden."""
    norms = [each for each in network.modules() if isinstance(each, _BatchNorm)]
    momenta = [each.momentum for each in norms]
    for each in norms:
        each.momentum = 0.0
    try:
        yield
    finally:
        for each, momentum in zip(norms, momenta, strict=True):
            each.momentum = momentum
