"""Windows to pictures in one call, by any of the three engines."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .config import (
    ACCELEROMETER,
    MAX_ACCELERATION,
    DegenerateWarning,
    SignalError,
    View,
    require_one_size,
    view_axes,
)

if TYPE_CHECKING:
    from torch import Tensor

CPU_CHUNK = 64
"""Windows drawn at a time by each thread: few enough for the cache, enough to outweigh the call."""

CPU_PART = 256
"""Windows a thread takes at a time, at most: threads that meet less often wait less for Python."""

CPU_LEAST = 8
"""Windows for which a thread is worth its start."""

DEVICE_CHUNK = 2048
"""Windows drawn at a time on an accelerator: enough to fill it, within 2 GB."""

Engine = Literal["compiled", "torch", "reference"]


def to_images(
    windows: NDArray[np.floating],
    config: View | Sequence[View],
    engine: Engine = "compiled",
    dtype: Literal["float32", "uint8"] = "float32",
    device: str = "cpu",
    sensors: Sequence[str] = (ACCELEROMETER,),
) -> NDArray[Any]:
    """Draw each window.

    Parameters
    ----------
    windows
        Shape (n, 3 * sensors, samples), floating point, in g (rad/s, uT); read in single precision.
    config
        A view, or a sequence of views of one size.
    engine
        ``"compiled"`` (one pass over each window on the CPU, by as many threads as torch is set
        to use), ``"torch"`` (the differentiable, exportable modules, on `device`) or
        ``"reference"`` (float64, by scipy and OpenCV).
    dtype
        ``"float32"`` in [0, 1] or ``"uint8"`` in 0 to 255.
    device
        Where the torch engine computes; the others know only the CPU.
    sensors
        Those of the windows, in the order of their channels; each view draws one.

    Returns
    -------
    ndarray of shape (n, 3, height, width), or (n, views, 3, height, width) for several views
        Channels last in memory. The engines differ by at most one grey level of 255.

    Raises
    ------
    SignalError
        If shape, type or values of the windows do not fit, the views differ in size, or the
        engine does not know the device.

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
    _require_choice("engine", engine, get_args(Engine))
    _require_choice("dtype", dtype, ("float32", "uint8"))
    if device != "cpu" and engine != "torch":
        raise SignalError(f'the {engine} engine draws on the CPU: on {device}, engine="torch" does')
    windows = _checked(windows, len(sensors))
    axes = [view_axes(view, sensors) for view in views]
    _warn_degenerate(views, windows.shape[-1])
    # By numpy: it asks for huge pages, and with small ones the first touch of a picture's memory
    # takes longer than drawing it.
    images = np.empty((len(windows), len(views), views[0].height, views[0].width, 3), dtype)
    if engine == "reference":
        _by_reference(windows, views, axes, images)
    elif engine == "compiled":
        _by_compiled(windows, views, axes, images)
    else:
        _by_torch(windows, views, axes, images, device)
    images = images.transpose(0, 1, 4, 2, 3)
    return images if several else images[:, 0]


def dead_axes(windows: NDArray[np.floating], names: Sequence[str] = "xyz") -> list[str]:
    """Names of the axes that never change over all windows: a sensor or a file is at fault.

    Parameters
    ----------
    windows
        Shape (n, axes, samples).
    names
        Of the axes.
    """
    # Unlike max, fmax passes over what is missing.
    still = np.fmax.reduce(windows, (0, 2)) == np.fmin.reduce(windows, (0, 2))
    return [name for name, dead in zip(names, still, strict=True) if dead]


def _by_reference(
    windows: NDArray[np.float32],
    views: Sequence[View],
    axes: Sequence[slice],
    images: NDArray[Any],
) -> None:
    from .reference import render

    for start in range(0, len(windows), CPU_CHUNK):
        part = windows[start : start + CPU_CHUNK]
        for view, config in enumerate(views):
            drawn = render(part[:, axes[view]], config).transpose(0, 2, 3, 1)
            if images.dtype == np.uint8:
                drawn = drawn * 255 + 0.5
            images[start : start + CPU_CHUNK, view] = drawn


