"""The fused path: all augmentations in one pass, in torch operations and as compiled code.

One table of columns (CropX, TranslateX, PermuteX, MaskX) and one of rows (CropY, MaskY) say where
pixels come from, one pass over them does the rest (BandGain, Contrast, Hue, Jitter, normalise). For
equal parameters the images are those of the kornia classes, to 1e-5. An augmentation of which
there are no parameters is left out.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from .config import AugmentationError, Fill, StepsConfig
from .levels import NOISE_LEVELS, BandGain, Contrast, Hue, Jitter, unit_range
from .moves import (
    OUTSIDE,
    SUBPIXEL_BITS,
    SUBPIXELS,
    CropX,
    CropY,
    MaskX,
    MaskY,
    PermuteX,
    TranslateX,
    crop_grid,
    crop_taps,
    hidden_range,
    interpolate_columns,
    interpolate_rows,
    is_hidden,
    permuted_columns,
    shifted_columns,
    take_columns,
    whole_shift,
)
from .step import Parameters, Step

LEVELS = (BandGain, Contrast, Hue, Jitter)
"""What happens to each pixel by itself, in this order."""

STEPS: dict[type[Any], type[Step]] = {
    step.Config: step for step in (CropX, CropY, TranslateX, PermuteX, MaskX, MaskY, *LEVELS)
}
"""All that the fused path applies, by the settings, in the order in which it does."""

Array = NDArray[Any]
f32 = np.float32
u32 = np.uint32

_MIX_1, _MIX_2, _GOLDEN = u32(0x7FEB352D), u32(0x846CA68B), u32(0x9E3779B9)
_LEVEL_MASK = u32(NOISE_LEVELS - 1)
_LEVEL_STEP = f32(2 / NOISE_LEVELS)
_LEVEL_ZERO = f32(1 / NOISE_LEVELS - 1)

_compiled: Any = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")


def steps_of(config: StepsConfig) -> list[tuple[Any, type[Step]]]:
    """The settings of each step of a policy, and its class.

    Raises
    ------
    AugmentationError
        If there is one that the fused path would leave out, or in another order.
    """
    steps = config.steps()
    kinds = [type(step) for step in steps]
    if [kind for kind in STEPS if kind in kinds] != kinds:
        known, given = (
            ", ".join(kind.__name__.removesuffix("Config") for kind in each)
            for each in (STEPS, kinds)
        )
        raise AugmentationError(
            f"the fused path applies {known}, each once and in this order: it cannot apply {given}"
        )
    return [(step, STEPS[type(step)]) for step in steps]


def augment_tensors(
    images: Tensor, params: Parameters, fill: Fill, mean: Tensor, std: Tensor, dtype: torch.dtype
) -> Tensor:
    """The definition of the fused path, in torch operations; compiled it is a few kernels.

    Parameters
    ----------
    images
        (n, 3, height, width), bytes or floats in [0, 1].
    params
        Of the augmentations to be applied, one entry for each image.
    fill
        Of TranslateX.
    mean, std
        (3,), of each channel, for images in [0, 1].
    dtype
        Of the result.

    Returns
    -------
    Tensor
        Normalised, in the memory order of `images`.
    """
    columns = source_columns(params, images, fill)
    if any(step.is_among(params) for step in (CropX, CropY, MaskX, MaskY)):
        changed = crop_and_mask(unit_range(images), columns, params)
    else:
        changed = unit_range(take_columns(images, columns))
    for step in LEVELS:
        if step.is_among(params):
            changed = step.change(changed, *step.own(params, changed))
    normalised = (changed - mean[:, None, None]) / std[:, None, None]
    return normalised.to(dtype, memory_format=memory_format(images))


def source_columns(params: Parameters, images: Tensor, fill: Fill) -> Tensor:
    """Where each column comes from after TranslateX and then PermuteX, (n, width) int64."""
    n, width = len(images), images.shape[-1]
    columns = torch.arange(width, device=images.device).expand(n, width)
    if TranslateX.is_among(params):
        columns = shifted_columns(whole_shift(params["fraction"], width), width, fill)
    if PermuteX.is_among(params):
        columns = columns.gather(1, permuted_columns(params["chunks"], params["scores"], width))
    return columns


def crop_and_mask(images: Tensor, columns: Tensor, params: Parameters) -> Tensor:
    """CropX, CropY, MaskX and MaskY, with TranslateX and PermuteX as columns (n, width) between."""
    height, width = images.shape[-2:]
    start, step, begin, end = crop_and_hidden(params, images, CropX, MaskX)
    columns = columns.masked_fill(is_hidden(begin, end, width), OUTSIDE)
    across = interpolate_columns(images, crop_taps(start, step, columns))
    start, step, begin, end = crop_and_hidden(params, images, CropY, MaskY)
    rows = torch.arange(height, device=images.device)
    rows = torch.where(is_hidden(begin, end, height), OUTSIDE, rows)
    return interpolate_rows(across, crop_taps(start, step, rows))


def crop_and_hidden(
    params: Parameters, images: Tensor, crop: type[CropX | CropY], mask: type[MaskX | MaskY]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Start and step of the crop along one axis, begin and end of its mask, (n,) int64 each."""
    length = images.shape[crop.dim]
    zeros = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    grid, hidden = (zeros, zeros + SUBPIXELS), (zeros, zeros)
    if crop.is_among(params):
        part, place = crop.own(params, images)
        grid = crop_grid(part, place, length)
    if mask.is_among(params):
        part, place = mask.own(params, images)
        hidden = hidden_range(part, place, length)
    return *grid, *hidden


