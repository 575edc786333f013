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
    pixel_extent,
    view_from_dict,
    view_to_dict,
)
from .gallery import save_gallery, save_images, save_npz
from .images import dead_axes, to_images
from .presets import VIEW_PRESETS, fast_views, recommended_views

if TYPE_CHECKING:
    from .engine import Spectrogram, Views, Waveform

__all__ = [
    "VIEW_PRESETS",
    "DegenerateWarning",
    "SignalError",
    "Spectrogram",
    "SpectrogramConfig",
    "View",
    "Views",
    "Waveform",
    "WaveformConfig",
    "dead_axes",
    "fast_views",
    "paper_grid",
    "pixel_axes",
    "pixel_extent",
    "recommended_views",
    "save_gallery",
    "save_images",
    "save_npz",
    "to_images",
    "view_from_dict",
    "view_to_dict",
]


def __getattr__(name: str) -> Any:
    # The modules need torch, which takes seconds to import: only when they are asked for.
    if name in ("Spectrogram", "Views", "Waveform"):
        from . import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
