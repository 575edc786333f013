"""Random parameters of the augmentations, one entry for each image.

Both the kornia classes and the fused path draw here, always in single precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .config import (
    BandGainConfig,
    ContrastConfig,
    CropXConfig,
    CropYConfig,
    HueConfig,
    JitterConfig,
    MaskXConfig,
    MaskYConfig,
    PermuteXConfig,
    Range,
    SensorAwareConfig,
    SensorCropsConfig,
    TranslateXConfig,
)

Parameters = dict[str, Tensor]
Device = torch.device | str | None


def draw_crop_x(
    config: CropXConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``crop_width`` (n,), the part kept, and ``crop_left`` (n,), where in [0, 1]."""
    return {
        "crop_width": _uniform(config.fraction, (n,), device, generator),
        "crop_left": _uniform((0, 1), (n,), device, generator),
    }


def draw_crop_y(
    config: CropYConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``crop_height`` (n,), the part kept, and ``crop_top`` (n,), where in [0, 1]."""
    return {
        "crop_height": _uniform(config.fraction, (n,), device, generator),
        "crop_top": _uniform((0, 1), (n,), device, generator),
    }


def draw_translate_x(
    config: TranslateXConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``fraction`` (n,)."""
    return {"fraction": _uniform(config.fraction, (n,), device, generator)}


def draw_permute_x(
    config: PermuteXConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``chunks`` (n,) int64 and ``scores`` (n, most chunks), whose order the chunks take."""
    low, high = config.chunks
    return {
        "chunks": torch.randint(low, high + 1, (n,), device=device, **_given(generator)),
        "scores": _uniform((0, 1), (n, high), device, generator),
    }


def draw_mask_x(
    config: MaskXConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``mask_width`` (n,), the part hidden, and ``mask_left`` (n,), where in [0, 1]."""
    return {
        "mask_width": _uniform(config.fraction, (n,), device, generator),
        "mask_left": _uniform((0, 1), (n,), device, generator),
    }


def draw_mask_y(
    config: MaskYConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``mask_height`` (n,), the part hidden, and ``mask_top`` (n,), where in [0, 1]."""
    return {
        "mask_height": _uniform(config.fraction, (n,), device, generator),
        "mask_top": _uniform((0, 1), (n,), device, generator),
    }


def draw_band_gain(
    config: BandGainConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``gains`` (n, 3, points)."""
    return {"gains": _uniform(config.gain, (n, 3, config.points), device, generator)}


def draw_contrast(
    config: ContrastConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``contrast`` (n,) and ``brightness`` (n,)."""
    return {
        "contrast": _uniform(config.contrast, (n,), device, generator),
        "brightness": _uniform(config.brightness, (n,), device, generator),
    }


def draw_hue(
    config: HueConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``turns`` (n,)."""
    return {"turns": _uniform(config.turns, (n,), device, generator)}


def draw_jitter(
    config: JitterConfig, n: int, device: Device, generator: torch.Generator | None = None
) -> Parameters:
    """``amplitude`` (n,) and ``seed`` (n,) int32."""
    seed = torch.randint(
        -(2**31), 2**31, (n,), dtype=torch.int32, device=device, **_given(generator)
    )
    return {"amplitude": _uniform(config.amplitude, (n,), device, generator), "seed": seed}


NEUTRAL = {
    "crop_width": 1,
    "crop_height": 1,
    "fraction": 0,
    "chunks": 1,
    "mask_width": 0,
    "mask_height": 0,
    "gains": 0,
    "contrast": 1,
    "brightness": 0,
    "turns": 0,
    "amplitude": 0,
}
"""Of each parameter that matters alone, the value that changes nothing."""


def draw_policy(
    config: SensorAwareConfig | SensorCropsConfig,
    n: int,
    device: Device,
    generator: torch.Generator | None = None,
) -> Parameters:
    """All parameters of a policy; :data:`NEUTRAL` for images that a step passes over."""
    each = [
        (step.p, draw(step, n, device, generator))
        for name, draw in _DRAWS.items()
        if (step := getattr(config, name, None)) is not None
    ]
    drawn: Parameters = {}
    for p, own in each:
        gate = draw_gate(p, n, device, generator)
        for name, value in own.items():
            applied = gate.view(-1, *[1] * (value.ndim - 1))
            gated = name in NEUTRAL
            drawn[name] = torch.where(applied, value, NEUTRAL[name]) if gated else value
    return drawn


_DRAWS: dict[str, Callable[..., Parameters]] = {
    "crop_x": draw_crop_x,
    "crop_y": draw_crop_y,
    "translate_x": draw_translate_x,
    "permute_x": draw_permute_x,
    "mask_x": draw_mask_x,
    "mask_y": draw_mask_y,
    "band_gain": draw_band_gain,
    "contrast": draw_contrast,
    "hue": draw_hue,
    "jitter": draw_jitter,
}


def draw_gate(p: float, n: int, device: Device, generator: torch.Generator | None = None) -> Tensor:
    """Whether each image is augmented, (n,) bool."""
    return torch.rand(n, device=device, **_given(generator)) < p


def _uniform(
    limits: Range, shape: tuple[int, ...], device: Device, generator: torch.Generator | None
) -> Tensor:
    low, high = limits
    unit = torch.rand(shape, dtype=torch.float32, device=device, **_given(generator))
    return low + (high - low) * unit


def _given(generator: torch.Generator | None) -> dict[str, Any]:
    # torch.compile does not take generator=None together with a batch size that varies.
    return {} if generator is None else {"generator": generator}
