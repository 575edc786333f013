"""The sensor-aware augmentations as pure functions of images and of drawn parameters.

Images are (n, 3, height, width); time runs along the width. Parameters have one entry for each
image. Nothing here branches on values: the functions trace, compile and differentiate.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import AugmentationError, Fill

OUTSIDE = -1
"""Source of a column that comes from outside of the image and is filled with zeros."""

SUBPIXEL_BITS = 20
SUBPIXELS = 2**SUBPIXEL_BITS
"""Places between two pixels at which a crop can read."""

NOISE_LEVELS = 1024
"""The noise of a pixel takes ten bits of one hash for each of its three channels."""

# Multipliers of two well-mixing steps and of a Weyl sequence (the golden ratio), as signed 32 bit.
_MIX_1, _MIX_2, _GOLDEN = 0x7FEB352D, 0x846CA68B - 2**32, 0x9E3779B9 - 2**32


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


def add_band_gain(images: Tensor, gains: Tensor) -> Tensor:
    """Add a gain that varies along the height, and clamp to [0, 1].

    Parameters
    ----------
    images
        (n, 3, height, width), in decibels over a range that [0, 1] stands for.
    gains
        (n, 3, points), float32, at control points from the top to the bottom; linear between.

    Returns
    -------
    Tensor like `images`
    """
    _require_three_channels(images)
    curve = nn.functional.interpolate(
        gains, size=images.shape[-2], mode="linear", align_corners=True
    )
    return (images + curve[..., None]).clamp(0, 1).to(images.dtype)


def change_contrast(images: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Stretch levels about mid-grey, shift them, and clamp to [0, 1].

    Parameters
    ----------
    images
        (n, c, height, width).
    contrast, brightness
        (n,), float32, factor and what is added.

    Returns
    -------
    Tensor like `images`
    """
    contrast, brightness = contrast[:, None, None, None], brightness[:, None, None, None]
    return ((images - 0.5) * contrast + 0.5 + brightness).clamp(0, 1).to(images.dtype)


def rotate_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue in HSV space.

    Parameters
    ----------
    images
        (n, 3, height, width), of any range: the result stays within each pixel's own extremes.
    turns
        (n,), float32, in turns of the hue circle.

    Returns
    -------
    Tensor like `images`
        Equal to ``kornia.enhance.adjust_hue``.

    Notes
    -----
    With hue and waves scaled by the pixel's chroma C = max - min there is no division, so grey
    pixels need no care. The unit of hue is C = a sixth of a turn, and red lies at 0. Over
    [-C, 5C) each channel is one bent line, cut off at the pixel's extremes.
    """
    _require_three_channels(images)
    # Half precision is computed in single, double stays double.
    precise = images.to(torch.promote_types(images.dtype, torch.float32))
    red, green, blue = precise.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    hue = torch.where(
        red == high,
        green - blue,
        torch.where(green == high, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    hue = hue + (turns * 6).remainder(6)[:, None, None] * chroma
    hue = torch.where(hue >= 5 * chroma, hue - 6 * chroma, hue)
    waves = (
        (hue - 3 * chroma).abs() - chroma,
        2 * chroma - (hue - 2 * chroma).abs(),
        (hue - chroma).abs() - chroma,
    )
    turned = [torch.minimum(low + wave.clamp(min=0), high) for wave in waves]
    return torch.stack(turned, 1).to(images.dtype)


def uniform_noise(seed: Tensor, height: int, width: int) -> Tensor:
    """Noise as a function of seed, pixel and channel: the same on every device.

    Parameters
    ----------
    seed
        (n,), int32.
    height, width
        Of the image.

    Returns
    -------
    Tensor of shape (n, 3, height, width), float32
        Uniform over :data:`NOISE_LEVELS` values centred on zero within (-1, 1).

    Notes
    -----
    A hash of a counter rather than a generator's stream: it needs no memory, is drawn inside the
    pass that uses it, and replays from one number. The mixing is of the multiply-xorshift kind.
    """
    pixel = torch.arange(height * width, dtype=torch.int32, device=seed.device)
    bits = seed[:, None] + pixel * _GOLDEN
    # The shift of a signed number drags its sign along; the masks cut it off.
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * _MIX_1
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * _MIX_2
    bits = (bits ^ ((bits >> 16) & 0xFFFF)).view(-1, 1, height, width)
    shift = torch.arange(0, 30, 10, dtype=torch.int32, device=seed.device).view(3, 1, 1)
    level = (bits >> shift) & (NOISE_LEVELS - 1)
    return (level.float() + 0.5) * (2 / NOISE_LEVELS) - 1


def add_noise(images: Tensor, amplitude: Tensor, seed: Tensor) -> Tensor:
    """Add uniform noise; the result may leave the range of the images.

    Parameters
    ----------
    images
        (n, 3, height, width).
    amplitude
        (n,), float32, bound of the noise.
    seed
        (n,), int32, of the noise.

    Returns
    -------
    Tensor like `images`
    """
    _require_three_channels(images)
    noise = uniform_noise(seed, images.shape[-2], images.shape[-1])
    return (images + amplitude[:, None, None, None] * noise).to(images.dtype)


def unit_range(images: Tensor) -> Tensor:
    """Bytes to [0, 1]; floating point images, which lie there already, to float32."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def _require_three_channels(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise AugmentationError(
            f"images must have shape (n, 3, height, width), not {tuple(images.shape)}"
        )
