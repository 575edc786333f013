"""Triaxial IMU windows to images. Knows nothing of recordings, models or training."""

from typing import TYPE_CHECKING, Any

from .config import (
    DegenerateWarning,
    SignalError,
    SpectrogramConfig,
    View,
    WaveformConfig,
    paper_grid,
    pixel_axes,
    view_from_dict,
    view_to_dict,
)
from .images import to_images

if TYPE_CHECKING:
    from .engine import Spectrogram, Views, Waveform

__all__ = [
    "DegenerateWarning",
    "SignalError",
    "Spectrogram",
    "SpectrogramConfig",
    "View",
    "Views",
    "Waveform",
    "WaveformConfig",
    "paper_grid",
    "pixel_axes",
    "to_images",
    "view_from_dict",
    "view_to_dict",
]


def __getattr__(name: str) -> Any:
    """Import torch only when a module that draws is asked for."""
    if name in ("Spectrogram", "Views", "Waveform"):
        from . import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