def _by_compiled(
    windows: NDArray[np.float32],
    views: Sequence[View],
    axes: Sequence[slice],
    images: NDArray[Any],
) -> None:
    import torch

    from .engine import renderer
    from .fused import draw

    modules = [renderer(view) for view in views]

    def paint(first: int, last: int) -> None:
        with torch.inference_mode():
            for start in range(first, last, CPU_CHUNK):
                chunk = slice(start, min(start + CPU_CHUNK, last))
                part = torch.from_numpy(windows[chunk])
                for view, module in enumerate(modules):
                    draw(module, part[:, axes[view]], images[chunk], view)

    _in_threads(paint, len(windows))


def _in_threads(work: Callable[[int, int], None], count: int) -> None:
    """Work on the range in parts, in as many threads as torch is set to use."""
    import torch

    before = torch.get_num_threads()
    threads = max(1, min(before, count // CPU_LEAST))
    part = max(1, min(CPU_PART, -(-count // threads)))
    # Advancing an iterator is atomic: whoever is free takes the next part.
    starts = iter(range(0, count, part))

    def work_on() -> None:
        for start in starts:
            work(start, min(start + part, count))

    if threads < 2:
        work_on()
        return
    try:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(
            threads - 1, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            others = [pool.submit(work_on) for _ in range(threads - 1)]
            # This thread works too: it already has a core, and keeps the others off it.
            work_on()
            for other in others:
                other.result()
    finally:
        # What a thread sets is also the start value of threads to come.
        torch.set_num_threads(before)


def _by_torch(
    windows: NDArray[np.float32],
    views: Sequence[View],
    axes: Sequence[slice],
    images: NDArray[Any],
    device: str,
) -> None:
    import torch

    from .engine import renderer

    modules = [renderer(view).to(device) for view in views]
    size = CPU_CHUNK if device == "cpu" else DEVICE_CHUNK
    with torch.inference_mode():
        for start in range(0, len(windows), size):
            chunk = slice(start, start + size)
            part = torch.from_numpy(windows[chunk]).to(device)
            for view, module in enumerate(modules):
                # The resize may round to a little above 1.
                drawn = _as_dtype(module(part[:, axes[view]]).clamp(0, 1), images.dtype).permute(
                    0, 2, 3, 1
                )
                images[chunk, view] = drawn.cpu()


def _as_dtype(drawn: Tensor, dtype: np.dtype) -> Tensor:
    from .engine import to_bytes

    return to_bytes(drawn) if dtype == np.uint8 else drawn


def _checked(windows: NDArray[np.floating], sensors: int) -> NDArray[np.float32]:
    windows = np.asarray(windows)
    if windows.ndim != 3 or windows.shape[1] != 3 * sensors or windows.shape[2] < 1:
        wanted = f"(n, {3 * sensors}, samples)"
        raise SignalError(f"windows must have shape {wanted}, not {windows.shape}")
    if not np.issubdtype(windows.dtype, np.floating):
        raise SignalError(f"windows must be floating point numbers in g, not {windows.dtype}")
    largest = np.maximum(windows.max((1, 2)), -windows.min((1, 2)))
    fits = largest <= MAX_ACCELERATION  # false for NaN
    if not fits.all():
        raise SignalError(
            f"window {np.argmin(fits)} holds NaN, infinity or more than {MAX_ACCELERATION:g} g: "
            "drop or repair it"
        )
    return np.ascontiguousarray(windows, np.float32)


def _warn_degenerate(views: Sequence[View], samples: int) -> None:
    for view in views:
        reason = view.degenerate(samples)
        if reason:
            warnings.warn(reason, DegenerateWarning, stacklevel=3)


def _require_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise SignalError(f"unknown {name} {value!r}; known: {', '.join(known)}")
