"""Where in the pictures a network looks: heat maps over spectrograms, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..convert import SpectrogramConfig, View, pixel_extent, to_images
from .figures import INK, MUTED, styled

HEAT = LinearSegmentedColormap.from_list("heat", ["#2b3a67", "#e0852b", "#d7263d"])
"""From cold to hot; what is cold is transparent, too."""

OPACITY = 0.8
"""Of what is hottest."""


@dataclass(frozen=True)
class HeatMaps:
    """What one network makes of one window of each class.

    Attributes
    ----------
    heat
        Shape (classes, height, width), in [0, 1].
    score
        Shape (classes,): the probability that the network gives the true class.
    """

    heat: NDArray[np.floating]
    score: NDArray[np.floating]


@styled
def draw_heatmaps(
    windows: NDArray[np.float32],
    classes: Sequence[str],
    view: View,
    maps: Mapping[str, HeatMaps],
) -> Figure:
    """A row for each class: its window as a picture, then under the heat of each network.

    Parameters
    ----------
    windows
        Shape (classes, 3, samples), in g.
    classes
        Names.
    view
        The picture drawn.
    maps
        By the name of the network.
    """
    rows, columns = len(classes), 1 + len(maps)
    figure = Figure(figsize=(1.1 + 2.1 * columns, 0.9 + 1.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    extent = pixel_extent(view, windows.shape[-1])
    pictures = to_images(windows, view).transpose(0, 2, 3, 1)
    grey = np.repeat(pictures.mean(-1, keepdims=True), 3, axis=-1)
    for row, name in enumerate(classes):
        axes[row, 0].imshow(pictures[row], extent=extent, aspect="auto")
        axes[row, 0].set_ylabel(name.replace(" ", "\n"), color=INK)
        for axis, each in zip(axes[row, 1:], maps.values(), strict=True):
            axis.imshow(grey[row], extent=extent, aspect="auto", vmin=0, vmax=1)
            colors = HEAT(each.heat[row])
            colors[..., 3] = OPACITY * np.clip(each.heat[row], 0, 1)
            axis.imshow(colors, extent=extent, aspect="auto", interpolation="bilinear")
            axis.text(
                0.97, 0.93, f"{each.score[row]:.2f}", transform=axis.transAxes,
                ha="right", va="top", fontsize=8, color="white",
                bbox={"facecolor": INK, "alpha": 0.6, "linewidth": 0, "pad": 1.5},
            )  # fmt: skip
    for axis, title in zip(axes[0], ["window", *maps], strict=True):
        axis.set_title(title)
    for axis in axes.flat:
        axis.spines[:].set_visible(False)
    foot = "time (s); in the corners the probability of the true class"
    figure.supxlabel(foot, color=MUTED, fontsize=10)
    unit = "frequency (Hz)" if isinstance(view, SpectrogramConfig) else "acceleration (g)"
    figure.supylabel(unit, color=MUTED, fontsize=10)
    bar = figure.colorbar(ScalarMappable(cmap=HEAT), ax=axes, shrink=min(1.0, 3 / rows), pad=0.02)
    bar.set_label("Grad-CAM, 1 where a picture is hottest")
    bar.outline.set_visible(False)
    return figure
