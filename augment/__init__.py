"""Image augmentations for time along x, on kornia; those of the signals themselves in `signals`.

Knows nothing of recordings or training.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .config import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AllConfig,
    AugmentationError,
    BandGainConfig,
    ContrastConfig,
    CropXConfig,
    CropYConfig,
    HueConfig,
    JitterConfig,
    MaskXConfig,
    MaskYConfig,
    MoCoDefaultConfig,
    PermuteXConfig,
    PolicyConfig,
    SensorAwareConfig,
    SensorCropsConfig,
    TranslateXConfig,
)

if TYPE_CHECKING:
    from .classes import (
        BandGain,
        Contrast,
        CropX,
        CropY,
        Hue,
        Jitter,
        MaskX,
        MaskY,
        PermuteX,
        TranslateX,
    )
    from .fused import FusedSensorAware
    from .policies import POLICIES, KorniaPolicy, create_pipeline, create_policy

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "POLICIES",
    "AllConfig",
    "AugmentationError",
    "BandGain",
    "BandGainConfig",
    "Contrast",
    "ContrastConfig",
    "CropX",
    "CropXConfig",
    "CropY",
    "CropYConfig",
    "FusedSensorAware",
    "Hue",
    "HueConfig",
    "Jitter",
    "JitterConfig",
    "KorniaPolicy",
    "MaskX",
    "MaskXConfig",
    "MaskY",
    "MaskYConfig",
    "MoCoDefaultConfig",
    "PermuteX",
    "PermuteXConfig",
    "PolicyConfig",
    "SensorAwareConfig",
    "SensorCropsConfig",
    "TranslateX",
    "TranslateXConfig",
    "create_pipeline",
    "create_policy",
]

# These modules need torch and kornia, which take seconds to import: only when they are asked for.
_MODULES = {
    **dict.fromkeys(
        (
            "BandGain",
            "Contrast",
            "CropX",
            "CropY",
            "Hue",
            "Jitter",
            "MaskX",
            "MaskY",
            "PermuteX",
            "TranslateX",
        ),
        "classes",
    ),
    "FusedSensorAware": "fused",
    **dict.fromkeys(("POLICIES", "KorniaPolicy", "create_pipeline", "create_policy"), "policies"),
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
