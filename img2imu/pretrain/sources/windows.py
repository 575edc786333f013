"""Unlabelled windows as a source of pre-training."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import InputError
from ...images import Batch
from ...images.loader import epoch_order
from ...recordings import Windows
from ...recordings.sensors import ACCELEROMETER, axis_names
from ..distributed import World


class WindowsSource:
    """Windows without their labels.

    Parameters
    ----------
    windows
        (n, 3 * sensors, samples) float32, in the sensors' units. Whose they are is up to the
        caller: subjects on whom an encoder is tested must not be among them.
    sampling_rate
        In Hz.
    sensors
        Those of the windows.
    watched
        Of sets among them, labelled windows of some subjects, and of others: the former's
        neighbours tell, while an encoder learns, what it is worth. All are learnt from, as labels
        are not.

    Attributes
    ----------
    mean, deviation
        (3 * sensors,) float32, of each axis over all windows.

    Raises
    ------
    InputError
        If there are no windows, or an axis never changes.
    """

    def __init__(
        self,
        windows: NDArray[np.float32],
        sampling_rate: float,
        sensors: Sequence[str] = ACCELEROMETER,
        watched: Sequence[tuple[Windows, Windows]] = (),
    ) -> None:
        if not len(windows):
            raise InputError("there are no windows to learn from")
        self.windows = np.ascontiguousarray(windows, dtype=np.float32)
        self.sampling_rate, self.sensors = sampling_rate, tuple(sensors)
        self.watched = list(watched)
        names = axis_names(sensors)
        axes = [self.windows[:, axis] for axis in range(len(names))]
        dead = [name for name, axis in zip(names, axes, strict=True) if axis.min() == axis.max()]
        if dead:
            raise InputError(f"axis {dead[0]} is constant in all {len(windows)} windows")
        self.mean, self.deviation = (
            np.array([measure(axis, dtype=np.float64) for axis in axes], np.float32)
            for measure in (np.mean, np.std)
        )

    def __len__(self) -> int:
        return len(self.windows)

    def describe(self) -> dict[str, Any]:
        """What tells these windows from others."""
        return {
            "count": len(self),
            "samples": self.windows.shape[2],
            "sampling_rate": self.sampling_rate,
            "windows_sha256": hashlib.sha256(self.windows.data).hexdigest(),
            **({} if self.sensors == ACCELEROMETER else {"sensors": list(self.sensors)}),
        }


def whole_batches(count: int, batch_size: int, world: World) -> int:
    """How many batches `count` windows give.

    Raises
    ------
    InputError
        If they give none, or the processes cannot share one evenly.
    """
    if batch_size > count:
        raise InputError(
            f"a batch of {batch_size} is more than the {count} windows there are: "
            "choose a smaller batch size"
        )
    if batch_size % world.size:
        raise InputError(
            f"the batch size must be a multiple of the {world.size} processes, not {batch_size}"
        )
    return count // batch_size


class WindowsLoader:
    """Shuffled batches of windows that lie on the device; the same protocol as ``Loader``.

    Attributes
    ----------
    rows : ndarray
        Windows to draw from.
    steps : int
        In an epoch; an incomplete last batch is dropped.
    waited : float
        Seconds for which :meth:`epoch` has kept its consumer waiting.

    Raises
    ------
    InputError
        If the batch size is more than all windows or no multiple of the processes.
    """

    def __init__(self, source: WindowsSource, batch_size: int, seed: int, world: World) -> None:
        self.rows = np.arange(len(source))
        self.batch_size, self.seed, self.world = batch_size, seed, world
        self.steps = whole_batches(len(source), batch_size, world)
        self.waited = 0.0
        self._windows = torch.from_numpy(source.windows).to(world.device)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `start`, in an order of seed and epoch alone."""
        order = epoch_order(len(self.rows), self.seed, epoch)[: self.steps * self.batch_size]
        for rows in order.reshape(self.steps, self.world.size, -1)[start:, self.world.rank]:
            began = time.perf_counter()
            windows = self._windows[torch.from_numpy(rows).to(self.world.device)]
            labels = torch.full((len(rows),), -1, device=self.world.device)
            self.waited += time.perf_counter() - began
            yield Batch(windows, labels)
