"""Batches of a source, in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..settings import require_seed
from .procedural import ProceduralImages

FREE_SHARE = 0.6
COPIED_AT_ONCE = 256 * 2**20
AHEAD = 2


class StoredImages(Protocol):
    """What a loader needs of a packed store.

    Attributes
    ----------
    images
        (n, height, width, 3) uint8, in memory or mapped from a file.
    labels
        (n,) int32.
    width, height
        Of every image, in pixels.
    """

    @property
    def images(self) -> NDArray[np.uint8]: ...

    @property
    def labels(self) -> NDArray[np.int32]: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def __len__(self) -> int: ...


Source = StoredImages | ProceduralImages


@dataclass(frozen=True)
class Batch:
    """What a training step takes.

    Attributes
    ----------
    images
        (batch, 3, height, width) uint8 on the device, channels last in memory.
    labels
        (batch,) int64 on the device, -1 where unknown.
    """

    images: Tensor
    labels: Tensor


class Loader:
    """Shuffled batches of stored or procedural images, ready on the device.

    On CUDA, a store of at most 60 % of the free memory is copied there once and never read again.
    A larger one, and any store on another device, is read ahead by two threads, each with a
    (pinned) buffer and a stream of its own. Procedural images are drawn on the device.

    Parameters
    ----------
    source
        A packed store or procedural images.
    batch_size
        Images in a step of all processes together, so that their number does not change what a
        step sees; a multiple of `world_size`.
    seed
        Of the order of stored images, and of procedural images.
    device
        Where the batches are wanted.
    rank, world_size
        Which of how many processes this is; it gets its share of each step, in the order of ranks.
    rows
        Stored images to draw from; all of them by default.

    Attributes
    ----------
    steps : int
        In an epoch; an incomplete last batch is dropped.
    waited : float
        Seconds for which :meth:`epoch` has kept its consumer waiting; set it to 0 at will.
        Divided by the time of the steps, this is the share of it in which the device may idle.

    Raises
    ------
    InputError
        If the sizes do not fit together.

    Notes
    -----
    Epoch and step are all there is to resume from: the order of an epoch is
    :func:`epoch_order` of seed and epoch, the random numbers of procedural images
    :func:`step_generator` of seed, epoch, step and rank (so *their* number does change them).
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        seed: int,
        device: torch.device | str,
        rank: int = 0,
        world_size: int = 1,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.rows = np.arange(len(source)) if rows is None else rows
        _require_sizes(len(self.rows), batch_size, seed, world_size)
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.device = torch.device(device)
        self.rank = rank
        self.world_size = world_size
        self.steps = len(self.rows) // batch_size
        self.waited = 0.0
        self._copy: _DeviceCopy | None = None
        if not isinstance(source, ProceduralImages) and _fits(source.images, self.device):
            self._copy = _DeviceCopy(source, self.device)

    @property
    def resident(self) -> bool:
        """Whether no image has to travel to the device."""
        return self._copy is not None or isinstance(self.source, ProceduralImages)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from step `start`.

        Raises
        ------
        InputError
            If the epoch has no such step: the checkpoint is of other data or another batch size.
        """
        if not 0 <= start <= self.steps:
            raise InputError(
                f"cannot start at step {start} of an epoch of {self.steps} steps: resume with the "
                "data and the batch size of the interrupted run"
            )
        return self._timed(self._batches(epoch, start))

    def _timed(self, batches: Generator[Batch, None, None]) -> Iterator[Batch]:
        with closing(batches):
            while True:
                began = time.perf_counter()
                batch = next(batches, None)
                self.waited += time.perf_counter() - began
                if batch is None:
                    return
                yield batch

    def _batches(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        if isinstance(self.source, ProceduralImages):
            for step in range(start, self.steps):
                yield self._draw(self.source, epoch, step)
            return
        order = self.rows[epoch_order(len(self.rows), self.seed, epoch)]
        steps = order[: self.steps * self.batch_size].reshape(self.steps, self.world_size, -1)
        rows = steps[start:, self.rank]
        if self._copy is not None:
            yield from map(self._copy.take, torch.from_numpy(rows).to(self.device))
        else:
            yield from _read_ahead(self.source, rows, self.device)

    def _draw(self, source: ProceduralImages, epoch: int, step: int) -> Batch:
        n = self.batch_size // self.world_size
        generator = step_generator(self.seed, epoch, step, self.rank, self.device)
        labels = torch.full((n,), -1, dtype=torch.int64, device=self.device)
        return Batch(source.draw(n, generator), labels)


def epoch_order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Permutation of `n` images: numpy's default generator, seeded with [seed, epoch]."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def step_generator(
    seed: int, epoch: int, step: int, rank: int, device: torch.device | str
) -> torch.Generator:
    """Random numbers of one step: the seed is the first 64 bits that numpy's ``SeedSequence``
    gives for [seed, epoch, step, rank].
    """
    [bits] = np.random.SeedSequence([seed, epoch, step, rank]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(bits))


class _DeviceCopy:
    """A store in the device's memory."""

    def __init__(self, source: StoredImages, device: torch.device) -> None:
        stored = source.images
        self.images = torch.empty(stored.shape, dtype=torch.uint8, device=device)
        count = max(COPIED_AT_ONCE // stored[0].nbytes, 1)
        for first in range(0, len(stored), count):
            part = np.array(stored[first : first + count])
            self.images[first : first + count].copy_(torch.from_numpy(part))
        self.labels = torch.from_numpy(source.labels.astype(np.int64)).to(device)

    def take(self, rows: Tensor) -> Batch:
        return Batch(self.images[rows].permute(0, 3, 1, 2), self.labels[rows])


class _Reader:
    """Takes rows of a store to the device through a buffer of its own."""

    def __init__(self, source: StoredImages, batch: int, device: torch.device) -> None:
        self.source = source
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        shape = (batch, *source.images.shape[1:])
        self.buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=self.stream is not None)

    def __call__(self, rows: NDArray[np.int64]) -> Batch:
        # With mode="raise" numpy would take a detour through memory of its own.
        np.take(self.source.images, rows, axis=0, out=self.buffer.numpy(), mode="clip")
        labels = torch.from_numpy(self.source.labels[rows].astype(np.int64))
        with torch.cuda.stream(self.stream):
            images = self.buffer.to(self.device, non_blocking=True, copy=True)
            batch = Batch(images.permute(0, 3, 1, 2), labels.to(self.device))
        if self.stream is not None:
            # This thread waits for the copy: the buffer is free again, and the batch complete.
            self.stream.synchronize()
        return batch


