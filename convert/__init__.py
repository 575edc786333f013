"""Triaxial IMU windows to images. Knows nothing of recordings, models or training."""

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
