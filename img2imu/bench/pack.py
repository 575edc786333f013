"""How fast images are decoded and resized for the packed store, beside torchvision.

Everybody reads the same files and ends with the same size in uint8, in one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..environment import environment
from ..errors import InputError
from ..images.config import PackConfig
from ..images.decode import Pixels
from ..images.packing import decode_range
from ..images.registry import open_images
from ..images.sources import Collection
from .timing import Contestant, race, summary

OURS, PEER = "img2imu pack", "torchvision ImageFolder + Resize"

TARGET = 2.0
"""Images per second we want over torchvision's ``ImageFolder`` and ``Resize``, per core."""


def run(
    photos: str | Path | None = None, rounds: int = 20, width: int = 128, height: int = 96
) -> dict[str, Any]:
    """Time ours and the usual ways in turn, one thread each, on a folder of photographs.

    Parameters
    ----------
    photos
        Folder ``class/image.jpg``; ``$IMG2IMU_DATA/photos`` by default.
    rounds
        Each contestant goes through all photographs once in each round.
    width, height
        To resize to, in pixels.

    Returns
    -------
    dict
        ``rates`` in images per second, ``speedup`` of ours over each peer within the same round,
        ``difference`` of the pixels from those of torchvision (mean absolute, in grey levels; mean
        and worst image), ``environment``.

    Raises
    ------
    InputError
        If there is no such folder, it holds no images, or a number is not positive.
    """
    import torch

    if rounds < 1:
        raise InputError("rounds must be at least 1")
    config = PackConfig(width, height)
    folder = _folder(photos)
    source = open_images(folder)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        entrants = contestants(folder, source, config)
        rates = race(entrants, rounds)
        facts = environment()
    finally:
        torch.set_num_threads(before)
    return {
        "benchmark": "pack",
        "settings": {"rounds": rounds, "width": width, "height": height, "threads": 1},
        "images": {"count": len(source), "mean_bytes": round(float(source.sizes.mean()))},
        "rates": {name: {**summary(each), "each": each} for name, each in rates.items()},
        "speedup": {name: _speedup(rates, name) for name in rates if name != OURS},
        "difference": difference(folder, source, config),
        "environment": facts,
    }


def contestants(folder: Path, source: Collection, config: PackConfig) -> dict[str, Contestant]:
    """Everybody who reads and resizes, from the same files."""
    images = _image_folder(folder, config)

    def ours() -> None:
        decode_range(source, range(len(source)), config.width, config.height)

    entrants: dict[str, Callable[[], Any]] = {
        OURS: ours,
        PEER: lambda: _arrays(images),
        "Pillow draft + resize": lambda: _drafts(folder, config),
    }
    return {name: (work, len(source)) for name, work in entrants.items()}


def difference(folder: Path, source: Collection, config: PackConfig) -> dict[str, float]:
    """Mean absolute difference of our pixels from torchvision's, on average and at worst."""
    ours, skipped = decode_range(source, range(len(source)), config.width, config.height)
    if skipped:
        raise InputError(f"{skipped[0]['name']} cannot be decoded: {skipped[0]['reason']}")
    each = np.abs(ours - _arrays(_image_folder(folder, config)).astype(np.float32)).mean(
        axis=(1, 2, 3)
    )
    return {"mean": round(float(each.mean()), 3), "worst": round(float(each.max()), 3)}


def table(report: dict[str, Any]) -> str:
    """The report for the eye."""
    lines = [f"{'images/s per core':<38}{'median':>9}{'min':>9}{'max':>9}{'IQR':>9}"]
    for name, rate in report["rates"].items():
        numbers = "".join(f"{rate[key]:>9,.0f}" for key in ("median", "min", "max", "iqr"))
        lines.append(f"{name:<38}{numbers}")
    for peer, faster in report["speedup"].items():
        wanted = f"; wanted {TARGET:.0f}" if peer == PEER else ""
        lines.append(
            f"ours: {faster['median']:.2f} times {peer} (rounds {faster['min']:.2f} to "
            f"{faster['max']:.2f}{wanted})"
        )
    differs = report["difference"]
    lines.append(
        f"pixels differ from torchvision's by {differs['mean']:.1f} grey levels on average, "
        f"{differs['worst']:.1f} in the worst image"
    )
    return "\n".join(lines)


def _folder(photos: str | Path | None) -> Path:
    if photos is None:
        if "IMG2IMU_DATA" not in os.environ:
            raise InputError("give a folder class/image.jpg of photographs, or set IMG2IMU_DATA")
        photos = Path(os.environ["IMG2IMU_DATA"]) / "photos"
    folder = Path(photos)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    return folder


def _image_folder(folder: Path, config: PackConfig) -> Any:
    """What a user of torchvision writes."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Resize

    return ImageFolder(folder, Resize((config.height, config.width)))


def _arrays(images: Any) -> Pixels:
    return np.stack([np.asarray(image) for image, _ in images])


def _drafts(folder: Path, config: PackConfig) -> Pixels:
    """What a user of Pillow writes who knows of reduced-size decoding."""
    from PIL import Image

    size, pixels = (config.width, config.height), []
    for file in sorted(folder.glob("*/*")):
        with Image.open(file) as image:
            image.draft("RGB", size)
            pixels.append(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR)))
    return np.stack(pixels)


def _speedup(rates: dict[str, list[float]], peer: str) -> dict[str, float]:
    pairs = zip(rates[OURS], rates[peer], strict=True)
    return summary([ours / theirs for ours, theirs in pairs])
