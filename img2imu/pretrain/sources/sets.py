"""Windows of several sets that are learnt from together."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...augment import signals
from ...errors import InputError
from ...hashing import content_hash
from ...images import Batch
from ...recordings import UNLABELLED, Windows
from ...recordings.sensors import ACCELEROMETER, units_of
from ..distributed import World
from .windows import whole_batches

DEGREES = 20.0
"""Largest angle by which a window's sensor is turned: more would be another posture."""

GAIN = 0.1
WARP = 0.2
SHIFT = 0.2
NOISE = 0.02
"""Deviation of the gain, the speed of time, largest shift along time, deviation of noise in g, or
in another sensor's unit."""

MIN_SUBJECTS = 6
"""Of a labelled set from which subjects are held out: three are left on either side at least."""


class WindowSets:
    """Windows of one or several sets, numbered through.

    Parameters
    ----------
    sets
        Windows by name; whose they are is up to the caller.
    held
        Whether to hold subjects out, on whom the encoder can be compared with its start: of each
        labelled set with six subjects or more a fifth of them, three at least.
    seed
        Of the choice of subjects.

    Attributes
    ----------
    sets : list of Windows
        To learn from.
    held : dict of str to Windows
        Labelled windows of the subjects held out, by set.
    watched : list of tuple of Windows
        Of each of these sets, the labelled ones to learn from, and those held out.
    labels : ndarray of shape (n,)
        Each window's class within its set, -1 where unknown.
    first : ndarray
        Number of each set's first window; the last is that of all windows.
    after : ndarray of shape (n,)
        Of each window the one that follows in its recording; a last one has itself.

    Raises
    ------
    InputError
        If there are no windows.
    """

    def __init__(self, sets: Mapping[str, Windows], held: bool = True, seed: int = 0) -> None:
        parts = {
            name: hold_out(windows, seed) if held else (windows, None)
            for name, windows in sets.items()
        }
        self.sets = [windows for windows, _ in parts.values()]
        self.held = {name: part for name, (_, part) in parts.items() if part is not None}
        self.watched = [
            (learnt.select(learnt.y != UNLABELLED), part)
            for learnt, part in parts.values()
            if part is not None
        ]
        if not sum(map(len, self.sets)):
            raise InputError("there are no windows to learn from")
        self.labels = np.concatenate([_numbered(each) for each in self.sets])
        self.first = np.cumsum([0, *map(len, self.sets)])
        offsets = zip(self.sets, self.first[:-1], strict=True)
        self.after = np.concatenate([_neighbours(each) + offset for each, offset in offsets])

    def __len__(self) -> int:
        return len(self.labels)

    def describe(self) -> dict[str, Any]:
        """What tells these windows from others."""
        return {
            "count": len(self),
            "sets": [
                {
                    "windows_sha256": content_hash(each.X, each.y.tolist(), each.subject.tolist()),
                    "count": len(each),
                    "samples": each.X.shape[2],
                    "sampling_rate": each.sampling_rate,
                    **({} if each.sensors == ACCELEROMETER else {"sensors": list(each.sensors)}),
                }
                for each in self.sets
            ],
        }

    def member(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The set of each of `rows`, by number."""
        return np.searchsorted(self.first, rows, side="right") - 1

    def changed(
        self, rows: NDArray[np.int64], generator: torch.Generator
    ) -> Iterator[tuple[int, NDArray[np.int64], Tensor]]:
        """Signals of windows, each changed at random (:func:`change`), set by set.

        Parameters
        ----------
        rows
            Of the windows.
        generator
            On the CPU.

        Yields
        ------
        number : int
            Of the set.
        mine : ndarray of shape (k,)
            Places in `rows` of its windows.
        signals : Tensor of shape (k, 3 * sensors, samples)
        """
        member = self.member(rows)
        for number, windows in enumerate(self.sets):
            mine = np.flatnonzero(member == number)
            if len(mine):
                own = torch.from_numpy(windows.X[rows[mine] - self.first[number]])
                yield number, mine, change(own, generator, units_of(windows.sensors))

    def weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """How often each of `rows` is drawn: sets in proportion to the root of their windows."""
        member = self.member(rows)
        counts = np.bincount(member, minlength=len(self.sets))
        weights = 1 / np.sqrt(counts[member])
        return weights / weights.sum()


class SetsLoader(ABC):
    """Batches of what is drawn of windows; the same protocol as ``Loader``.

    A thread of its own draws the next batch. What is drawn depends on seed, epoch, step and
    process alone.

    Parameters
    ----------
    sets
        The windows.
    batch_size
        Of a step, over all processes.
    seed
        Of what is drawn.
    world
        This process among all.
    rows
        Windows to draw from.

    Attributes
    ----------
    rows : ndarray
        Windows to draw from.
    share : int
        Windows of a batch that are this process'.
    steps : int
        In an epoch, in which as many are drawn as there are windows.
    waited : float
        Seconds for which :meth:`epoch` has kept its consumer waiting.

    Raises
    ------
    InputError
        If the batch size is more than all windows or no multiple of the processes.
    """

    def __init__(
        self, sets: WindowSets, batch_size: int, seed: int, world: World, rows: NDArray[np.int64]
    ) -> None:
        self.rows = rows
        self.steps = whole_batches(len(rows), batch_size, world)
        self.share = batch_size // world.size
        self.waited = 0.0
        self._seed, self._world = seed, world

    @abstractmethod
    def choose(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Windows of a batch."""

    @abstractmethod
    def draw(self, rows: NDArray[np.int64], generator: torch.Generator) -> Batch:
        """A batch of these windows, on the CPU."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `start`."""
        with ThreadPoolExecutor(1) as pool:
            ahead: list[Future[Batch]] = []
            for step in [*range(start, self.steps), None]:
                before = ahead
                ahead = [] if step is None else [pool.submit(self._batch, epoch, step)]
                for batch in before:
                    began = time.perf_counter()
                    drawn = batch.result()
                    self.waited += time.perf_counter() - began
                    device = self._world.device
                    yield Batch(drawn.images.to(device), drawn.labels.to(device))

    def _batch(self, epoch: int, step: int) -> Batch:
        rng = np.random.default_rng([self._seed, epoch, step, self._world.rank])
        rows = self.choose(rng)
        return self.draw(rows, torch.Generator().manual_seed(int(rng.integers(2**63))))


def change(
    windows: Tensor, generator: torch.Generator, units: Sequence[int] | None = None
) -> Tensor:
    """The signal as another wearer might have given it: turned, scaled, warped, shifted, noisy.

    Sensors of one of the `units` turn together.
    """
    changed = signals.rotate(windows, generator, DEGREES, units)
    changed = changed * (1 + GAIN * torch.randn(len(windows), 1, 1, generator=generator))
    changed = signals.time_warp(changed, generator, WARP)
    changed = signals.shift(changed, generator, SHIFT)
    return signals.jitter(changed, generator, NOISE)


def hold_out(windows: Windows, seed: int) -> tuple[Windows, Windows | None]:
    """Windows to train on, and the labelled ones of subjects held out."""
    subjects = windows.subjects
    labelled = windows.y != UNLABELLED
    if len(subjects) < MIN_SUBJECTS or len(set(windows.y[labelled].tolist())) < 2:
        return windows, None
    count = max(3, len(subjects) // 5)
    chosen = np.random.default_rng(seed).permutation(np.array(subjects))[:count]
    out = np.isin(windows.subject, chosen)
    return windows.select(~out), windows.select(out & labelled)


def _numbered(windows: Windows) -> NDArray[np.int64]:
    """Labels as numbers of the set's classes, -1 where unknown."""
    known = windows.y != UNLABELLED
    numbers = np.searchsorted(np.array(windows.classes), windows.y)
    return np.where(known, numbers, -1).astype(np.int64)


def _neighbours(windows: Windows) -> NDArray[np.int64]:
    """The next window of the same subject's recording; a last one has itself."""
    after = np.arange(len(windows))
    order = np.lexsort((windows.start, windows.recording, windows.subject))
    for one, other in pairwise(order):
        same = windows.recording[one] == windows.recording[other]
        if same and windows.subject[one] == windows.subject[other]:
            after[one] = other
    return after
