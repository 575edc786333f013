"""The fused path on the CPU: compiled code that takes each row of bytes through all four at once.

The images are those of :func:`.fused.augment_tensors` to 1e-5; see :mod:`.functional` for how the
hue is turned and where the noise comes from.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from .functional import NOISE_LEVELS

Array = NDArray[Any]
f32 = np.float32
u32 = np.uint32

_MIX_1, _MIX_2, _GOLDEN = u32(0x7FEB352D), u32(0x846CA68B), u32(0x9E3779B9)
_LEVEL_MASK = u32(NOISE_LEVELS - 1)
_LEVEL_STEP = f32(2 / NOISE_LEVELS)
_LEVEL_ZERO = f32(1 / NOISE_LEVELS - 1)

_compiled = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")


def augment_bytes(
    images: Tensor,
    source: Tensor,
    turns: Tensor,
    amplitude: Tensor,
    seed: Tensor,
    gain: Tensor,
    bias: Tensor,
    out: Tensor,
) -> None:
    """Augment and normalise, by as many threads as torch is set to use.

    Parameters
    ----------
    images
        (n, 3, height, width), uint8, in any memory order.
    source
        (n, width), from :mod:`.functional`.
    turns, amplitude, seed
        (n,), parameters of Hue and Jitter; float32, float32 and int32.
    gain, bias
        (3,), turn a byte of each channel to its normalised value.
    out
        Like `images`, float32, or int16 for the bits of bfloat16.
    """
    rounded = out.dtype == torch.int16
    width = images.shape[-1]
    each = (
        images.numpy(),
        # Behind each row lies a zero for columns that come from outside.
        torch.where(source < 0, width, source).int().numpy(),
        (turns * 6).remainder(6).numpy(),
        (amplitude * 255).numpy(),
        seed.numpy().view(np.uint32),
        out.numpy(),
    )
    common = gain.numpy(), bias.numpy(), rounded
    threads = min(torch.get_num_threads(), len(images))
    if threads < 2:
        _augment(*common, *each)
        return
    parts = zip(*(np.array_split(array, threads) for array in each), strict=True)
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda part: _augment(*common, *part), parts):
            pass


@_compiled
def _augment(
    gain: Array,
    bias: Array,
    rounded: bool,
    images: Array,
    source: Array,
    turns: Array,
    amplitude: Array,
    seed: Array,
    out: Array,
) -> None:
    _, _, height, width = images.shape
    line = np.zeros((3, width + 1), f32)
    row = np.empty((3, width), f32)
    for n in range(len(images)):
        for y in range(height):
            for c in range(3):
                for x in range(width):
                    line[c, x] = images[n, c, y, x]
            for c in range(3):
                for x in range(width):
                    row[c, x] = line[c, source[n, x]]
            _rotate_hue(row, turns[n])
            _add_noise(row, amplitude[n], seed[n], y * width)
            for c in range(3):
                for x in range(width):
                    row[c, x] = row[c, x] * gain[c] + bias[c]
            if rounded:
                _store_bfloat16(row.view(np.uint32), out[n, :, y])
            else:
                for c in range(3):
                    for x in range(width):
                        out[n, c, y, x] = row[c, x]


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
