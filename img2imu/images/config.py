"""Settings of packing."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..settings import require

LARGEST = 4096
"""Pixels along a side of a stored or procedural image."""

LARGEST_WORKERS = 1024


@dataclass(frozen=True)
class PackConfig:
    """How a collection of images becomes a packed store.

    Parameters
    ----------
    width, height
        Of every image of the store in pixels; the aspect ratio is not kept, as with torchvision's
        ``Resize((height, width))``.
    workers
        Threads that decode, by default one for each core. The store does not depend on it.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    width: int = 128
    height: int = 96
    workers: int | None = field(default=None, metadata={"none": "cores"})

    def __post_init__(self) -> None:
        require(
            1 <= self.width <= LARGEST and 1 <= self.height <= LARGEST,
            f"images of a store are 1 to {LARGEST} pixels wide and high, "
            f"not {self.width}x{self.height}",
        )
        require(
            self.workers is None or 1 <= self.workers <= LARGEST_WORKERS,
            f"workers must lie in [1, {LARGEST_WORKERS}], not {self.workers}",
        )
