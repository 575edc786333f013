"""Features of a frozen encoder, computed once per drawing and kept on disk by content hash."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..cache import tidy, used
from ..convert import View, Views, incomplete_images, to_images, view_to_dict
from ..files import cache_folder, sha256_of, write_json
from ..hashing import code_hash, content_hash
from ..models import AnyEncoder, TokenEncoder
from ..recordings.sensors import ACCELEROMETER

Features = NDArray[np.float32]

BATCH = 256
"""Pictures that go through the encoder at a time: large enough for speed, 100 MB at most."""

CODE = ("img2imu.convert", "img2imu.models", "img2imu.fewshot.features")
"""What computes features."""


def fast_precision(device: str = "cpu") -> torch.dtype:
    """bfloat16 where the device multiplies in it, else float32.

    On frozen features the two differ by about 1 % of a feature's deviation; macro-F1 does not
    notice, and the encoder runs up to three times as fast.
    """
    if device != "cpu":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # Builds without oneDNN, such as those for Apple's processors, have nobody to ask.
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    return torch.bfloat16 if supported() else torch.float32


def iter_features(
    windows: NDArray[np.float32],
    views: Sequence[View],
    encoder: AnyEncoder,
    *,
    sensors: Sequence[str] = ACCELEROMETER,
    precision: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Iterator[list[Features]]:
    """Draw windows and read them with the encoder, batch by batch.

    Parameters
    ----------
    windows
        Shape (n, 3 * sensors, samples), float32, g (rad/s, uT).
    views, encoder
        What is drawn and what reads it; without views the windows themselves are read.
    sensors
        Those of the windows.
    precision
        Of the encoder's arithmetic; pictures are drawn in float32.
    device
        Where the encoder runs.

    Yields
    ------
    list of ndarray of shape (windows of the batch, features)
        One for each stage the encoder reads.
    """
    draw = _drawing(views, sensors, device)
    if isinstance(encoder, TokenEncoder):
        draw = _drawing_incomplete(views, sensors, device)
    encoder = encoder.to(device)
    step = max(1, BATCH // max(1, len(views)))
    drawn = _ahead(draw, [windows[i : i + step] for i in range(0, len(windows), step)])
    for images in drawn:
        with (
            torch.inference_mode(),
            torch.autocast(device, precision, enabled=precision != torch.float32),
        ):
            stages = [stage.float().cpu().numpy() for stage in encoder.stage_features(images)]
        yield stages


def extract(
    windows: NDArray[np.float32],
    views: Sequence[View],
    encoder: AnyEncoder,
    *,
    sensors: Sequence[str] = ACCELEROMETER,
    device: str = "cpu",
) -> list[Features]:
    """:func:`iter_features` of all windows, in float32: an array (n, features) for each stage."""
    batches = iter_features(windows, views, encoder, sensors=sensors, device=device)
    return [np.concatenate(stage) for stage in zip(*batches, strict=True)]


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


def _drawing(
    views: Sequence[View], sensors: Sequence[str], device: str
) -> Callable[[NDArray[np.float32]], torch.Tensor]:
    """Windows to pictures on the device, or to the windows themselves where there are no views."""
    if views and device == "cpu":
        # Several times as fast as the module, whose pictures these are but for rounding. The copy
        # is writable, as torch wants it, also where the windows are a memory map.
        return lambda windows: torch.from_numpy(
            to_images(np.array(windows), views, sensors=sensors)
        )
    module = Views(views, sensors).to(device) if views else nn.Identity()

    @torch.inference_mode()
    def draw(windows: NDArray[np.float32]) -> torch.Tensor:
        drawn: torch.Tensor = module(torch.tensor(windows, device=device))
        return drawn

    return draw


def _drawing_incomplete(
    views: Sequence[View], sensors: Sequence[str], device: str
) -> Callable[[NDArray[np.float32]], torch.Tensor]:
    """Windows of which samples may be missing, to pictures on the device that lack them too."""

    def draw(windows: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(incomplete_images(np.array(windows), views, sensors)).to(device)

    return draw


def laid_out(
    stages: Sequence[Features], views: int, ordered: int
) -> tuple[Features, list[int], tuple[bool, ...]]:
    """The features of all stages side by side, as :meth:`~.models.Encoder.forward` gives them.

    Parameters
    ----------
    stages
        Each of shape (n, d).
    views
        How many are drawn; 0 where windows are read themselves.
    ordered
        How many of them also tell what came first; each counts twice, behind all views of a stage.

    Returns
    -------
    features : ndarray of shape (n, sum of d)
    widths : list of int
        How many belong to each view at each stage.
    trends : tuple of bool
        Which of the widths are of trends over time.
    """
    blocks = (views or 1) + ordered
    widths = [stage.shape[1] // blocks for stage in stages for _ in range(blocks)]
    trends = ((False,) * (blocks - ordered) + (True,) * ordered) * len(stages)
    return stages[0] if len(stages) == 1 else np.concatenate(stages, axis=1), widths, trends


class FeatureCache:
    """Features on disk, found again by the content of what made them.

    The key is a SHA-256 over the windows, the views, the encoder with its weights and stages, the
    precision and the code that computes: a changed input can never meet an old feature. An entry is
    a folder of plain ``.npy`` files, opened as memory maps, and their checksums: what was damaged
    since is computed again.

    Parameters
    ----------
    folder
        In the user's cache when None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "features"

    def get(
        self,
        windows: NDArray[np.float32],
        views: Sequence[View],
        encoder: AnyEncoder,
        *,
        sensors: Sequence[str] = ACCELEROMETER,
        device: str = "cpu",
        on_batch: Callable[[int], Any] = lambda count: None,
    ) -> list[Features]:
        """The features of each stage, from disk or computed now; see :func:`iter_features`.

        Parameters
        ----------
        on_batch
            Called with the number of windows done after each batch.
        """
        precision = fast_precision(device)
        weights = encoder.state_dict()
        key = content_hash(
            windows,
            [view_to_dict(view) for view in views],
            list(sensors),
            # The module as text tells its layers, strides and stages.
            [code_hash(*CODE), str(encoder), encoder.stages, encoder.bands, str(precision)],
            list(weights),
            *weights.values(),
        )
        entry = self.folder / key
        found = _read(entry)
        if found is not None:
            on_batch(len(windows))
            used(entry)
            return found
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.folder) as scratch:
            part = Path(scratch) / key
            part.mkdir()
            batches = iter_features(
                windows, views, encoder, sensors=sensors, precision=precision, device=device
            )
            _write(part, len(windows), batches, on_batch)
            shutil.rmtree(entry, ignore_errors=True)
            part.rename(entry)
        tidy()
        return _read(entry) or self.get(windows, views, encoder, sensors=sensors, device=device)


def _write(
    folder: Path, count: int, batches: Iterator[list[Features]], on_batch: Callable[[int], Any]
) -> None:
    """Write a file for each stage, batch by batch.

    Through a memory map a full disk would end the process without a word.
    """
    with ExitStack() as stack:
        streams: list[IO[bytes]] = []
        for batch in batches:
            for number, stage in enumerate(batch):
                if number == len(streams):
                    stream = stack.enter_context((folder / f"{number}.npy").open("wb"))
                    shape = (count, stage.shape[1])
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(stream, header)
                    streams.append(stream)
                streams[number].write(np.ascontiguousarray(stage, "<f4").data)
            on_batch(len(batch[0]))
    write_json(folder / "sha256.json", [sha256_of(path) for path in _arrays(folder)])


def _read(folder: Path) -> list[Features] | None:
    """The arrays of an entry; None where it is missing or damaged."""
    try:
        expected = json.loads((folder / "sha256.json").read_text(encoding="utf-8"))
        if [sha256_of(path) for path in _arrays(folder)] != expected:
            return None
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in _arrays(folder)]
    except (OSError, ValueError):
        return None


def _arrays(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"), key=lambda path: int(path.stem))
