"""Hours of samples at the width of a screen: coarser and coarser copies, each made once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FACTOR = 4
"""Columns of a level that make one of the next."""


class Levels:
    """An array that can be read at any width without going through all of it.

    Parameters
    ----------
    values
        Shape (..., n), time last.
    reduce
        What makes one column of several: ``np.minimum``, ``np.maximum`` or ``np.add``, of which
        the mean is taken.
    """

    def __init__(self, values: NDArray[np.float32], reduce: np.ufunc) -> None:
        self._reduce = reduce
        self._levels = [values]

    @property
    def count(self) -> int:
        """How many columns there are at the finest."""
        return self._levels[0].shape[-1]

    def columns(self, edges: NDArray[np.intp]) -> NDArray[np.float32]:
        """What lies between neighbouring `edges`, ascending places from 0 to n: (..., columns).

        A column narrower than a sample shows the one it lies in. Edges are taken as finely as a
        column is wide, to a quarter of it.
        """
        narrowest = max(1, int(np.min(np.diff(edges), initial=1)))
        level = 0
        while FACTOR ** (level + 2) <= narrowest:
            level += 1
        values, size = self._level(level), FACTOR**level
        starts = np.minimum(edges[:-1] // size, values.shape[-1] - 1)
        # What the last edge cuts belongs to the last column.
        ends = np.append(edges[1:-1] // size, -(-edges[-1] // size))
        ends = np.minimum(np.maximum(ends, starts + 1), values.shape[-1])
        taken = values[..., starts[0] : ends[-1]]
        reduced = self._reduce.reduceat(taken, starts - starts[0], axis=-1)
        return reduced / (ends - starts) if self._reduce is np.add else reduced

    def _level(self, level: int) -> NDArray[np.float32]:
        while len(self._levels) <= level:
            finest = self._levels[-1]
            starts = np.arange(0, finest.shape[-1], FACTOR)
            coarser = self._reduce.reduceat(finest, starts, axis=-1)
            if self._reduce is np.add:
                coarser /= np.diff(np.append(starts, finest.shape[-1]))
            self._levels.append(coarser.astype(np.float32, copy=False))
        return self._levels[level]
