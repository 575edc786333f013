"""Image collections: packed once, read by training ever after; and images made of no data."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import PackConfig
    from .loader import Batch, Loader, Source
    from .packing import PackReport, pack
    from .procedural import ProceduralImages
    from .store import ImageStore

__all__ = [
    "Batch",
    "ImageStore",
    "Loader",
    "PackConfig",
    "PackReport",
    "ProceduralImages",
    "Source",
    "pack",
]

_MODULES = {
    **dict.fromkeys(("Batch", "Loader", "Source"), "loader"),
    **dict.fromkeys(("PackReport", "pack"), "packing"),
    "ImageStore": "store",
    "PackConfig": "config",
    "ProceduralImages": "procedural",
}


def __getattr__(name: str) -> Any:
    """Import torch and the decoders only when they are needed."""
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
