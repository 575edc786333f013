"""Carries what vision models know over to inertial sensing."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .classifier import Img2ImuClassifier
    from .models import create_encoder
    from .streaming import StreamingClassifier

__all__ = ["Img2ImuClassifier", "StreamingClassifier", "create_encoder"]


def __getattr__(name: str) -> Any:
    """Import torch and scikit-learn only when something that needs them is asked for."""
    if name == "Img2ImuClassifier":
        from .classifier import Img2ImuClassifier

        return Img2ImuClassifier
    if name == "StreamingClassifier":
        from .streaming import StreamingClassifier

        return StreamingClassifier
    if name == "create_encoder":
        from .models import create_encoder

        return create_encoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
