"""Pre-training of encoders: MoCo and the methods it is compared with, on one loop."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .config import (
    METHOD_CONFIGS,
    RECIPES,
    CPCConfig,
    MoCoConfig,
    MultitaskConfig,
    PretrainConfig,
    RandomConfig,
    SimCLRConfig,
    SimSiamConfig,
    SupervisedConfig,
)

if TYPE_CHECKING:
    from .distributed import World, join_world
    from .loop import pretrain
    from .windows import WindowsSource

__all__ = [
    "METHOD_CONFIGS",
    "RECIPES",
    "CPCConfig",
    "MoCoConfig",
    "MultitaskConfig",
    "PretrainConfig",
    "RandomConfig",
    "SimCLRConfig",
    "SimSiamConfig",
    "SupervisedConfig",
    "WindowsSource",
    "World",
    "join_world",
    "pretrain",
]

_MODULES = {
    "WindowsSource": "windows",
    "World": "distributed",
    "join_world": "distributed",
    "pretrain": "loop",
}


def __getattr__(name: str) -> Any:
    """Import torch only when it is needed."""
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
