"""Pictures of windows as a source of pre-training, drawn anew each time from changed signals."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...convert import View, to_images
from ...convert.presets import recommended_views
from ...images import Batch
from ...recordings import Windows
from ..distributed import World
from .sets import SetsLoader, WindowSets

WIDTH, HEIGHT = 96, 72
"""Of a picture."""


class PictureSource(WindowSets):
    """Windows of one or several sets, each drawn by the views of the preset ``recommended``.

    Parameters
    ----------
    sets, held, seed
        As in :class:`~.sets.WindowSets`. Sets may differ in rate, length and sensors, each of
        which is drawn by views of its own.

    Attributes
    ----------
    views : list of tuple of View
        Of each set.
    groups : list of int
        Classes of each pair of set and view: what a picture may show is one of its own set's.

    Raises
    ------
    InputError
        If there are no windows.
    """

    width, height = WIDTH, HEIGHT

    def __init__(self, sets: Mapping[str, Windows], held: bool = True, seed: int = 0) -> None:
        super().__init__(sets, held, seed)
        self.views: list[tuple[View, ...]] = [
            recommended_views(each.sampling_rate, each.X.shape[2], WIDTH, HEIGHT, each.sensors)
            for each in self.sets
        ]
        self.groups = [
            len(each.classes) for each, views in zip(self.sets, self.views, strict=True)
            for _ in views
        ]  # fmt: skip
        self._first_view = np.cumsum([0, *map(len, self.views)])

    def draw(
        self, rows: NDArray[np.int64], neighbours: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A picture of each window: changed at random, in a random view of its set's.

        Parameters
        ----------
        rows
            Of the windows.
        neighbours
            Probability that it is the next window of the recording instead, where there is one.
        generator
            On the CPU.

        Returns
        -------
        images : Tensor of shape (n, 3, height, width), uint8
        labels : Tensor of shape (n,)
            Classes, numbered through all pairs of set and view; -1 where unknown.
        """
        member = self.member(rows)
        # A number that every set's views divide, so that each is as likely as another.
        views = math.lcm(*map(len, self.views))
        view = torch.randint(views, (len(rows),), generator=generator).numpy()
        view %= np.array([len(each) for each in self.views])[member]
        moved = torch.rand(len(rows), generator=generator).numpy() < neighbours
        images = torch.empty(len(rows), 3, self.height, self.width, dtype=torch.uint8)
        labels = np.full(len(rows), -1, np.int64)
        starts = np.cumsum([0, *self.groups])
        shown = np.where(moved, self.after[rows], rows)
        for number, mine, signals in self.changed(shown, generator):
            for each in np.unique(view[mine]):
                some = view[mine] == each
                drawn = (self.views[number][each],)
                sensors = self.sets[number].sensors
                pictures = to_images(signals[some].numpy(), drawn, sensors=sensors)[:, 0]
                at = torch.from_numpy(mine[some])
                images[at] = torch.from_numpy(pictures).mul(255).round().to(torch.uint8)
            known = self.labels[rows[mine]]
            offset = starts[self._first_view[number] + view[mine]]
            labels[mine] = np.where(known >= 0, known + offset, -1)
        return images, torch.from_numpy(labels)


class PictureLoader(SetsLoader):
    """Batches of pictures of windows, each view drawn anew.

    The images of a batch have the shape (views, n, 3, height, width).

    Parameters
    ----------
    source
        Draws the pictures.
    batch_size, seed, world, rows
        As in :class:`~.sets.SetsLoader`.
    views
        Of each window.
    neighbours
        Probability that a later view is of the next window.
    """

    def __init__(
        self,
        source: PictureSource,
        batch_size: int,
        seed: int,
        world: World,
        rows: NDArray[np.int64],
        views: int = 1,
        neighbours: float = 0.0,
    ) -> None:
        super().__init__(source, batch_size, seed, world, rows)
        self.views, self.neighbours = views, neighbours
        self._source = source
        self._weights = source.weights(rows)

    def choose(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Windows of a batch."""
        return rng.choice(self.rows, self.share, p=self._weights)

    def draw(self, rows: NDArray[np.int64], generator: torch.Generator) -> Batch:
        """Their pictures: the first view of the window itself, others maybe of its neighbour."""
        drawn = [
            self._source.draw(rows, self.neighbours if number else 0.0, generator)
            for number in range(self.views)
        ]
        return Batch(torch.stack([images for images, _ in drawn]), drawn[0][1])
