"""Pictures on the CPU in one pass over each window.

What the torch module does in a dozen sweeps over memory, compiled code does while a window lies
in the processor's first cache. The pictures are those of :class:`.engine.Spectrogram` and
:class:`.engine.Waveform` to 1e-5.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from .config import CONSTANT_DB, source_positions
from .engine import Spectrogram, Waveform

f32 = np.float32
Array = NDArray[Any]

DB_PER_OCTAVE = 10 * np.log10(2.0)
_MODES = {"axis": 0, "window": 1, "fixed": 2}
_CONSTANT = f32(CONSTANT_DB / DB_PER_OCTAVE)

# log2(1 + m) for a mantissa m in [0, 1), to 3e-6.
_LOG2 = Chebyshev.interpolate(lambda m: np.log2(1 + m), 6, domain=[0, 1])
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (f32(c) for c in _LOG2.convert(kind=Polynomial).coef)

_compiled = njit(nogil=True, fastmath=True, cache=True, error_model="numpy")


def draw(module: Spectrogram | Waveform, windows: torch.Tensor, out: Array, view: int) -> None:
    """Draw windows into one view of an array of pictures.

    Parameters
    ----------
    module
        What to draw.
    windows
        Shape (n, 3, samples), float32, in g, finite, on the CPU.
    out
        Shape (n, views, height, width, 3), contiguous, float32 or uint8.
    view
        Which of its views to write.
    """
    rows = out.reshape(*out.shape[:3], module.config.width * 3)
    scale = (f32(255), f32(0.5)) if out.dtype == np.uint8 else (f32(1), f32(0))
    if isinstance(module, Waveform):
        _fill(*_exponentials(module, windows), scale, rows, view)
        return
    config = module.config
    precision = torch.float32 if out.dtype == np.uint8 else torch.float64
    spectrum, mean = (part.numpy() for part in module.spectrum(windows, precision))
    _draw(
        spectrum,
        mean,
        module.gravity.numpy(),
        module.sides.numpy(),
        f32(config.floor),
        _MODES[config.normalize],
        f32(config.db_range[0] / DB_PER_OCTAVE),
        f32(config.db_range[1] / DB_PER_OCTAVE),
        # Not infinity: the compiled code may assume finite numbers.
        f32((config.dynamic_range or 1e6) / DB_PER_OCTAVE),
        _neighbours(spectrum.shape[2], config.width),
        _neighbours(spectrum.shape[3], config.height, flip=True),
        scale,
        rows,
        view,
    )


def _exponentials(module: Waveform, windows: torch.Tensor) -> tuple[Array, Array]:
    """What a pixel's sigmoid is made of: exp(level - trace), as a factor by row and one by column.

    Both are taken around the middle of the picture, and a trace far outside of it is brought
    nearer: in double precision neither overflows for any picture that settings allow.
    """
    level, trace = module.level.double(), module.trace(windows).double()
    middle = level.mean()
    far = middle + 40
    columns = (middle - trace).clamp(-far, far).exp().transpose(1, 2).flatten(1)
    return (level[:, 0] - middle).exp().numpy(), columns.numpy()


@cache
def _neighbours(source: int, target: int, flip: bool = False) -> tuple[Array, Array, Array]:
    """For each target pixel the two source ones it lies between, and how near the second is."""
    position = source_positions(source, target)[:: -1 if flip else 1]
    first = position.astype(np.int64)
    return first, np.minimum(first + 1, source - 1), (position - first).astype(f32)


@_compiled
def _draw(
    spectrum: Array,
    mean: Array,
    gravity: Array,
    sides: Array,
    floor: f32,
    mode: int,
    fixed_low: f32,
    fixed_high: f32,
    dynamic_range: f32,
    columns: tuple[Array, Array, Array],
    rows: tuple[Array, Array, Array],
    scale: tuple[f32, f32],
    out: Array,
    view: int,
) -> None:
    _, _, frames, bins = spectrum.shape
    levels = np.empty((3, frames, bins), f32)
    lows, highs = np.empty(3, f32), np.empty(3, f32)
    wide = np.empty((bins, out.shape[3]), f32)
    for window in range(len(spectrum)):
        for axis in range(3):
            offset = mean[window, axis, 0] * gravity
            _power_density(spectrum[window, axis], offset, sides, floor, levels[axis])
            lows[axis], highs[axis] = _extremes(levels[axis])
        if mode == 1:
            lows[:] = lows.min()
            highs[:] = highs.max()
        if mode == 2:
            lows[:] = fixed_low
            highs[:] = fixed_high
        else:
            lows[:] = np.maximum(lows, highs - dynamic_range)
        for axis in range(3):
            _normalize(levels[axis], lows[axis], highs[axis])
            _widen(levels[axis], columns, wide[:, axis::3])
        _heighten(wide, rows, scale, out[window, view])


@_compiled
def _power_density(spectrum: Array, offset: Array, sides: Array, floor: f32, power: Array) -> None:
    for frame in range(power.shape[0]):
        for b in range(power.shape[1]):
            value = spectrum[frame, b] + offset[b]
            density = (value.real * value.real + value.imag * value.imag) * sides[b]
            power[frame, b] = max(f32(density), floor)


@_compiled
def _extremes(power: Array) -> tuple[f32, f32]:
    """Logarithms of the least and the largest density."""
    # Positive floats are ordered as their bits are, and only integers are compared many at once.
    bits = power.reshape(-1).view(np.int32)
    low = high = bits[0]
    for i in range(len(bits)):
        low = min(low, bits[i])
        high = max(high, bits[i])
    return _log2(low), _log2(high)


@_compiled
def _log2(bits: np.int32) -> f32:
    """The logarithm of a positive float, read off its bits."""
    exponent = f32((bits >> 23) - 127)
    m = f32(bits & 0x7FFFFF) * f32(2**-23)
    upper = _C3 + m * (_C4 + m * (_C5 + m * _C6))
    return exponent + (_C0 + m * (_C1 + m * (_C2 + m * upper)))


@_compiled
def _normalize(power: Array, low: f32, high: f32) -> None:
    """Densities to levels in [0, 1], in place."""
    gain = f32(1) / (high - low) if high - low >= _CONSTANT else f32(0)
    flat = power.reshape(-1)
    bits = flat.view(np.int32)
    for i in range(len(flat)):
        flat[i] = min(max((_log2(bits[i]) - low) * gain, f32(0)), f32(1))


@_compiled
def _widen(levels: Array, columns: tuple[Array, Array, Array], out: Array) -> None:
    """Resize along time, and turn (frames, bins) to (bins, width)."""
    left, right, weight = columns
    for x in range(len(weight)):
        first, second, w = levels[left[x]], levels[right[x]], weight[x]
        for b in range(levels.shape[1]):
            out[b, x] = first[b] + w * (second[b] - first[b])


@_compiled
def _heighten(
    levels: Array, rows: tuple[Array, Array, Array], scale: tuple[f32, f32], out: Array
) -> None:
    """Resize along frequency and write in the type of `out`."""
    lower, upper, weight = rows
    gain, offset = scale
    for y in range(len(weight)):
        first, second, w = levels[lower[y]], levels[upper[y]], weight[y]
        for x in range(out.shape[1]):
            out[y, x] = (first[x] + w * (second[x] - first[x])) * gain + offset


@_compiled
def _fill(rows: Array, columns: Array, scale: tuple[f32, f32], out: Array, view: int) -> None:
    """The sigmoids of a trace's picture, written in the type of `out`."""
    gain, offset = scale
    for window in range(len(columns)):
        for y in range(len(rows)):
            row, line = rows[y], out[window, view, y]
            for x in range(columns.shape[1]):
                line[x] = gain / (1 + row * columns[window, x]) + offset
