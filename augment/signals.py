"""Augmentations of the signals themselves, as pure functions of windows.

Windows are (n, 3 * sensors, samples), floating point, in g; a new tensor of that shape comes back.
Random numbers are drawn for each window from a generator on the windows' device. After Um et al.
2017 (arXiv 1706.00527) and Saeed et al. 2019 (arXiv 1907.11879).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from .config import AugmentationError
from .moves import hidden_range, is_hidden, permuted_columns, shifted_columns, whole_shift

SLOWEST = 0.05
"""Speed below which a time warp does not fall: time never stands still or runs backwards."""


def jitter(
    windows: Tensor, generator: torch.Generator, sigma: float | Sequence[float] = 0.05
) -> Tensor:
    """Add normal noise of deviation `sigma`, in g; of several sensors one for each, in its unit."""
    each = [sigma] if isinstance(sigma, int | float) else sigma
    _require(all(value >= 0 for value in each), f"sigma must not be negative, not {sigma}")
    noise = _normal(windows, generator, windows.shape)
    if len(each) == 1:
        return windows + each[0] * noise
    count = windows.shape[1] // 3
    _require(len(each) == count, f"sigma must be told of {count} sensors, not of {len(each)}")
    return windows + noise * noise.new_tensor(each).repeat_interleave(3)[:, None]


def uniform_noise(windows: Tensor, generator: torch.Generator, amplitude: float = 0.3) -> Tensor:
    """Add noise uniform in ±`amplitude`, in g."""
    _require(amplitude >= 0, f"amplitude must not be negative, not {amplitude}")
    return windows + _uniform(windows, generator, windows.shape, -amplitude, amplitude)


def scale(windows: Tensor, generator: torch.Generator, sigma: float = 0.1) -> Tensor:
    """Multiply each axis by a factor from a normal distribution of mean 1, deviation `sigma`."""
    _require(sigma >= 0, f"sigma must not be negative, not {sigma}")
    return windows * (1 + sigma * _normal(windows, generator, (*windows.shape[:2], 1)))


def rotate(
    windows: Tensor,
    generator: torch.Generator,
    degrees: float = 180.0,
    units: Sequence[int] | None = None,
) -> Tensor:
    """Turn the sensor: about an axis uniform on the sphere, by an angle uniform in ±`degrees`.

    Sensors of one unit turn together, those of others by themselves: `units` tells each one's by a
    number from 0 on, and None that there is one unit.
    """
    limit = math.radians(degrees)
    triads = windows.unflatten(1, (-1, 3))
    units = [0] * triads.shape[1] if units is None else units
    _require(len(units) == triads.shape[1], f"units must be told of {triads.shape[1]} sensors")
    turns = []
    for _ in range(max(units) + 1):
        axis = torch.nn.functional.normalize(_normal(windows, generator, (len(windows), 3)), dim=1)
        angle = _uniform(windows, generator, (len(windows),), -limit, limit)
        turns.append(rotation_matrices(axis, angle))
    return (torch.stack([turns[unit] for unit in units], dim=1) @ triads).flatten(1, 2)


def permute(windows: Tensor, generator: torch.Generator, chunks: int = 4) -> Tensor:
    """Cut each window into `chunks` of equal length, up to a sample, and shuffle them."""
    _require(chunks >= 1, f"chunks must be at least 1, not {chunks}")
    scores = _uniform(windows, generator, (len(windows), chunks), 0, 1)
    count = torch.full((len(windows),), chunks, device=windows.device)
    return _take_samples(windows, permuted_columns(count, scores, windows.shape[2]))


def time_warp(
    windows: Tensor, generator: torch.Generator, sigma: float = 0.2, knots: int = 4
) -> Tensor:
    """Speed time up and slow it down smoothly.

    The speed is a cubic spline through both ends and `knots` points between them, each drawn from
    a normal distribution of mean 1 and deviation `sigma`. The window's ends stay where they are,
    and samples between are interpolated linearly.
    """
    _require(sigma >= 0, f"sigma must not be negative, not {sigma}")
    _require(knots >= 0, f"knots must not be negative, not {knots}")
    samples = windows.shape[2]
    speeds = 1 + sigma * _normal(windows, generator, (len(windows), knots + 2))
    times = warped_times(speeds, samples)
    first = times.floor().long()
    second = (first + 1).clamp(max=samples - 1)
    before, after = _take_samples(windows, first), _take_samples(windows, second)
    return torch.lerp(before, after, (times - first)[:, None])


def shift(windows: Tensor, generator: torch.Generator, fraction: float = 0.5) -> Tensor:
    """Shift along time, left or right, by up to `fraction` of the window.

    What leaves is lost; the value at the edge fills what comes in.
    """
    _require(0 <= fraction <= 1, f"fraction must lie in [0, 1], not {fraction}")
    part = _uniform(windows, generator, (len(windows),), -fraction, fraction)
    samples = windows.shape[2]
    return _take_samples(windows, shifted_columns(whole_shift(part, samples), samples, "edge"))


def mask(windows: Tensor, generator: torch.Generator, fraction: float = 0.25) -> Tensor:
    """Set one stretch of `fraction` of the window, anywhere in it, to zeros on all axes."""
    _require(0 <= fraction <= 1, f"fraction must lie in [0, 1], not {fraction}")
    place = _uniform(windows, generator, (len(windows),), 0, 1)
    part = torch.full_like(place, fraction)
    samples = windows.shape[2]
    hidden = is_hidden(*hidden_range(part, place, samples), samples)
    return windows.masked_fill(hidden[:, None], 0)


def negate(windows: Tensor) -> Tensor:
    """Change the sign of all axes."""
    return -windows


def reverse(windows: Tensor) -> Tensor:
    """Let time run backwards."""
    return windows.flip(2)


def shuffle_axes(windows: Tensor, generator: torch.Generator) -> Tensor:
    """Put the three axes in any of their six orders, the one they have included.

    All sensors change theirs alike.
    """
    order = _uniform(windows, generator, (len(windows), 3), 0, 1).argsort(1)
    triads = windows.unflatten(1, (-1, 3))
    return triads.gather(2, order[:, None, :, None].expand_as(triads)).flatten(1, 2)


def rotation_matrices(axis: Tensor, angle: Tensor) -> Tensor:
    """Rodrigues' formula: turns about unit vectors (n, 3) by angles (n,) in rad, as (n, 3, 3)."""
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    # Row i of the cross-product matrix is e_i × axis.
    cross = torch.linalg.cross(identity.expand(len(axis), 3, 3), axis[:, None], dim=2)
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return identity + sine * cross + (1 - cosine) * (cross @ cross)


