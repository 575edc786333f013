"""Augmentations that say where pixels come from: crops, shifts, permutations, masks.

First as pure functions of images (n, 3, height, width) and of parameters, one entry for each
image; time runs along the width. Nothing there branches on values: the functions trace, compile
and differentiate. Then as kornia classes of floating point images in [0, 1].
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from kornia.augmentation import (
    AugmentationBase2D,
    GeometricAugmentationBase2D,
    IntensityAugmentationBase2D,
)
from torch import Tensor

from .config import (
    CropXConfig,
    CropYConfig,
    Fill,
    MaskXConfig,
    MaskYConfig,
    PermuteXConfig,
    Range,
    TranslateXConfig,
)
from .step import Flags, Parameters, Random, Step

OUTSIDE = -1
"""Source of a column that comes from outside of the image and is filled with zeros."""

SUBPIXEL_BITS = 20
SUBPIXELS = 2**SUBPIXEL_BITS
"""Places between two pixels at which a crop can read."""


class Taps(NamedTuple):
    """The two neighbours that each column, or row, of a new image is interpolated from.

    Attributes
    ----------
    first
        (n, length), int64; the other one is the next. :data:`OUTSIDE` gives zeros.
    weight
        (n, length), float32, of the next one, in [0, 1); 0 where there is none.
    """

    first: Tensor
    weight: Tensor


def crop_grid(part: Tensor, place: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Where a crop that is stretched back reads the image.

    Parameters
    ----------
    part
        (n,), of the length that is kept, in (0, 1].
    place
        (n,), where it begins, in [0, 1] from the first to the last possible place.
    length
        Columns or rows of the image.

    Returns
    -------
    start, step
        (n,), int64, in units of 1 / :data:`SUBPIXELS`: pixel i is read at ``start + i * step``.
        The first and the last pixel lie on the borders of what is kept, as under
        ``align_corners=True``. Whole numbers are the same on every device.
    """
    step = torch.round(part * SUBPIXELS).long()
    room = (length - 1) * (SUBPIXELS - step)
    return torch.minimum(torch.round(place * room).long(), room), step


def crop_taps(start: Tensor, step: Tensor, source: Tensor) -> Taps:
    """The taps at whole pixels of a crop.

    Parameters
    ----------
    start, step
        (n,), from :func:`crop_grid`.
    source
        (n, length), int64, pixels of the crop; :data:`OUTSIDE` stays what it is.
    """
    outside = source == OUTSIDE
    position = start[:, None] + source * step[:, None]
    between = (position & (SUBPIXELS - 1)).float() / SUBPIXELS
    return Taps(
        torch.where(outside, OUTSIDE, position >> SUBPIXEL_BITS),
        torch.where(outside, 0, between),
    )


