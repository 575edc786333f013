"""Encoders of pictures and of windows, and their weights. Knows nothing of recordings."""

from typing import TYPE_CHECKING, Any

from .config import DEFAULT_ENCODER, SENSOR_ENCODERS, EncoderConfig

if TYPE_CHECKING:
    from .conv1d import SensorEncoder, create_sensor_encoder
    from .encoder import (
        AnyBackbone,
        AnyEncoder,
        Backbone,
        Encoder,
        build_encoder,
        create_backbone,
        create_encoder,
    )

__all__ = [
    "DEFAULT_ENCODER",
    "SENSOR_ENCODERS",
    "AnyBackbone",
    "AnyEncoder",
    "Backbone",
    "Encoder",
    "EncoderConfig",
    "SensorEncoder",
    "build_encoder",
    "create_backbone",
    "create_encoder",
    "create_sensor_encoder",
]


def __getattr__(name: str) -> Any:
    """Import torch only when an encoder is asked for."""
    if name in ("SensorEncoder", "create_sensor_encoder"):
        from . import conv1d

        return getattr(conv1d, name)
    if name in __all__:
        from . import encoder

        return getattr(encoder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
