"""The four sensor-aware augmentations as kornia classes.

Parameters are drawn for each image, kept in ``_params``, and replayed when handed back. The
classes take and give floating point images in [0, 1], so they combine in any order; the policies
apply TranslateX, PermuteX, Hue, Jitter. Bytes are the business of the fused path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from kornia.augmentation import (
    AugmentationBase2D,
    GeometricAugmentationBase2D,
    IntensityAugmentationBase2D,
)
from torch import Tensor

from .config import Fill, HueConfig, JitterConfig, PermuteXConfig, Range, TranslateXConfig
from .functional import (
    add_noise,
    permuted_columns,
    rotate_hue,
    shifted_columns,
    take_columns,
    whole_shift,
)
from .sampling import Parameters, draw_hue, draw_jitter, draw_permute_x, draw_translate_x

Flags = dict[str, Any]


class _Configured:
    """Draws the parameters of a kornia augmentation from its settings."""

    device: torch.device
    same_on_batch: bool
    flags: Flags
    _draw: Callable[..., Parameters]

    def _configure(self, config: Any) -> None:
        self.config = config
        self.flags = {name: value for name, value in asdict(config).items() if name != "p"}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Parameters:
        """Parameters for a batch; one draw shared by all images under ``same_on_batch``."""
        n = batch_shape[0]
        drawn = self._draw(self.config, 1 if self.same_on_batch else n, self.device)
        return {name: value.expand(n, *value.shape[1:]) for name, value in drawn.items()}


class TranslateX(_Configured, GeometricAugmentationBase2D):
    """Shift images along time by whole columns.

    Parameters
    ----------
    fraction
        Range of the shift as a part of the width, within [-1, 1]; positive moves to the right.
    fill
        What comes in: ``"zeros"``, the column at the ``"edge"``, or what left (``"wrap"``).
    p
        Probability for each image.
    same_on_batch
        Draw once for the whole batch.
    keepdim
        Give an image without batch dimension back without one.

    Raises
    ------
    AugmentationError
        If a setting is out of its range.

    Notes
    -----
    Masks move like the image, and boxes and key points by the matrix of the shift, which knows
    nothing of ``"wrap"``.
    """

    _draw = staticmethod(draw_translate_x)

    def __init__(
        self,
        fraction: Range = TranslateXConfig.fraction,
        fill: Fill = TranslateXConfig.fill,
        p: float = TranslateXConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(TranslateXConfig(fraction, fill, p))

    def compute_transformation(self, input: Tensor, params: Parameters, flags: Flags) -> Tensor:
        """(n, 3, 3) matrices from input to output pixel coordinates."""
        shift = whole_shift(params["fraction"].to(input.device), input.shape[-1])
        matrix = torch.eye(3, dtype=input.dtype, device=input.device).repeat(len(shift), 1, 1)
        matrix[:, 0, 2] = shift.to(input.dtype)
        return matrix

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Shift all images."""
        shift = whole_shift(params["fraction"].to(input.device), input.shape[-1])
        return take_columns(input, shifted_columns(shift, input.shape[-1], flags["fill"]))

    def inverse_transform(
        self,
        input: Tensor,
        flags: Flags,
        transform: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Shift all images back; only ``"wrap"`` has kept what left."""
        if transform is None:
            raise TypeError("the inverse of TranslateX needs its matrix")
        return take_columns(
            input, shifted_columns(transform[:, 0, 2].long(), input.shape[-1], flags["fill"])
        )


class PermuteX(_Configured, AugmentationBase2D):
    """Cut images along time into chunks of equal width, up to a column, and shuffle them.

    Parameters
    ----------
    chunks
        Smallest and largest number of chunks, both included; one chunk changes nothing.
    p
        Probability for each image.
    same_on_batch
        Draw once for the whole batch.
    keepdim
        Give an image without batch dimension back without one.

    Raises
    ------
    AugmentationError
        If a setting is out of its range.

    Notes
    -----
    No affine map, hence no geometric class of kornia's: masks are shuffled along, boxes and key
    points are left where they are.
    """

    _draw = staticmethod(draw_permute_x)

    def __init__(
        self,
        chunks: tuple[int, int] = PermuteXConfig.chunks,
        p: float = PermuteXConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(PermuteXConfig(chunks, p))

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Shuffle all images."""
        chunks, scores = params["chunks"].to(input.device), params["scores"].to(input.device)
        return take_columns(input, permuted_columns(chunks, scores, input.shape[-1]))

    # Masks take the way of images.
    apply_transform_mask = apply_transform

    def apply_non_transform_mask(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Leave masks of images that are not shuffled alone."""
        return input


class Hue(_Configured, IntensityAugmentationBase2D):
    """Turn the hue of images; each pixel keeps its largest and its smallest channel.

    Parameters
    ----------
    turns
        Range of the rotation in turns of the hue circle, within [-1, 1]. A third of a turn is the
        cyclic exchange of the axes.
    p
        Probability for each image.
    same_on_batch
        Draw once for the whole batch.
    keepdim
        Give an image without batch dimension back without one.

    Raises
    ------
    AugmentationError
        If a setting is out of its range, or images do not have three channels.
    """

    _draw = staticmethod(draw_hue)

    def __init__(
        self,
        turns: Range = HueConfig.turns,
        p: float = HueConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(HueConfig(turns, p))

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Turn all images."""
        return rotate_hue(input, params["turns"].to(input.device))


class Jitter(_Configured, IntensityAugmentationBase2D):
    """Add uniform noise of mean zero to each pixel and channel, and clamp to [0, 1].

    Parameters
    ----------
    amplitude
        Range of the noise' largest magnitude, one draw for each image, within [0, 1].
    p
        Probability for each image.
    same_on_batch
        Draw once for the whole batch, noise included.
    keepdim
        Give an image without batch dimension back without one.

    Raises
    ------
    AugmentationError
        If a setting is out of its range, or images do not have three channels.

    Notes
    -----
    Of the four it alone leaves [0, 1], so it alone clamps. Its parameters are an amplitude and a
    seed, from which :func:`.functional.uniform_noise` makes the noise on any device.
    """

    _draw = staticmethod(draw_jitter)

    def __init__(
        self,
        amplitude: Range = JitterConfig.amplitude,
        p: float = JitterConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(JitterConfig(amplitude, p))

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Add noise to all images."""
        amplitude, seed = params["amplitude"].to(input.device), params["seed"].to(input.device)
        return add_noise(input, amplitude, seed).clamp(0, 1)
