"""Pictures of windows as a source of pre-training, drawn anew each time from changed signals."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..augment import signals
from ..convert import View, to_images
from ..convert.presets import recommended_views
from ..errors import InputError
from ..hashing import content_hash
from ..images import Batch
from ..recordings import UNLABELLED, Windows
from ..recordings.sensors import ACCELEROMETER, units_of
from .distributed import World
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


class PictureSource:
    """Windows of one or several sets, each drawn by the views of the preset ``recommended``.

    Parameters
    ----------
    sets
        Windows by name; whose they are is up to the caller. Sets may differ in rate, length and
        sensors, each of which is drawn by views of its own.
    held
        Whether to hold subjects out, on whom the encoder can be compared with its start: of each
        labelled set with six subjects or more a fifth of them, three at least.
    seed
        Of the choice of subjects.

    Attributes
    ----------
    views : list of tuple of View
        Of each set.
    held : dict of str to Windows
        Labelled windows of the subjects held out, by set.
    groups : list of int
        Classes of each pair of set and view: what a picture may show is one of its own set's.

    Raises
    ------
    InputError
        If there are no windows.
    """

    width, height = 96, 72

    def __init__(self, sets: Mapping[str, Windows], held: bool = True, seed: int = 0) -> None:
        parts = {
            name: _hold_out(windows, seed) if held else (windows, None)
            for name, windows in sets.items()
        }
        self.sets = [windows for windows, _ in parts.values()]
        self.held = {name: part for name, (_, part) in parts.items() if part is not None}
        if not sum(map(len, self.sets)):
            raise InputError("there are no windows to learn from")
        self.views: list[tuple[View, ...]] = [
            recommended_views(
                each.sampling_rate, each.X.shape[2], self.width, self.height, each.sensors
            )
            for each in self.sets
        ]
        self.groups = [
            len(each.classes) for each, views in zip(self.sets, self.views, strict=True)
            for _ in views
        ]  # fmt: skip
        self._first_view = np.cumsum([0, *map(len, self.views)])
        self.labels = np.concatenate([_numbered(each) for each in self.sets])
        self._next = [_neighbours(each) for each in self.sets]
        self._first = np.cumsum([0, *map(len, self.sets)])

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
                    **({} if each.sensors == ACCELEROMETER else {"sensors": each.sensors}),
                }
                for each in self.sets
            ],
        }

    def weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """How often each of `rows` is drawn: sets in proportion to the root of their windows."""
        member = np.searchsorted(self._first, rows, side="right") - 1
        counts = np.bincount(member, minlength=len(self.sets))
        weights = 1 / np.sqrt(counts[member])
        return weights / weights.sum()

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
        member = np.searchsorted(self._first, rows, side="right") - 1
        # A number that every set's views divide, so that each is as likely as another.
        views = math.lcm(*map(len, self.views))
        view = torch.randint(views, (len(rows),), generator=generator).numpy()
        view %= np.array([len(each) for each in self.views])[member]
        moved = torch.rand(len(rows), generator=generator).numpy() < neighbours
        images = torch.empty(len(rows), 3, self.height, self.width, dtype=torch.uint8)
        labels = np.full(len(rows), -1, np.int64)
        starts = np.cumsum([0, *self.groups])
        for number, windows in enumerate(self.sets):
            mine = np.flatnonzero(member == number)
            if not len(mine):
                continue
            own = rows[mine] - self._first[number]
            own = np.where(moved[mine], self._next[number][own], own)
            given = torch.from_numpy(np.ascontiguousarray(windows.X[own]))
            changed = change(given, generator, units_of(windows.sensors))
            for each in np.unique(view[mine]):
                some = view[mine] == each
                drawn = (self.views[number][each],)
                pictures = to_images(changed[some].numpy(), drawn, sensors=windows.sensors)[:, 0]
                at = torch.from_numpy(mine[some])
                images[at] = torch.from_numpy(pictures).mul(255).round().to(torch.uint8)
            known = self.labels[rows[mine]]
            offset = starts[self._first_view[number] + view[mine]]
            labels[mine] = np.where(known >= 0, known + offset, -1)
        return images, torch.from_numpy(labels)


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


class PictureLoader:
    """Batches of pictures of windows; the same protocol as ``Loader``, each view drawn anew.

    The images of a batch have the shape (views, n, 3, height, width). A thread of its own draws
    the next batch. What is drawn depends on seed, epoch, step and process alone.

    Attributes
    ----------
    rows : ndarray
        Windows to draw from.
    steps : int
        In an epoch, in which as many pictures are drawn as there are windows.
    waited : float
        Seconds for which :meth:`epoch` has kept its consumer waiting.

    Raises
    ------
    InputError
        If the batch size is more than all windows or no multiple of the processes.
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
        self.rows, self.views, self.neighbours = rows, views, neighbours
        self.steps = whole_batches(len(rows), batch_size, world)
        self.waited = 0.0
        self._source, self._seed, self._world = source, seed, world
        self._share = batch_size // world.size
        self._weights = source.weights(rows)

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
        seed = [self._seed, epoch, step, self._world.rank]
        rng = np.random.default_rng(seed)
        rows = rng.choice(self.rows, self._share, p=self._weights)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        # The first view is of the window itself; its partner may be that of its neighbour.
        drawn = [
            self._source.draw(rows, self.neighbours if number else 0.0, generator)
            for number in range(self.views)
        ]
        images = torch.stack([images for images, _ in drawn])
        return Batch(images, drawn[0][1])


def _hold_out(windows: Windows, seed: int) -> tuple[Windows, Windows | None]:
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
