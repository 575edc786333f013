"""The sensor-aware augmentations as kornia classes: the paper's four and six more.

Parameters are drawn for each image, kept in ``_params``, and replayed when handed back. The
classes take and give floating point images in [0, 1], so they combine in any order; the policies
apply CropX, CropY, TranslateX, PermuteX, MaskX, MaskY, BandGain, Contrast, Hue, Jitter. Bytes are
the business of the fused path.
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

from .config import (
    BandGainConfig,
    ContrastConfig,
    CropXConfig,
    CropYConfig,
    Fill,
    HueConfig,
    JitterConfig,
    MaskXConfig,
    MaskYConfig,
    PermuteXConfig,
    Range,
    TranslateXConfig,
)
from .functional import (
    SUBPIXELS,
    Taps,
    add_band_gain,
    add_noise,
    change_contrast,
    crop_grid,
    crop_taps,
    hidden_range,
    interpolate_columns,
    interpolate_rows,
    is_hidden,
    permuted_columns,
    rotate_hue,
    shifted_columns,
    take_columns,
    whole_shift,
)
from .sampling import (
    Parameters,
    draw_band_gain,
    draw_contrast,
    draw_crop_x,
    draw_crop_y,
    draw_hue,
    draw_jitter,
    draw_mask_x,
    draw_mask_y,
    draw_permute_x,
    draw_translate_x,
)

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


class CropX(_Configured, GeometricAugmentationBase2D):
    """Keep a stretch of time of images and stretch it to the full width.

    Parameters
    ----------
    fraction
        Range of the part of the width that is kept, within [0.001, 1]; 1 changes nothing.
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
    The first and the last column kept become those of the image, columns between are interpolated
    linearly. Masks are stretched by the nearest column; boxes and key points follow the matrix.
    What is cut off is lost: there is no inverse.
    """

    _draw = staticmethod(draw_crop_x)

    def __init__(
        self,
        fraction: Range = CropXConfig.fraction,
        p: float = CropXConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(CropXConfig(fraction, p))

    def compute_transformation(self, input: Tensor, params: Parameters, flags: Flags) -> Tensor:
        """(n, 3, 3) matrices from input to output pixel coordinates."""
        grid = _crop_grid(input, params["crop_width"], params["crop_left"], -1)
        return _stretch(input, *grid, axis=0)

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Crop and stretch all images."""
        return interpolate_columns(input, self._taps(input, params))

    def apply_transform_mask(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Crop and stretch all masks."""
        return interpolate_columns(input, _nearest(self._taps(input, params)))

    @staticmethod
    def _taps(input: Tensor, params: Parameters) -> Taps:
        start, step = _crop_grid(input, params["crop_width"], params["crop_left"], -1)
        columns = torch.arange(input.shape[-1], device=input.device)
        return crop_taps(start, step, columns)


class CropY(_Configured, GeometricAugmentationBase2D):
    """Keep a band of frequencies of images and stretch it to the full height.

    Parameters
    ----------
    fraction
        Range of the part of the height that is kept, within [0.001, 1]; 1 changes nothing.
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
    The first and the last row kept become those of the image, rows between are interpolated
    linearly. Masks are stretched by the nearest row; boxes and key points follow the matrix.
    What is cut off is lost: there is no inverse.
    """

    _draw = staticmethod(draw_crop_y)

    def __init__(
        self,
        fraction: Range = CropYConfig.fraction,
        p: float = CropYConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(CropYConfig(fraction, p))

    def compute_transformation(self, input: Tensor, params: Parameters, flags: Flags) -> Tensor:
        """(n, 3, 3) matrices from input to output pixel coordinates."""
        grid = _crop_grid(input, params["crop_height"], params["crop_top"], -2)
        return _stretch(input, *grid, axis=1)

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Crop and stretch all images."""
        return interpolate_rows(input, self._taps(input, params))

    def apply_transform_mask(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Crop and stretch all masks."""
        return interpolate_rows(input, _nearest(self._taps(input, params)))

    @staticmethod
    def _taps(input: Tensor, params: Parameters) -> Taps:
        start, step = _crop_grid(input, params["crop_height"], params["crop_top"], -2)
        rows = torch.arange(input.shape[-2], device=input.device)
        return crop_taps(start, step, rows)


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


class MaskX(_Configured, IntensityAugmentationBase2D):
    """Black out a stretch of time of images (Park et al., SpecAugment, 2019).

    Parameters
    ----------
    fraction
        Range of the part of the width that is hidden, within [0, 1], rounded to whole columns.
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
    Black is what TranslateX fills with as well. Masks, boxes and key points are left alone.
    """

    _draw = staticmethod(draw_mask_x)

    def __init__(
        self,
        fraction: Range = MaskXConfig.fraction,
        p: float = MaskXConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(MaskXConfig(fraction, p))

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Black out a part of all images."""
        part, place = params["mask_width"].to(input.device), params["mask_left"].to(input.device)
        hidden = is_hidden(*hidden_range(part, place, input.shape[-1]), input.shape[-1])
        return input.masked_fill(hidden[:, None, None, :], 0)


class MaskY(_Configured, IntensityAugmentationBase2D):
    """Black out a band of frequencies of images (Park et al., SpecAugment, 2019).

    Parameters
    ----------
    fraction
        Range of the part of the height that is hidden, within [0, 1], rounded to whole rows.
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
    Black is what TranslateX fills with as well. Masks, boxes and key points are left alone.
    """

    _draw = staticmethod(draw_mask_y)

    def __init__(
        self,
        fraction: Range = MaskYConfig.fraction,
        p: float = MaskYConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(MaskYConfig(fraction, p))

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Black out a part of all images."""
        part, place = params["mask_height"].to(input.device), params["mask_top"].to(input.device)
        hidden = is_hidden(*hidden_range(part, place, input.shape[-2]), input.shape[-2])
        return input.masked_fill(hidden[:, None, :, None], 0)


class BandGain(_Configured, IntensityAugmentationBase2D):
    """Amplify each channel by a gain that varies smoothly along frequency; clamp to [0, 1].

    Parameters
    ----------
    gain
        Range of the gain at the control points, within [-1, 1]; 1 is the whole range of the image.
    points
        Control points, spread evenly from the top to the bottom, within [1, 64].
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

    Notes
    -----
    Sensors and their mounts weaken some frequencies more than others. They multiply the power, so
    in decibels, which spectrograms show, the gain is added. It is linear between control points.
    """

    _draw = staticmethod(draw_band_gain)

    def __init__(
        self,
        gain: Range = BandGainConfig.gain,
        points: int = BandGainConfig.points,
        p: float = BandGainConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(BandGainConfig(gain, points, p))

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Amplify all images."""
        return add_band_gain(input, params["gains"].to(input.device))


class Contrast(_Configured, IntensityAugmentationBase2D):
    """Change contrast and brightness of all channels alike, and clamp to [0, 1].

    Parameters
    ----------
    contrast
        Range of the factor of the distance from mid-grey, within [0, 5]; 1 changes nothing.
    brightness
        Range of what is added then, within [-1, 1]; the image itself spans 1.
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
    A spectrogram drawn over another dB range is just that.
    """

    _draw = staticmethod(draw_contrast)

    def __init__(
        self,
        contrast: Range = ContrastConfig.contrast,
        brightness: Range = ContrastConfig.brightness,
        p: float = ContrastConfig.p,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self._configure(ContrastConfig(contrast, brightness, p))

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Change all images."""
        contrast, brightness = params["contrast"], params["brightness"]
        return change_contrast(input, contrast.to(input.device), brightness.to(input.device))


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
    It may leave [0, 1], so it clamps. Its parameters are an amplitude and a seed, from which
    :func:`.functional.uniform_noise` makes the noise on any device.
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


def _crop_grid(input: Tensor, part: Tensor, place: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    return crop_grid(part.to(input.device), place.to(input.device), input.shape[dim])


def _stretch(input: Tensor, start: Tensor, step: Tensor, axis: int) -> Tensor:
    """(n, 3, 3) matrices of a crop along x (0) or y (1) that is stretched back."""
    matrix = torch.eye(3, dtype=input.dtype, device=input.device).repeat(len(start), 1, 1)
    matrix[:, axis, axis] = (SUBPIXELS / step).to(input.dtype)
    matrix[:, axis, 2] = (-start / step).to(input.dtype)
    return matrix


def _nearest(taps: Taps) -> Taps:
    """Whole pixels, for masks, whose values are labels."""
    second = taps.weight.round()
    return Taps(taps.first + second.long(), torch.zeros_like(second))