def hidden_range(part: Tensor, place: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Which columns or rows a mask hides.

    Parameters
    ----------
    part
        (n,), of the length that is hidden, in [0, 1].
    place
        (n,), where it begins, in [0, 1] from the first to the last possible place.
    length
        Columns or rows of the image.

    Returns
    -------
    begin, end
        (n,), int64; `end` is the first that shows again.
    """
    count = torch.round(part * length)
    begin = torch.round(place * (length - count))
    return begin.long(), (begin + count).long()


def is_hidden(begin: Tensor, end: Tensor, length: int) -> Tensor:
    """Whether each column or row is hidden, (n, length) bool, from :func:`hidden_range`."""
    index = torch.arange(length, device=begin.device)
    return (begin[:, None] <= index) & (index < end[:, None])


def whole_shift(fraction: Tensor, width: int) -> Tensor:
    """Shifts (n,) in whole columns, int64, from parts of the width (n,)."""
    return torch.round(fraction * width).long()


def shifted_columns(shift: Tensor, width: int, fill: Fill) -> Tensor:
    """Where each column of a shifted image comes from.

    Parameters
    ----------
    shift
        (n,), columns to the right, int64.
    width
        Columns of the image.
    fill
        ``"zeros"`` gives :data:`OUTSIDE` to columns without a source.

    Returns
    -------
    Tensor of shape (n, width), int64
    """
    source = torch.arange(width, device=shift.device) - shift[:, None]
    if fill == "wrap":
        return source.remainder(width)
    inside = source.clamp(0, width - 1)
    return inside if fill == "edge" else torch.where(source == inside, source, OUTSIDE)


def permuted_columns(chunks: Tensor, scores: Tensor, width: int) -> Tensor:
    """Where each column comes from after cutting into chunks and reordering them.

    Parameters
    ----------
    chunks
        (n,), number of chunks; their widths differ by at most one column.
    scores
        (n, at least max(chunks)), the chunks are put in the order of rising scores.
    width
        Columns of the image.

    Returns
    -------
    Tensor of shape (n, width), int64
    """
    chunk = torch.arange(width, device=chunks.device) * chunks[:, None] // width
    return scores.gather(1, chunk).argsort(dim=1, stable=True)


def take_columns(images: Tensor, source: Tensor) -> Tensor:
    """Images (n, c, height, width) made of the source columns (n, width) of each."""
    index = source.clamp(min=0)[:, None, None, :].expand(images.shape)
    return torch.where(source[:, None, None, :] == OUTSIDE, 0, images.gather(-1, index))


def interpolate_columns(images: Tensor, taps: Taps) -> Tensor:
    """Images (n, c, height, width) whose columns are interpolated between two of each."""
    # Half precision is computed in single, double stays double.
    precise = images.to(torch.promote_types(images.dtype, torch.float32))
    first = take_columns(precise, taps.first)
    second = take_columns(precise, (taps.first + 1).clamp(max=images.shape[-1] - 1))
    return (first + taps.weight[:, None, None, :] * (second - first)).to(images.dtype)


def interpolate_rows(images: Tensor, taps: Taps) -> Tensor:
    """Images (n, c, height, width) whose rows are interpolated between two of each."""
    return interpolate_columns(images.mT, taps).mT


class _Crop(Step, GeometricAugmentationBase2D):
    """A crop along one axis, stretched back."""

    dim: ClassVar[int]

    @classmethod
    def draw(cls, config: CropXConfig | CropYConfig, random: Random) -> Parameters:
        """The part that is kept (n,), and where it begins (n,), in [0, 1]."""
        return _draw_stretch(cls, config.fraction, random)

    def compute_transformation(self, input: Tensor, params: Parameters, flags: Flags) -> Tensor:
        """(n, 3, 3) matrices from input to output pixel coordinates."""
        part, place = self.own(params, input)
        start, step = crop_grid(part, place, input.shape[self.dim])
        matrix, axis = _identity(input), -1 - self.dim
        matrix[:, axis, axis] = (SUBPIXELS / step).to(input.dtype)
        matrix[:, axis, 2] = (-start / step).to(input.dtype)
        return matrix

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Crop and stretch all images."""
        return self._interpolate(input, self._taps(input, params))

    def apply_transform_mask(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Crop and stretch all masks, by whole pixels: their values are labels."""
        first, weight = self._taps(input, params)
        second = weight.round()
        return self._interpolate(input, Taps(first + second.long(), torch.zeros_like(second)))

    def _taps(self, input: Tensor, params: Parameters) -> Taps:
        (part, place), length = self.own(params, input), input.shape[self.dim]
        start, step = crop_grid(part, place, length)
        return crop_taps(start, step, torch.arange(length, device=input.device))

    def _interpolate(self, input: Tensor, taps: Taps) -> Tensor:
        return (interpolate_columns if self.dim == -1 else interpolate_rows)(input, taps)


class CropX(_Crop):
    """Keep a stretch of time of images and stretch it to the full width, by `CropXConfig`.

    Notes
    -----
    The first and the last column kept become those of the image, columns between are interpolated
    linearly. Masks are stretched by the nearest column; boxes and key points follow the matrix.
    What is cut off is lost: there is no inverse.
    """

    Config = CropXConfig
    neutral: ClassVar = {"crop_width": 1, "crop_left": None}
    dim = -1


class CropY(_Crop):
    """Keep a band of frequencies of images and stretch it to the full height, by `CropYConfig`.

    Notes
    -----
    As :class:`CropX`, with rows for columns.
    """

    Config = CropYConfig
    neutral: ClassVar = {"crop_height": 1, "crop_top": None}
    dim = -2


class TranslateX(Step, GeometricAugmentationBase2D):
    """Shift images along time by whole columns, by `TranslateXConfig`.

    Notes
    -----
    Masks move like the image, and boxes and key points by the matrix of the shift, which knows
    nothing of ``"wrap"``.
    """

    Config = TranslateXConfig
    neutral: ClassVar = {"fraction": 0}

    @classmethod
    def draw(cls, config: TranslateXConfig, random: Random) -> Parameters:
        """``fraction`` (n,) of the width."""
        return {"fraction": random.uniform(config.fraction)}

    def compute_transformation(self, input: Tensor, params: Parameters, flags: Flags) -> Tensor:
        """(n, 3, 3) matrices from input to output pixel coordinates."""
        matrix, (fraction,) = _identity(input), self.own(params, input)
        matrix[:, 0, 2] = whole_shift(fraction, input.shape[-1]).to(input.dtype)
        return matrix

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Shift all images."""
        (fraction,) = self.own(params, input)
        shift = whole_shift(fraction, input.shape[-1])
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


class PermuteX(Step, AugmentationBase2D):
    """Cut images along time into chunks of about equal width and shuffle them, by `PermuteXConfig`.

    Notes
    -----
    No affine map, hence no geometric class of kornia's: masks are shuffled along, boxes and key
    points are left where they are.
    """

    Config = PermuteXConfig
    neutral: ClassVar = {"chunks": 1, "scores": None}

    @classmethod
    def draw(cls, config: PermuteXConfig, random: Random) -> Parameters:
        """``chunks`` (n,) int64 and ``scores`` (n, most chunks), whose order the chunks take."""
        low, high = config.chunks
        return {
            "chunks": random.whole(low, high),
            "scores": random.uniform((0, 1), high),
        }

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Shuffle all images."""
        chunks, scores = self.own(params, input)
        return take_columns(input, permuted_columns(chunks, scores, input.shape[-1]))

    # Masks take the way of images.
    apply_transform_mask = apply_transform

    def apply_non_transform_mask(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Leave masks of images that are not shuffled alone."""
        return input


class _Mask(Step, IntensityAugmentationBase2D):
    """A mask along one axis."""

    dim: ClassVar[int]

    @classmethod
    def draw(cls, config: MaskXConfig | MaskYConfig, random: Random) -> Parameters:
        """The part that is hidden (n,), and where it begins (n,), in [0, 1]."""
        return _draw_stretch(cls, config.fraction, random)

    def apply_transform(
        self, input: Tensor, params: Parameters, flags: Flags, transform: Tensor | None = None
    ) -> Tensor:
        """Black out a part of all images."""
        (part, place), length = self.own(params, input), input.shape[self.dim]
        hidden = is_hidden(*hidden_range(part, place, length), length)
        return input.masked_fill(hidden[:, None, None].transpose(-1, self.dim), 0)


class MaskX(_Mask):
    """Black out a stretch of time of images (Park et al., SpecAugment, 2019), by `MaskXConfig`.

    Notes
    -----
    Black is what TranslateX fills with as well. Masks, boxes and key points are left alone.
    """

    Config = MaskXConfig
    neutral: ClassVar = {"mask_width": 0, "mask_left": None}
    dim = -1


class MaskY(_Mask):
    """Black out a band of frequencies of images, by `MaskYConfig`; else as :class:`MaskX`."""

    Config = MaskYConfig
    neutral: ClassVar = {"mask_height": 0, "mask_top": None}
    dim = -2


def _draw_stretch(step: type[Step], part: Range, random: Random) -> Parameters:
    """A part of an axis, and its place."""
    size, place = step.neutral
    return {
        size: random.uniform(part),
        place: random.uniform((0, 1)),
    }


def _identity(images: Tensor) -> Tensor:
    return torch.eye(3, dtype=images.dtype, device=images.device).repeat(len(images), 1, 1)
