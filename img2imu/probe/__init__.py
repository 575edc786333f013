"""Few-shot probing: folds, draws, probes, and the baselines beside them."""

from typing import TYPE_CHECKING, Any

from .config import PRESETS, SHOTS, ProbeConfig, recommended_views

if TYPE_CHECKING:
    from .evaluation import METHODS, VOTES, evaluate

__all__ = [
    "METHODS",
    "PRESETS",
    "SHOTS",
    "VOTES",
    "ProbeConfig",
    "evaluate",
    "recommended_views",
]


_LAZY = {"METHODS": "evaluation", "VOTES": "evaluation", "evaluate": "evaluation"}


def __getattr__(name: str) -> Any:
    """Import torch and scikit-learn only when something is evaluated."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
