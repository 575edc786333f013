"""Windows to pictures in one call, by either engine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .config import DegenerateWarning, SignalError, View, require_one_size

CHUNK = 64
"""Windows rendered at a time: their intermediate arrays stay in the processor's cache."""


def to_images(
    windows: NDArray[np.floating],
    config: View | Sequence[View],
    engine: Literal["torch", "reference"] = "torch",
    dtype: Literal["float32", "uint8"] = "float32",
    device: str = "cpu",
) -> NDArray[Any]:
    """Draw each window.

    Parameters
    ----------
    windows
        Shape (n, 3, samples), floating point, in g.
    config
        A view, or a sequence of views of one size.
    engine
        ``"torch"`` (float32, batched) or ``"reference"`` (float64, by scipy and OpenCV).
    dtype
        ``"float32"`` in [0, 1] or ``"uint8"`` in 0 to 255.
    device
        Where the torch engine computes.

    Returns
    -------
    ndarray of shape (n, 3, height, width), or (n, views, 3, height, width) for several views
        The two engines differ by at most one grey level of 255.

    Raises
    ------
    SignalError
        If shape, type or values of the windows, or the sizes of the views, do not fit.

    Warns
    -----
    DegenerateWarning
        If a window is too short for a view to say much.

    Examples
    --------
    >>> import numpy as np
    >>> to_images(np.zeros((2, 3, 250), np.float32), SpectrogramConfig()).shape
    (2, 3, 96, 128)
    """
    several = isinstance(config, Sequence)
    views: Sequence[View] = config if isinstance(config, Sequence) else (config,)
    require_one_size(views)
    _require_choice("engine", engine, ("torch", "reference"))
    _require_choice("dtype", dtype, ("float32", "uint8"))
    windows = _checked(windows)
    _warn_degenerate(views, windows.shape[-1])
    if engine == "torch":
        images = _by_torch(windows, views, dtype, device)
    else:
        images = _by_reference(windows, views, dtype)
    return images if several else images[:, 0]


def _by_reference(
    windows: NDArray[np.floating], views: Sequence[View], dtype: str
) -> NDArray[Any]:
    from .reference import render

    images = np.stack([render(windows, view) for view in views], axis=1)
    return (images * 255 + 0.5).astype(np.uint8) if dtype == "uint8" else images.astype(np.float32)


def _by_torch(
    windows: NDArray[np.floating], views: Sequence[View], dtype: str, device: str
) -> NDArray[Any]:
    import torch

    from .engine import render_uint8, renderer

    signal = torch.from_numpy(np.ascontiguousarray(windows, np.float32))
    modules = [renderer(view).to(device) for view in views]
    height, width = views[0].height, views[0].width
    if dtype == "uint8":
        # Channels last: what the byte resize writes and convolutions read fastest.
        images = torch.empty(len(signal), len(views), height, width, 3, dtype=torch.uint8)
        images = images.permute(0, 1, 4, 2, 3)
    else:
        images = torch.empty(len(signal), len(views), 3, height, width)
    with torch.inference_mode():
        for start in range(0, len(signal), CHUNK):
            part = signal[start : start + CHUNK].to(device)
            for index, module in enumerate(modules):
                drawn = render_uint8(module, part) if dtype == "uint8" else module(part)
                images[start : start + CHUNK, index] = drawn
    return images.numpy()


def _checked(windows: NDArray[np.floating]) -> NDArray[np.floating]:
    windows = np.asarray(windows)
    if windows.ndim != 3 or windows.shape[1] != 3 or windows.shape[2] < 1:
        raise SignalError(f"windows must have shape (n, 3, samples), not {windows.shape}")
    if not np.issubdtype(windows.dtype, np.floating):
        raise SignalError(f"windows must be floating point numbers in g, not {windows.dtype}")
    finite = np.isfinite(windows).all(axis=(1, 2))
    if not finite.all():
        raise SignalError(f"window {np.argmin(finite)} holds NaN or infinity: drop or repair it")
    return windows


def _warn_degenerate(views: Sequence[View], samples: int) -> None:
    for view in views:
        reason = view.degenerate(samples)
        if reason:
            warnings.warn(reason, DegenerateWarning, stacklevel=3)


def _require_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise SignalError(f"unknown {name} {value!r}; known: {', '.join(known)}")
