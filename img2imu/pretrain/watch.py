"""Nearest neighbours on what was held out, watched while an encoder learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..augment import KorniaPolicy
from ..convert import incomplete_images, to_images
from ..convert.presets import recommended_views, token_views
from ..images import Source
from ..models import AnyBackbone, Backbone, TokenBackbone, TokenEncoder
from ..models.conv1d import LateConv1d
from ..recordings import Windows
from .monitors import NEIGHBOURS, Number, encode, knn_accuracy
from .sources.pictures import HEIGHT, WIDTH
from .sources.sensors import SensorSource
from .sources.sets import WindowSets
from .sources.tokens import TokenSource
from .sources.windows import WindowsSource

BANK = 10_000
"""Training images among which held ones look for their neighbours."""

BANK_WINDOWS, QUERIES = 128, 96
"""Windows learnt from, and held out, of all sets together: to read them is to cost little."""

FEW_NEIGHBOURS = 5
"""That vote among so few windows."""

READ_EVERY = 12
"""Windows that are learnt from, at least, for each one that is read to watch."""

CHUNK = 64

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Labelled examples of one set.

    Attributes
    ----------
    read
        An encoder's features of those among which neighbours are looked for, and of those held
        out, (n, dim) each.
    known, truth
        Their labels, (n,) whole numbers.
    neighbours
        That vote.
    """

    read: Callable[[AnyBackbone], list[Tensor]]
    known: Tensor
    truth: Tensor
    neighbours: int = NEIGHBOURS

    def accuracy(self, encoder: AnyBackbone) -> float:
        """Of nearest neighbours on those held out."""
        bank, queries = self.read(encoder)
        return knn_accuracy(bank, self.known, queries, self.truth, self.neighbours)


class Watch:
    """How well neighbours tell what was held out, in the mean over sets.

    Parameters
    ----------
    examples
        Of each set; none where nothing that was held out has labels.
    every
        Examples to be learnt from between two readings; 0 reads after every epoch.

    Attributes
    ----------
    start : float
        The accuracy before training; no number until it was measured.
    guess : float
        That of choosing any class.
    """

    def __init__(self, examples: Sequence[Examples] = (), every: int = 0) -> None:
        self.examples, self.every = list(examples), every
        self.start = self.guess = self.last = math.nan
        if self.examples:
            self.guess = float(np.mean([1 / len(each.known.unique()) for each in self.examples]))

    def __str__(self) -> str:
        """The latest accuracy behind other numbers, for a progress bar."""
        if math.isnan(self.start):
            return ""
        now = self.start if math.isnan(self.last) else self.last
        return f", knn {now:.2f} (start {self.start:.2f}, guess {self.guess:.2f})"

    def begin(self, encoder: AnyBackbone) -> None:
        """Read the encoder that training starts from."""
        if self.examples:
            self.start = self.accuracy(encoder)

    def due(self, before: int, after: int) -> bool:
        """Whether to read, having learnt from so many examples at the last chance and now."""
        return not self.every or after // self.every > before // self.every

    def accuracy(self, encoder: AnyBackbone) -> float:
        """Of nearest neighbours."""
        return float(np.mean([each.accuracy(encoder) for each in self.examples]))

    def measures(self, encoder: AnyBackbone, due: bool = True) -> dict[str, Number]:
        """Columns of an epoch, none without examples; the accuracy is a number when `due`."""
        if not self.examples:
            return {}
        accuracy = self.accuracy(encoder) if due else math.nan
        self.last = accuracy if due else self.last
        return {"knn": accuracy, "knn_start": self.start, "knn_guess": self.guess}

    def warning(self, measures: Mapping[str, Number]) -> str | None:
        """A sentence if neighbours are further below the start than their standard error."""
        accuracy, start = (measures.get(name, math.nan) for name in ("knn", "knn_start"))
        count = sum(len(each.truth) for each in self.examples)
        if not accuracy < start - math.sqrt(start * (1 - start) / max(1, count)):
            return None
        return (
            f"nearest neighbours are right in {accuracy:.2f} of what was held out, and were in "
            f"{start:.2f} before training (a guess: {self.guess:.2f}): what is learnt is not what "
            "the labels tell apart; lower lr, train for less long, or average with the start"
        )


def watch_images(
    source: Source, held: Rows, learnt: Rows, seed: int, device: torch.device
) -> Watch:
    """Watch images that were held out, where they and some that are learnt have labels.

    Parameters
    ----------
    source
        Of the images.
    held, learnt
        Their rows.
    seed
        Of the choice among those learnt.
    device
        Where they are read.
    """
    images, labels = getattr(source, "images", None), getattr(source, "labels", None)
    if images is None or labels is None or not len(held):
        return Watch()
    bank = np.random.default_rng(seed).permutation(learnt)
    rows = [np.sort(part) for part in (bank[labels[bank] >= 0][:BANK], held)]
    if not len(rows[0]):
        return Watch()
    normalise = KorniaPolicy(nn.Identity(), dtype=torch.bfloat16).to(device)

    def read(encoder: AnyBackbone) -> list[Tensor]:
        return [encode(encoder, images, part, normalise, device) for part in rows]

    known, truth = (_numbers(labels[part], device) for part in rows)
    return Watch([Examples(read, known, truth)])


