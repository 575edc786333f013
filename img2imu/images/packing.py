"""Packs a collection of images: every one decoded and resized once, for good."""

from __future__ import annotations

import errno
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import InputError
from ..progress import Progress, silent
from .config import PackConfig
from .decode import DecodeError, Pixels, decode
from .partial import JOURNAL, LOCK, PartialStore, Skipped
from .registry import open_images
from .sources import UNKNOWN, Collection
from .store import FORMAT, VERSION, ImageStore

BLOCK = 4096
"""Files of the source in a block: what one hash covers, and what a killed run repeats at most."""

CHUNK_BYTES = 1 << 22
"""Pixels that a thread decodes at a time."""


@dataclass(frozen=True)
class PackReport:
    """What packing did.

    Attributes
    ----------
    store
        The folder.
    count, classes
        Of the whole store.
    unlabelled
        Images of the store that are of no class.
    skipped
        ``index``, ``name`` and ``reason`` of each file that could not be decoded.
    packed
        Files read in this run: fewer than all if it resumed, none if the store was there.
    seconds
        What reading them took.
    size
        Of the pixels on disk, in bytes.
    """

    store: Path
    count: int
    classes: int
    unlabelled: int
    skipped: list[Skipped]
    packed: int
    seconds: float
    size: int

    @property
    def rate(self) -> float:
        """Files per second of this run."""
        return self.packed / self.seconds if self.packed else 0.0


def pack(
    source: str | Path,
    store: str | Path,
    config: PackConfig | None = None,
    progress: Progress = silent,
) -> PackReport:
    """Decode and resize every image of a source into a packed store.

    Works in ``STORE.partial``, which becomes `store` when it is complete. Killed at any moment, the
    same call goes on after the last complete block; the finished store is the same to the byte,
    whatever the interruptions and the number of workers. A store that is there already, from the
    same source and of the same size, is left as it is.

    Parameters
    ----------
    source
        See :func:`open_images`.
    store
        Folder to make.
    config
        Size of the images, and workers.
    progress
        Opens progress bars.

    Returns
    -------
    PackReport
        Files that cannot be decoded are left out of the store, and listed.

    Raises
    ------
    InputError
        If the source is missing, empty, damaged, or without a single sound image; if `store` is
        there and something else; if the disk is too small.
    """
    config, store = config or PackConfig(), Path(store)
    images = open_images(source)
    header = _header(images, config)
    if store.exists():
        return _packed_before(store, header)
    if not store.parent.is_dir():
        raise InputError(f"cannot write {store}: the folder {store.parent} does not exist")
    image_bytes = config.width * config.height * 3
    needed = len(images) * image_bytes
    with _disk_full(store, needed), PartialStore(store, header, image_bytes) as partial:
        partial.resume(progress)
        _require_space(store, needed - partial.size)
        begun, start = partial.blocks * BLOCK, time.perf_counter()
        _fill(partial, images, config, begun, progress)
        seconds = time.perf_counter() - start
        partial.finish(images)
    packed = max(len(images) - begun, 0)
    return _report(store, ImageStore.open(store), packed=packed, seconds=seconds)


def decode_range(
    source: Collection, items: range, width: int, height: int
) -> tuple[Pixels, list[Skipped]]:
    """Decode and resize some images of a source.

    Returns
    -------
    pixels : ndarray
        uint8 (n, height, width, 3), without those skipped.
    skipped : list of dict
        ``index``, ``name`` and ``reason`` of each that could not be decoded.
    """
    pixels = np.empty((len(items), height, width, 3), dtype=np.uint8)
    skipped: list[Skipped] = []
    for index in items:
        try:
            pixels[index - items.start - len(skipped)] = decode(source.read(index), width, height)
        except DecodeError as error:
            skipped.append({"index": index, "name": source.names[index], "reason": str(error)})
    return pixels[: len(items) - len(skipped)], skipped


def _header(images: Collection, config: PackConfig) -> dict[str, Any]:
    """What a store says of itself before its first image is read."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "toolkit": __version__,
        "width": config.width,
        "height": config.height,
        "block": BLOCK,
        "source": {"name": images.name, "files": len(images), "sha256": images.fingerprint()},
    }


def _packed_before(store: Path, header: dict[str, Any]) -> PackReport:
    try:
        before = ImageStore.open(store)
    except InputError as error:
        raise InputError(f"{store} exists and is no store that could be kept ({error})") from None
    if any(before.manifest.get(key) != value for key, value in header.items()):
        raise InputError(
            f"{store} is a store of another source, size or toolkit version: remove it or choose "
            "another name"
        )
    for name in (JOURNAL, LOCK):
        (store / name).unlink(missing_ok=True)
    return _report(store, before, packed=0, seconds=0.0)


def _report(path: Path, store: ImageStore, packed: int, seconds: float) -> PackReport:
    return PackReport(
        store=path,
        count=len(store),
        classes=len(store.classes),
        unlabelled=int((store.labels == UNKNOWN).sum()),
        skipped=store.manifest["skipped"],
        packed=packed,
        seconds=seconds,
        size=store.images.nbytes,
    )


def _fill(
    partial: PartialStore, images: Collection, config: PackConfig, begun: int, progress: Progress
) -> None:
    """Decode from file `begun` on, in as many threads as there are workers."""
    # The decoders and the resize release the interpreter's lock: threads suffice.
    workers = config.workers or _cores()
    fitting = max(1, CHUNK_BYTES // (config.width * config.height * 3))
    size = min(BLOCK, 1 << (fitting.bit_length() - 1))  # a power of two, as the block is
    chunks = (range(i, min(i + size, len(images))) for i in range(begun, len(images), size))

    def work(items: range) -> tuple[range, Pixels, list[Skipped]]:
        return items, *decode_range(images, items, config.width, config.height)

    bar = progress("images", max(len(images) - begun, 0))
    try:
        for items, pixels, skipped in _in_order(work, chunks, workers):
            partial.append(pixels, skipped)
            if items.stop % BLOCK == 0 or items.stop == len(images):
                partial.complete_block()
            bar.update(len(items))
    finally:
        bar.close()


def _in_order(work: Callable[[range], Any], tasks: Iterable[range], workers: int) -> Iterator[Any]:
    """Results in the order of the tasks; never more than a few of them wait."""
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers) as executor:
        try:
            for task in tasks:
                pending.append(executor.submit(work, task))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            executor.shutdown(cancel_futures=True)


def _cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())


def _require_space(store: Path, needed: int) -> None:
    free = shutil.disk_usage(store.parent).free
    if needed > free:
        raise InputError(
            f"packing into {store} needs {needed / 1e9:.2f} GB more, and the disk has "
            f"{free / 1e9:.2f} GB free: choose another disk or a smaller size"
        )


@contextmanager
def _disk_full(store: Path, needed: int) -> Iterator[None]:
    """Tells that the disk is full, however much was free at the start."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"the disk is full: {store} needs {needed / 1e9:.2f} GB in all; make room and repeat "
            "the same command, which goes on where it stopped"
        ) from None