def _read_ahead(
    source: StoredImages, rows: NDArray[np.int64], device: torch.device
) -> Iterator[Batch]:
    """Batch upon batch, the next ones being read meanwhile; an error of a reader is raised here."""
    readers = [_Reader(source, rows.shape[1], device) for _ in range(AHEAD)]
    jobs = zip(cycle(readers), rows, strict=False)
    pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="img2imu-loader")
    try:
        reading = deque(pool.submit(reader, wanted) for reader, wanted in islice(jobs, AHEAD))
        while reading:
            batch = reading.popleft().result()
            # Its reader is free again.
            reading.extend(pool.submit(reader, wanted) for reader, wanted in islice(jobs, 1))
            _lend_to_current_stream(batch)
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)


def _lend_to_current_stream(batch: Batch) -> None:
    """Keep a reader's stream from reusing the memory while the consumer's stream works on it."""
    if batch.images.is_cuda:
        current = torch.cuda.current_stream(batch.images.device)
        batch.images.record_stream(current)
        batch.labels.record_stream(current)


def _fits(images: NDArray[np.uint8], device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= FREE_SHARE * free


def _require_sizes(n: int, batch_size: int, seed: int, world_size: int) -> None:
    if batch_size < 1 or batch_size % world_size:
        raise InputError(
            f"the batch size must be a multiple of the number of processes, {world_size}, "
            f"not {batch_size}"
        )
    if batch_size > n:
        raise InputError(
            f"a batch of {batch_size} is more than the {n} images there are: choose a smaller "
            "batch size"
        )
    require_seed(seed)