def augment_bytes(
    images: Tensor, params: Parameters, fill: Fill, mean: Tensor, std: Tensor, dtype: torch.dtype
) -> Tensor:
    """:func:`augment_tensors` for bytes on the CPU: each row through all steps at once.

    By as many threads as torch is set to use.
    """
    # The compiled code writes single precision and, as 16-bit words, bfloat16; torch halves in a
    # pass of its own.
    words = dtype == torch.bfloat16
    out = _empty_like(images, np.int16 if words else np.float32)
    plan = _plan(params, images, fill)
    each = images.numpy(), out.numpy(), *plan
    common = (1 / (255 * std)).float().numpy(), (-mean / std).float().numpy()
    threads = min(torch.get_num_threads(), len(images))
    if threads < 2:
        _augment(*each[:2], plan, *common)
    else:
        parts = zip(*(np.array_split(array, threads) for array in each), strict=True)
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda part: _augment(*part[:2], _Plan(*part[2:]), *common), parts):
                pass
    return out.view(torch.bfloat16) if words else out.to(dtype)


def memory_format(images: Tensor) -> torch.memory_format:
    """The memory order of `images`, or rows one after the other if it is any other than two."""
    if images.is_contiguous():
        return torch.contiguous_format
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def _empty_like(images: Tensor, dtype: type[np.generic]) -> Tensor:
    """Memory for the result, from numpy: it asks for huge pages.

    With small ones the first touch of the memory takes longer than the augmentations.
    """
    if memory_format(images) == torch.channels_last:
        return torch.from_numpy(np.empty(images.permute(0, 2, 3, 1).shape, dtype)).permute(
            0, 3, 1, 2
        )
    return torch.from_numpy(np.empty(images.shape, dtype))


def _plan(params: Parameters, images: Tensor, fill: Fill) -> _Plan:
    n = len(images)
    zeros = torch.zeros(n)
    contrast = params.get("contrast", torch.ones(n))
    tables = (
        source_columns(params, images, fill).int(),
        torch.stack(crop_and_hidden(params, images, CropX, MaskX), 1),
        torch.stack(crop_and_hidden(params, images, CropY, MaskY), 1),
        params.get("gains", torch.zeros(n, 3, 1)) * 255,
        contrast,
        (0.5 - 0.5 * contrast + params.get("brightness", zeros)) * 255,
        (params.get("turns", zeros) * 6).remainder(6),
        params.get("amplitude", zeros) * 255,
        params.get("seed", zeros.int()),
    )
    return _Plan(*(table.numpy() for table in tables))