def warped_times(speeds: Tensor, samples: int) -> Tensor:
    """Where each sample of a warped window is read.

    Parameters
    ----------
    speeds
        (n, at least 2), at points evenly spread from the first sample to the last.
    samples
        Of the window.

    Returns
    -------
    Tensor of shape (n, samples)
        Rising from 0 to `samples` − 1.
    """
    speed = (speeds @ _spline_basis(speeds.shape[1], samples).to(speeds)).clamp(min=SLOWEST)
    times = torch.nn.functional.pad(((speed[:, 1:] + speed[:, :-1]) / 2).cumsum(1), (1, 0))
    # The clamp is for windows of a single sample, which take no time.
    return times / times[:, -1:].clamp(min=SLOWEST) * (samples - 1)


@lru_cache(maxsize=16)
def _spline_basis(points: int, samples: int) -> Tensor:
    """Cubic splines that are 1 at one of evenly spread points and 0 at the others."""
    import numpy as np
    from scipy.interpolate import CubicSpline

    splines = CubicSpline(np.linspace(0, 1, points), np.eye(points))
    return torch.from_numpy(splines(np.linspace(0, 1, samples)).T.copy())


def _take_samples(windows: Tensor, source: Tensor) -> Tensor:
    """Windows made of the source samples (n, samples) of each, the same on all axes."""
    return windows.gather(2, source[:, None].expand_as(windows))


def _normal(windows: Tensor, generator: torch.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, dtype=windows.dtype, device=windows.device, generator=generator)


def _uniform(
    windows: Tensor, generator: torch.Generator, shape: tuple[int, ...], low: float, high: float
) -> Tensor:
    unit = torch.rand(shape, dtype=windows.dtype, device=windows.device, generator=generator)
    return low + (high - low) * unit


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AugmentationError(otherwise)
