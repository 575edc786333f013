"""Pre-training of image encoders: MoCo and the methods it is compared with, on one loop."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .config import (
    METHODS,
    PRESETS,
    MoCoConfig,
    PretrainConfig,
    RandomConfig,
    SimSiamConfig,
    SupervisedConfig,
)

if TYPE_CHECKING:
    from .distributed import World, join_world
    from .loop import pretrain

__all__ = [
    "METHODS",
    "PRESETS",
    "MoCoConfig",
    "PretrainConfig",
    "RandomConfig",
    "SimSiamConfig",
    "SupervisedConfig",
    "World",
    "join_world",
    "pretrain",
]

_MODULES = {"World": "distributed", "join_world": "distributed", "pretrain": "loop"}


def __getattr__(name: str) -> Any:
    """Import torch only when it is needed."""
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
