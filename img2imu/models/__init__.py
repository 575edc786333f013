"""Image encoders and their weights. Knows nothing of signals."""

from typing import TYPE_CHECKING, Any

from .config import DEFAULT_ENCODER, EncoderConfig

if TYPE_CHECKING:
    from .encoder import Backbone, Encoder, build_encoder, create_backbone, create_encoder

__all__ = [
    "DEFAULT_ENCODER",
    "Backbone",
    "Encoder",
    "EncoderConfig",
    "build_encoder",
    "create_backbone",
    "create_encoder",
]


def __getattr__(name: str) -> Any:
    """Import torch only when an encoder is asked for."""
    if name in __all__:
        from . import encoder

        return getattr(encoder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
