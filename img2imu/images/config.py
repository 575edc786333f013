"""Settings of packing."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError

LARGEST = 4096


@dataclass(frozen=True)
class PackConfig:
    """How a collection of images becomes a packed store.

    Parameters
    ----------
    width, height
        Of every image of the store in pixels; the aspect ratio is not kept, as with torchvision's
        ``Resize((height, width))``.
    workers
        Threads that decode; None takes one for each core. The store does not depend on it.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    width: int = 128
    height: int = 96
    workers: int | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.width <= LARGEST and 1 <= self.height <= LARGEST):
            raise InputError(
                f"images of a store are 1 to {LARGEST} pixels wide and high, "
                f"not {self.width}x{self.height}"
            )
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers must be at least 1, not {self.workers}")
