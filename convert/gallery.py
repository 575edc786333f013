"""Pictures to files: PNG for each window, one sheet for the eye, NPZ for programs."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .config import ACCELEROMETER, SignalError, View, WaveformConfig, pixel_extent
from .images import to_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]

BATCH = 1024
"""Windows drawn and written at a time."""

AXIS_COLORS = ("#d62728", "#2ca02c", "#1f77b4")
"""Of the traces x, y and z: red, green and blue, the channel each becomes in the picture."""


def save_images(folder: PathLike, images: NDArray[Any], names: Sequence[str]) -> list[Path]:
    """Write one PNG for each window.

    Parameters
    ----------
    folder
        Made where it does not exist.
    images
        From :func:`to_images`: (n, 3, height, width), or (n, views, 3, height, width), whose views
        are put side by side.
    names
        n file names without ending, all different.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    SignalError
        If a name is used twice or is no plain file name, or their number does not fit.
    """
    from PIL import Image

    if len(names) != len(images):
        raise SignalError(f"{len(images)} pictures need as many names, not {len(names)}")
    if len(set(names)) < len(names):
        raise SignalError("the names of the pictures must all be different")
    for name in names:
        if not name or Path(name).name != name:
            raise SignalError(f"{name!r} is no plain file name")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / f"{name}.png" for name in names]
    for path, picture in zip(paths, _as_rgb(images), strict=True):
        Image.fromarray(picture).save(path, format="PNG")
    return paths


def save_npz(
    path: PathLike,
    windows: NDArray[np.floating],
    views: View | Sequence[View],
    arrays: Mapping[str, NDArray[Any]] | None = None,
    drawn: Callable[[int], object] | None = None,
    sensors: Sequence[str] = (ACCELEROMETER,),
) -> None:
    """Draw windows as bytes into an NPZ, a batch at a time.

    Pictures take a dozen times the memory of their windows; here they never lie in it together.

    Parameters
    ----------
    path
        Of the file.
    windows, views, sensors
        As in :func:`to_images`; their pictures are stored as ``images``.
    arrays
        Stored too, under their names: labels ``y``, ``subject`` and so on.
    drawn
        Told after each batch how many windows it had.

    Raises
    ------
    SignalError
        As :func:`to_images`, or if an array holds Python objects, which could not be read without
        pickle.
    """
    stored = {name: np.asarray(values) for name, values in (arrays or {}).items()}
    for name, values in stored.items():
        if values.dtype.hasobject:
            raise SignalError(f"{name} holds Python objects: make it numbers or strings first")
    one = to_images(windows[:1], views, dtype="uint8", sensors=sensors)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(windows), *one.shape[1:])}
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("images.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for start in range(0, len(windows), BATCH):
                part = windows[start : start + BATCH]
                images = to_images(part, views, dtype="uint8", sensors=sensors)
                # Plain writing: through a memory map, a full disk would be a signal, no error.
                member.write(np.ascontiguousarray(images).data)
                if drawn:
                    drawn(len(images))
        for name, values in stored.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


def save_gallery(
    path: PathLike,
    windows: NDArray[np.floating],
    labels: Sequence[Any] | NDArray[Any],
    views: View | Sequence[View],
    per_class: int = 3,
) -> None:
    """Draw one sheet: a few windows of each class, their traces and their pictures.

    What is drawn is the sensor of the first view.

    Parameters
    ----------
    path
        Of the PNG.
    windows
        Shape (n, 3, samples), in g (rad/s, uT).
    labels
        n class names; the sheet keeps their sorted order.
    views
        Drawn in columns beside the trace.
    per_class
        Windows shown of each class, spread evenly over those there are.

    Raises
    ------
    SignalError
        If there are no windows, or not as many labels.
    """
    views = views if isinstance(views, Sequence) else (views,)
    labels = np.asarray(labels)
    if len(labels) != len(windows) or len(windows) == 0:
        raise SignalError(
            "a gallery needs windows with one label each, "
            f"not {len(windows)} windows and {len(labels)} labels"
        )
    chosen = _spread(labels, per_class)
    pictures = to_images(windows[chosen], views, dtype="uint8", sensors=(views[0].sensor,))
    figure = _sheet(windows[chosen], labels[chosen], pictures, views)
    figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.15)


def _spread(labels: NDArray[Any], per_class: int) -> NDArray[np.intp]:
    """Indices of `per_class` windows of each class, evenly over the recording order."""
    chosen = []
    for name in np.unique(labels):
        members = np.flatnonzero(labels == name)
        count = min(per_class, len(members))
        chosen.append(members[((np.arange(count) + 0.5) * len(members) / count).astype(int)])
    return np.concatenate(chosen)


def _sheet(
    windows: NDArray[np.floating],
    labels: NDArray[Any],
    pictures: NDArray[np.uint8],
    views: Sequence[View],
) -> Figure:
    """A block of rows for each class; a row holds a window, or several where views are few."""
    from matplotlib.figure import Figure

    names, counts = np.unique(labels, return_counts=True)
    columns = 1 + len(views)
    across = max(1, min(counts.max(), 6 // columns))
    rows = -(-counts // across)
    # A figure made by hand has no window and leaves pyplot's global state alone.
    figure = Figure(figsize=(0.5 + 2.1 * columns * across, 0.6 + 0.3 * len(names) + sum(rows)))
    figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.04)
    blocks = figure.subfigures(len(names), 1, squeeze=False, height_ratios=rows + 0.3)[:, 0]
    limits = float(windows.min()) - 0.1, float(windows.max()) + 0.1
    for block, name, count in zip(blocks, names, rows, strict=True):
        block.suptitle(str(name), x=0.01, ha="left", fontsize=10, fontweight="bold")
        cells = block.subplots(count, across * columns, squeeze=False)
        cells = cells.reshape(count * across, columns)
        for index, axes in enumerate(cells):
            bottom = block is blocks[-1] and index >= len(cells) - across
            _style(axes, windows.shape[-1] / views[0].sampling_rate, bottom)
        members = np.flatnonzero(labels == name)
        for axes, member in zip(cells, members, strict=False):
            _draw_trace(axes[0], windows[member], views[0].sampling_rate, limits)
            for ax, view, picture in zip(axes[1:], views, _as_rgb(pictures[member]), strict=True):
                extent = pixel_extent(view, windows.shape[-1])
                ax.imshow(picture, extent=extent, aspect="auto")
        for axes in cells[len(members) :]:
            for ax in axes:
                ax.set_axis_off()
        if block is blocks[0]:
            for axes in cells[:across]:
                titles = (f"x, y, z in {_unit(views[0])}", *map(_title, views))
                for ax, title in zip(axes, titles, strict=True):
                    ax.set_title(title, fontsize=8, color="0.3")
    return figure


def _style(axes: Sequence[Axes], seconds: float, bottom: bool) -> None:
    for ax in axes:
        ax.set_xlim(0, seconds)
        ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
        ax.tick_params(labelsize=7, length=2, color="0.6", labelcolor="0.3", labelbottom=bottom)
        if bottom:
            ax.set_xlabel("s", fontsize=7, color="0.3", labelpad=1)


def _draw_trace(
    ax: Axes, window: NDArray[np.floating], rate: float, limits: tuple[float, float]
) -> None:
    time = np.arange(window.shape[-1]) / rate
    for trace, color in zip(window, AXIS_COLORS, strict=True):
        ax.plot(time, trace, color=color, linewidth=0.8)
    ax.set_ylim(limits)


def _unit(view: View) -> str:
    kind = view.sensor.rpartition(".")[2]
    return {"gyro": "rad/s", "magn": "uT"}.get(kind, "g")


def _title(view: View) -> str:
    detrended = ", detrended" if view.detrend else ""
    if isinstance(view, WaveformConfig):
        return f"waveform{detrended}, {_unit(view)}"
    return f"nfft {view.nfft}, hop {view.hop}, {view.normalize}{detrended}, Hz"


def _as_rgb(images: NDArray[Any]) -> NDArray[np.uint8]:
    """(..., 3, height, width) to bytes (..., height, width, 3), views of a window side by side."""
    if images.dtype != np.uint8:
        images = (images * 255 + 0.5).astype(np.uint8)
    if images.ndim == 5:
        images = np.concatenate(list(images.swapaxes(0, 1)), axis=-1)
    return np.ascontiguousarray(np.moveaxis(images, -3, -1))
