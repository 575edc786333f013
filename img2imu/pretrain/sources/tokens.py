"""Windows that may lack samples as a source of pre-training, as pictures that lack them too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...convert import View, incomplete_images
from ...convert.presets import picture_names, token_views
from ...errors import InputError
from ...images import Batch
from ...recordings import Windows
from ..distributed import World
from .sets import SetsLoader, WindowSets


class TokenSource(WindowSets):
    """Windows of one or several sets, complete or not, as pictures that lack what is missing.

    Parameters
    ----------
    sets, held, seed
        As in :class:`~.sets.WindowSets`; all of the same sensors. Sets may differ in rate and
        length.

    Attributes
    ----------
    views : list of tuple of View
        Of each set.
    sensors : tuple of str
        Of all sets.

    Raises
    ------
    InputError
        If there are no windows, or sets differ in sensors.
    """

    def __init__(self, sets: Mapping[str, Windows], held: bool = True, seed: int = 0) -> None:
        super().__init__(sets, held, seed)
        kinds = {each.sensors for each in self.sets}
        if len(kinds) > 1:
            told = " and others of ".join(" and ".join(names) for names in sorted(kinds))
            raise InputError(f"aim learns from windows of the same sensors, not some of {told}")
        [self.sensors] = kinds
        self.views: list[tuple[View, ...]] = [
            token_views(each.sampling_rate, each.X.shape[2], each.sensors) for each in self.sets
        ]

    @property
    def names(self) -> list[str]:
        """Of the pictures, in their order."""
        return picture_names(self.views[0])

    def draw(self, rows: NDArray[np.int64], generator: torch.Generator) -> Tensor:
        """The pictures of each window, changed at random; what is missing stays missing.

        Parameters
        ----------
        rows
            Of the windows.
        generator
            On the CPU.

        Returns
        -------
        Tensor of shape (n, pictures, 3, height, width)
            In [0, 1], and NaN where missing.
        """
        first = self.views[0][0]
        images = torch.empty(len(rows), len(self.names), 3, first.height, first.width)
        for number, mine, signals in self.changed(rows, generator):
            drawn = incomplete_images(signals.numpy(), self.views[number], self.sensors)
            images[torch.from_numpy(mine)] = torch.from_numpy(drawn)
        return images


class TokenLoader(SetsLoader):
    """Batches of the pictures of windows, of the shape (1, n, pictures, 3, height, width).

    Parameters
    ----------
    source
        Draws the pictures.
    batch_size, seed, world, rows
        As in :class:`~.sets.SetsLoader`.
    """

    def __init__(
        self, source: TokenSource, batch_size: int, seed: int, world: World, rows: NDArray[np.int64]
    ) -> None:
        super().__init__(source, batch_size, seed, world, rows)
        self._source, self._weights = source, source.weights(rows)

    def choose(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Windows of a batch."""
        return rng.choice(self.rows, self.share, p=self._weights)

    def draw(self, rows: NDArray[np.int64], generator: torch.Generator) -> Batch:
        """Their pictures."""
        return Batch(self._source.draw(rows, generator)[None], torch.full((len(rows),), -1))