class _Plan(NamedTuple):
    """What happens to each of n images.

    Attributes
    ----------
    source
        (n, width), int32, of each column after TranslateX and PermuteX, or ``OUTSIDE``.
    across, down
        (n, 4), int64: start and step of the crop along x and along y, begin and end of the mask.
    gains
        (n, 3, points), float32, of BandGain, in grey levels.
    contrast, offset
        (n,), float32: Contrast turns levels to ``contrast * level + offset``.
    turn
        (n,), float32, of Hue, in sixths within [0, 6).
    amplitude
        (n,), float32, of Jitter, in grey levels.
    seed
        (n,), int32, of Jitter.
    """

    source: Array
    across: Array
    down: Array
    gains: Array
    contrast: Array
    offset: Array
    turn: Array
    amplitude: Array
    seed: Array


@_compiled
def _augment(images: Array, out: Array, plan: _Plan, gain: Array, bias: Array) -> None:
    _, _, height, width = images.shape
    # Behind each line lie zeros for columns that come from outside.
    line = np.zeros((3, width + 2), f32)
    row = np.empty((3, width), f32)
    columns, weights = np.empty(width, np.int32), np.empty(width, f32)
    band = np.empty(3, f32)
    for n in range(len(images)):
        across, down = plan.across[n], plan.down[n]
        stretched = across[1] != SUBPIXELS or down[1] != SUBPIXELS
        relevelled = plan.contrast[n] != 1 or plan.offset[n] != 0 or np.any(plan.gains[n] != 0)
        _find_columns(plan.source[n], across, columns, weights)
        for y in range(height):
            position = down[0] + y * down[1]
            if down[2] <= y < down[3]:
                row[:] = 0
            elif stretched:
                _read_between(images[n], position, line)
                _take_between(line, columns, weights, row)
            else:
                _read(images[n], position >> SUBPIXEL_BITS, line)
                _take(line, columns, row)
            if relevelled:
                _find_band(plan.gains[n], f32(y) / f32(max(height - 1, 1)), band)
                _change_levels(row, band, plan.contrast[n], plan.offset[n])
            _rotate_hue(row, plan.turn[n])
            _add_noise(row, plan.amplitude[n], u32(plan.seed[n]), y * width)
            for c in range(3):
                for x in range(width):
                    row[c, x] = row[c, x] * gain[c] + bias[c]
            if out.itemsize == 2:
                _store_bfloat16(row.view(np.uint32), out[n, :, y])
            else:
                for c in range(3):
                    for x in range(width):
                        out[n, c, y, x] = row[c, x]


@_compiled
def _find_columns(source: Array, across: Array, columns: Array, weights: Array) -> None:
    """CropX and MaskX on top of the source columns; column `width` is the zero behind the line."""
    for x in range(len(source)):
        position = across[0] + source[x] * across[1]
        hidden = source[x] == OUTSIDE or across[2] <= x < across[3]
        columns[x] = len(source) if hidden else position >> SUBPIXEL_BITS
        weights[x] = f32(0) if hidden else f32(position & (SUBPIXELS - 1)) / f32(SUBPIXELS)


@_compiled
def _read(image: Array, y: int, line: Array) -> None:
    for c in range(3):
        for x in range(image.shape[2]):
            line[c, x] = image[c, y, x]


@_compiled
def _read_between(image: Array, position: int, line: Array) -> None:
    above = position >> SUBPIXEL_BITS
    below = min(above + 1, image.shape[1] - 1)
    weight = f32(position & (SUBPIXELS - 1)) / f32(SUBPIXELS)
    for c in range(3):
        for x in range(image.shape[2]):
            first = f32(image[c, above, x])
            line[c, x] = first + weight * (f32(image[c, below, x]) - first)


