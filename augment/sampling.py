"""Random parameters of the augmentations, one entry for each image.

Both the kornia classes and the fused path draw here, always in single precision.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .config import HueConfig, JitterConfig, PermuteXConfig, Range, TranslateXConfig

Parameters = dict[str, Tensor]
Device = torch.device | str | None


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
