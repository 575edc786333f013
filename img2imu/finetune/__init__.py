"""Fine-tuning: the probe's head first, then the encoder's last stages or all of it."""

from typing import TYPE_CHECKING, Any

from .config import FinetuneConfig

if TYPE_CHECKING:
    from .evaluation import evaluate, fit_classifier
    from .training import History, Labelled, finetune

__all__ = ["FinetuneConfig", "History", "Labelled", "evaluate", "finetune", "fit_classifier"]

_MODULES = {
    **dict.fromkeys(("evaluate", "fit_classifier"), "evaluation"),
    **dict.fromkeys(("History", "Labelled", "finetune"), "training"),
}


def __getattr__(name: str) -> Any:
    """Import torch only when something is trained."""
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