@_compiled
def _take(line: Array, columns: Array, row: Array) -> None:
    for c in range(3):
        for x in range(len(columns)):
            row[c, x] = line[c, columns[x]]


@_compiled
def _take_between(line: Array, columns: Array, weights: Array, row: Array) -> None:
    for c in range(3):
        for x in range(len(columns)):
            first = line[c, columns[x]]
            row[c, x] = first + weights[x] * (line[c, columns[x] + 1] - first)


@_compiled
def _find_band(gains: Array, height: f32, band: Array) -> None:
    """Gains of the channels (3, points) at a part of the way from the first to the last point."""
    last = gains.shape[1] - 1
    position = height * f32(last)
    first = min(int(position), last)
    for c in range(3):
        step = gains[c, min(first + 1, last)] - gains[c, first]
        band[c] = gains[c, first] + (position - f32(first)) * step


@_compiled
def _change_levels(row: Array, band: Array, contrast: f32, offset: f32) -> None:
    """In place, clamped to a byte's range after each of BandGain and Contrast."""
    for c in range(3):
        for x in range(row.shape[1]):
            level = min(max(row[c, x] + band[c], f32(0)), f32(255))
            row[c, x] = min(max(contrast * level + offset, f32(0)), f32(255))


@_compiled
def _rotate_hue(row: Array, turn: f32) -> None:
    """In place, by sixths of a turn in [0, 6)."""
    red, green, blue = row[0], row[1], row[2]
    for x in range(len(red)):
        r, g, b = red[x], green[x], blue[x]
        high = max(max(r, g), b)
        low = min(min(r, g), b)
        chroma = high - low
        two = chroma + chroma
        hue = r - g + two + two
        hue = b - r + two if g == high else hue
        hue = g - b if r == high else hue
        hue += turn * chroma
        hue = hue - f32(6) * chroma if hue >= f32(5) * chroma else hue
        red[x] = min(low + max(abs(hue - two - chroma) - chroma, f32(0)), high)
        green[x] = min(low + max(two - abs(hue - two), f32(0)), high)
        blue[x] = min(low + max(abs(hue - chroma) - chroma, f32(0)), high)


@_compiled
def _add_noise(row: Array, amplitude: f32, seed: u32, first: int) -> None:
    """In place, clamped to a byte's range; `first` is the number of the row's first pixel."""
    red, green, blue = row[0], row[1], row[2]
    step, zero = amplitude * _LEVEL_STEP, amplitude * _LEVEL_ZERO
    for x in range(len(red)):
        bits = u32(seed + u32(u32(first + x) * _GOLDEN))
        bits = u32((bits ^ u32(bits >> u32(16))) * _MIX_1)
        bits = u32((bits ^ u32(bits >> u32(15))) * _MIX_2)
        bits = u32(bits ^ u32(bits >> u32(16)))
        for_red = np.int32(bits & _LEVEL_MASK)
        for_green = np.int32(u32(bits >> u32(10)) & _LEVEL_MASK)
        for_blue = np.int32(u32(bits >> u32(20)) & _LEVEL_MASK)
        red[x] = min(max(red[x] + zero + step * f32(for_red), f32(0)), f32(255))
        green[x] = min(max(green[x] + zero + step * f32(for_green), f32(0)), f32(255))
        blue[x] = min(max(blue[x] + zero + step * f32(for_blue), f32(0)), f32(255))


@_compiled
def _store_bfloat16(bits: Array, out: Array) -> None:
    """The upper halves of single-precision numbers, rounded to nearest, ties to even."""
    for c in range(3):
        for x in range(bits.shape[1]):
            odd = u32(u32(bits[c, x] >> u32(16)) & u32(1))
            out[c, x] = np.int16(u32(u32(bits[c, x] + u32(0x7FFF)) + odd) >> u32(16))
