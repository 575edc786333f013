"""Features of a frozen encoder, computed once per drawing and kept on disk by content hash."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import __version__
from ..convert import View, Views, to_images, view_to_dict
from ..models import AnyEncoder
from ..files import cache_folder

Features = NDArray[np.float32]

BATCH = 256
"""Pictures that go through the encoder at a time: large enough for speed, 100 MB at most."""


def fast_precision() -> torch.dtype:
    """bfloat16 where the processor multiplies in it, else float32.

    On frozen features the two differ by about 1 % of a feature's deviation; macro-F1 does not
    notice, and the encoder runs up to three times as fast.
    """
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def extract(
    windows: NDArray[np.float32],
    views: Sequence[View],
    encoder: AnyEncoder,
    *,
    precision: torch.dtype = torch.float32,
    device: str = "cpu",
    on_batch: Callable[[int], Any] = lambda count: None,
    outputs: Sequence[Features] | None = None,
) -> list[Features]:
    """Draw windows and read them with the encoder, batch by batch.

    Parameters
    ----------
    windows
        Shape (n, 3, samples), float32, g.
    views, encoder
        What is drawn and what reads it; without views the windows themselves are read.
    precision
        Of the encoder's arithmetic; pictures are drawn in float32.
    on_batch
        Called with the number of windows done after each batch.
    outputs
        Arrays to write to, such as memory maps, one for each stage; allocated when None.

    Returns
    -------
    list of ndarray of shape (n, features)
        One for each stage the encoder reads.
    """
    draw = _drawing(views, device)
    encoder = encoder.to(device)
    step = max(1, BATCH // max(1, len(views)))
    with (
        torch.inference_mode(),
        torch.autocast(device, precision, enabled=precision != torch.float32),
    ):
        drawn = _ahead(draw, [windows[i : i + step] for i in range(0, len(windows), step)])
        for start, images in zip(range(0, len(windows), step), drawn, strict=True):
            stages = [stage.float().cpu().numpy() for stage in encoder.stage_features(images)]
            if outputs is None:
                outputs = [np.empty((len(windows), stage.shape[1]), np.float32) for stage in stages]
            for output, stage in zip(outputs, stages, strict=True):
                output[start : start + step] = stage
            on_batch(len(stages[0]))
    return list(outputs or [])


def _ahead(
    draw: Callable[[NDArray[np.float32]], torch.Tensor], batches: Sequence[NDArray[np.float32]]
) -> Iterator[torch.Tensor]:
    """The pictures of each batch; while one is read, a thread of its own draws the next."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            before: list[Future[torch.Tensor]] = []
            for batch in batches:
                drawing = pool.submit(draw, batch)
                yield from (images.result() for images in before)
                before = [drawing]
            yield from (images.result() for images in before)
    finally:
        # What a thread sets is also the start value of threads to come.
        torch.set_num_threads(threads)


def _drawing(views: Sequence[View], device: str) -> Callable[[NDArray[np.float32]], torch.Tensor]:
    """Windows to pictures on the device, or to the windows themselves where there are no views."""
    if views and device == "cpu":
        # Several times as fast as the module, whose pictures these are but for rounding. The copy
        # is writable, as torch wants it, also where the windows are a memory map.
        return lambda windows: torch.from_numpy(to_images(np.array(windows), views))
    module = Views(views).to(device) if views else nn.Identity()
    return lambda windows: module(torch.tensor(windows, device=device))


def view_widths(features: int, views: int) -> list[int]:
    """How many of a stage's `features` come from each view; all of them where none is drawn."""
    return [features // views] * views if views else [features]


class FeatureCache:
    """Features on disk, found again by the content of what made them.

    The key is a SHA-256 over the windows, the views, the encoder's weights and the precision: a
    changed input can never meet an old feature. Files are plain ``.npy``, opened as memory maps.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "features"

    def get(
        self,
        windows: NDArray[np.float32],
        views: Sequence[View],
        encoder: AnyEncoder,
        on_batch: Callable[[int], Any] = lambda count: None,
    ) -> list[Features]:
        """The features of each stage, from disk or computed now; see :func:`extract`."""
        precision = fast_precision()
        key = content_hash(
            windows,
            [view_to_dict(view) for view in views],
            [__version__, encoder.bands, str(precision)],
            *encoder.state_dict().values(),
        )
        widths = self._widths(views, windows.shape[-1], encoder)
        paths = [self.folder / f"{key}-{index}.npy" for index in range(len(widths))]
        if not all(path.is_file() for path in paths):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                parts = [Path(scratch) / path.name for path in paths]
                maps = [
                    np.lib.format.open_memmap(part, "w+", np.float32, (len(windows), width))
                    for part, width in zip(parts, widths, strict=True)
                ]
                extract(
                    windows, views, encoder, precision=precision, on_batch=on_batch, outputs=maps
                )
                for part, path, written in zip(parts, paths, maps, strict=True):
                    written.flush()
                    part.replace(path)
        else:
            on_batch(len(windows))
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]

    @staticmethod
    def _widths(views: Sequence[View], samples: int, encoder: AnyEncoder) -> list[int]:
        silence = np.zeros((1, 3, samples), np.float32)
        return [part.shape[1] for part in extract(silence, views, encoder)]


def content_hash(*parts: Any) -> str:
    """SHA-256 over arrays, tensors and JSON values, in order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.contiguous().numpy()
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(json.dumps(part, sort_keys=True).encode())
    return digest.hexdigest()[:32]