def watch_windows(source: WindowSets | WindowsSource, seed: int, device: torch.device) -> Watch:
    """Watch the subjects held out, by some of their windows and of those learnt from.

    Parameters
    ----------
    source
        Of the windows.
    seed
        Of the choice among them.
    device
        Where they are read.
    """
    count, examples, read = len(source.watched), [], 0
    for learnt, held in source.watched:
        bank = _evenly(learnt, BANK_WINDOWS // count, seed)
        queries = _evenly(held.select(np.isin(held.y, bank.classes)), QUERIES // count, seed)
        if len(queries) and len(bank.classes) > 1:
            examples.append(_examples(source, bank, queries, device))
            read += len(bank) + len(queries)
    return Watch(examples, READ_EVERY * read)


def _evenly(windows: Windows, count: int, seed: int) -> Windows:
    """At most so many, of each class alike where it has as many."""
    order = np.random.default_rng(seed).permutation(len(windows))
    turn = np.empty(len(windows), np.int64)
    for name in windows.classes:
        own = order[windows.y[order] == name]
        turn[own] = np.arange(len(own))
    return windows.select(np.sort(order[np.argsort(turn[order], kind="stable")][:count]))


def _examples(
    source: WindowSets | WindowsSource, bank: Windows, queries: Windows, device: torch.device
) -> Examples:
    inputs = [_drawn(source, part) for part in (bank, queries)]
    sensors: list[int] = []
    if isinstance(source, SensorSource):
        sensors = [source.sensors.index(name) for name in bank.sensors]
    known, truth = (
        _numbers(np.searchsorted(bank.classes, part.y), device) for part in (bank, queries)
    )

    def read(encoder: AnyBackbone) -> list[Tensor]:
        return [features(encoder, part, sensors, device) for part in inputs]

    return Examples(read, known, truth, FEW_NEIGHBOURS)


def _drawn(source: WindowSets | WindowsSource, windows: Windows) -> Tensor:
    """What the encoder of a source reads of windows, unchanged; of pictures one of each sensor."""
    rate, samples, sensors = windows.sampling_rate, windows.X.shape[2], windows.sensors
    if isinstance(source, WindowsSource) or (
        isinstance(source, SensorSource) and not source.pictures
    ):
        return torch.from_numpy(np.ascontiguousarray(windows.X))
    if isinstance(source, TokenSource):
        views = token_views(rate, samples, sensors)
        return torch.from_numpy(incomplete_images(windows.X, views, sensors)).half()
    if not isinstance(source, SensorSource):
        sensors = sensors[:1]  # of all sensors' pictures, each window has learnt from one
    first = [recommended_views(rate, samples, WIDTH, HEIGHT, (name,))[0] for name in sensors]
    pictures = to_images(windows.X, first, sensors=windows.sensors)
    return torch.from_numpy(pictures).mul(255).round().to(torch.uint8)


@torch.inference_mode()
def features(
    encoder: AnyBackbone, inputs: Tensor, sensors: Sequence[int], device: torch.device
) -> Tensor:
    """Features (n, dim) of the last stage, in evaluation mode; sensors side by side.

    Parameters
    ----------
    encoder
        As it stands; in training mode it is so again afterwards.
    inputs
        Windows (n, axes, samples), or pictures (n, pictures, 3, height, width): bytes, or for
        tokens numbers in [0, 1].
    sensors
        Of an encoder with a network for each, the numbers of those that the windows have.
    device
        Where they are read.
    """
    training = encoder.training
    encoder.eval()
    parts = []
    for chunk in inputs.split(CHUNK):
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(_read(encoder, chunk.to(device), sensors).float())
    encoder.train(training)
    return torch.cat(parts)


def _read(encoder: AnyBackbone, inputs: Tensor, sensors: Sequence[int]) -> Tensor:
    if isinstance(encoder, TokenBackbone):
        [stage] = TokenEncoder(encoder, (-1,)).stage_features(inputs.float())
        return stage
    if isinstance(encoder, Backbone):
        normalise: Any = KorniaPolicy(nn.Identity(), dtype=torch.bfloat16).to(inputs.device)
        pictures: Tensor = normalise(inputs.flatten(0, 1))
        return encoder(pictures)[-1].unflatten(0, inputs.shape[:2]).flatten(1)
    if isinstance(encoder, LateConv1d):
        triads = zip(sensors, inputs.split(3, dim=1), strict=True)
        return torch.cat([encoder.read(number, triad) for number, triad in triads], dim=1)
    read: Tensor = encoder(inputs)
    return read


def _numbers(labels: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(labels.astype(np.int64)).to(device)
