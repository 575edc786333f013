"""The charts of the studies: scores, curves over shots, and the landscape of a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from .figures import ACCENT, INK, LINE, MUTED, PALE, class_colors, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEAT = LinearSegmentedColormap.from_list("img2imu", ["#ffffff", "#9cc9c7", ACCENT])
_MARKS = {"main": "o", "paper": "o", "knn": "D", "published": "x"}
_SHIFTS = {"main": -0.17, "paper": 0.17, "knn": 0.0}
_DASHES = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 1.5))}

FEW = 8
"""Curves whose bands can be told apart, and whose names fit above a narrow figure."""


@dataclass(frozen=True)
class Dot:
    """A score: `kind` is ``"main"``, ``"paper"`` or ``"knn"`` (probes), or ``"published"``."""

    kind: str
    mean: float
    std: float


@dataclass(frozen=True)
class Curve:
    """Scores over shots with the band around them; a single point is drawn as a level."""

    shots: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    dash: str = "solid"


@dataclass(frozen=True)
class Heat:
    """A landscape: `values` of shape (rows, columns), NaN where there are none."""

    title: str
    label: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Trade:
    """Milliseconds and the score they buy; `front` if nobody else is as fast and as good."""

    ms: float
    score: float
    front: bool
    ours: bool


@styled
def draw_scores(
    panels: Mapping[str, Mapping[str, Sequence[Dot]]],
    groups: Mapping[str, Sequence[str]],
    reference: str,
    legend: Mapping[str, str],
) -> Figure:
    """Mean and deviation of every row, a panel for each data set.

    Parameters
    ----------
    panels
        By data set, the dots of each row.
    groups
        Rows by group, from the top down.
    reference
        Row that is set off; a line stands at its mean.
    legend
        What the kinds of dots are called.
    """
    rows = [row for names in groups.values() for row in names]
    place = _places(groups)
    height = 1.5 + 0.3 * (max(place.values()) + 1)
    # A letter of a label takes about 0.08 inches.
    width = 0.5 + 0.08 * max(map(len, rows)) + 2.5 * len(panels)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (title, dots) in zip(axes, panels.items(), strict=True):
        for row in rows:
            _draw_dots(axis, place[row], dots.get(row, ()), row == reference)
        if dots.get(reference):
            axis.axvline(dots[reference][0].mean, color=ACCENT, linewidth=0.9, zorder=0)
        axis.set_title(title)
        axis.set_yticks([place[row] for row in rows], rows)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}".lstrip("0")))
        axis.grid(axis="x")
        axis.spines[:].set_visible(False)
        for label in axis.get_yticklabels():
            ours = label.get_text() == reference
            label.set(color=ACCENT if ours else INK, fontweight="bold" if ours else "normal")
    axes[0].invert_yaxis()
    figure.supxlabel("macro-F1, mean ± standard deviation", color=MUTED, fontsize=10)
    shown = {dot.kind for dots in panels.values() for group in dots.values() for dot in group}
    handles = [_handle(kind, legend[kind]) for kind in legend if kind in shown]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


def _places(groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Height of each row, with a gap between groups."""
    place, at = {}, 0.0
    for names in groups.values():
        for row in names:
            place[row] = at
            at += 1
        at += 0.5
    return place


def _draw_dots(axis: Axes, place: float, dots: Sequence[Dot], ours: bool) -> None:
    probes = [dot for dot in dots if dot.kind != "published"]
    color = ACCENT if ours else MUTED
    for dot in dots:
        if dot.kind == "published":
            axis.plot(dot.mean, place, "x", color=INK, markersize=6, markeredgewidth=1.4, zorder=4)
            continue
        y = place + (_SHIFTS[dot.kind] if len(probes) > 1 else 0)
        axis.plot([dot.mean - dot.std, dot.mean + dot.std], [y, y], color=color, linewidth=1.2)
        face = color if dot.kind == "main" else "white"
        mark = _MARKS[dot.kind]
        axis.plot(dot.mean, y, mark, color=color, markerfacecolor=face, markersize=5.5, zorder=3)


def _handle(kind: str, label: str) -> Line2D:
    marker = _MARKS[kind]
    face = MUTED if kind == "main" else "white"
    color = INK if kind == "published" else MUTED
    return Line2D(
        [], [], marker=marker, color=color, markerfacecolor=face, linestyle="", label=label
    )


@styled
def draw_curves(
    panels: Mapping[str, Mapping[str, Curve]],
    reference: str,
    band: str,
    label: str = "macro-F1 on test subjects",
) -> Figure:
    """Macro-F1 over shots, a panel for each data set.

    Parameters
    ----------
    panels
        By data set, the curves of each row.
    reference
        Row that is set off.
    band
        What the shaded bands are, for the figure's foot; of many curves one has it.
    label
        Of the upright axis.
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    palette = iter(class_colors(len(names) + 1)[1:])
    colors = {name: ACCENT if name == reference else next(palette) for name in names}
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    width = 1.2 + 3.6 * columns
    # A letter takes less than 0.09 inches of the legend, the line before a name less than one inch.
    entry = 0.09 * max(map(len, names)) + 0.8
    legend_columns = max(1, int(width // entry))
    height, place = 1.2 + 3.2 * lines, "outside right upper"
    if legend_columns > 1 or len(names) <= FEW:
        height, place = height + 0.25 * -(-len(names) // legend_columns), "outside upper center"
    else:
        width += entry
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, curves) in zip(axes, panels.items(), strict=False):
        shots = sorted({k for curve in curves.values() for k in curve.shots})
        for name, curve in curves.items():
            _draw_curve(axis, curve, shots, colors[name], name == reference)
            if curve.shots and (name == reference or len(names) <= FEW):
                _draw_band(axis, curve, colors[name], name == reference)
        axis.set_title(title)
        axis.set_xscale("log")
        axis.set_xticks(shots, [str(k) for k in shots])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.grid(axis="y")
        axis.spines["left"].set_visible(False)
    handles = [_curve_handle(name, panels, colors[name], name == reference) for name in names]
    figure.legend(handles=handles, loc=place, ncols=legend_columns)
    figure.supxlabel(f"labelled windows per class\nbands: {band}", color=MUTED, fontsize=10)
    figure.supylabel(label, color=MUTED, fontsize=10)
    return figure


def _draw_band(axis: Axes, curve: Curve, color: str, ours: bool) -> None:
    axis.fill_between(
        curve.shots, curve.low, curve.high, color=color, alpha=0.22 if ours else 0.07, linewidth=0
    )


def _draw_curve(axis: Axes, curve: Curve, shots: Sequence[int], color: str, ours: bool) -> None:
    if not curve.shots:
        axis.axhline(curve.mean[0], color=color, linewidth=1.4, linestyle=_DASHES[curve.dash])
        return
    axis.plot(
        curve.shots, curve.mean, color=color, marker="o", markersize=4 if ours else 3,
        linewidth=2.4 if ours else 1.4, linestyle=_DASHES[curve.dash], zorder=3 if ours else 2,
    )  # fmt: skip


def _curve_handle(
    name: str, panels: Mapping[str, Mapping[str, Curve]], color: str, ours: bool
) -> Line2D:
    dash = next(curves[name].dash for curves in panels.values() if name in curves)
    width = 2.4 if ours else 1.4
    return Line2D([], [], color=color, linestyle=_DASHES[dash], linewidth=width, label=name)


@styled
def draw_heats(lines: Sequence[Sequence[Heat]], empty: str) -> Figure:
    """Landscapes with their numbers, one line of panels under the other.

    Parameters
    ----------
    lines
        Panels from left to right, in lines; those of a line share their colours' range.
    empty
        Why cells without a value have none, for the figure's foot.
    """
    columns = max(len(line) for line in lines)
    figure = Figure(figsize=(4.4 * columns, 0.5 + 2.8 * len(lines)), layout="constrained")
    axes = figure.subplots(len(lines), columns, squeeze=False)
    for row, line in zip(axes, lines, strict=True):
        values = np.concatenate([np.ravel(heat.values) for heat in line])
        low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0, 1)
        for axis, heat in zip(row, line, strict=False):
            _draw_heat(axis, heat, float(low), float(high))
        for axis in row[len(line) :]:
            axis.set_visible(False)
    if any(np.isnan(heat.values).any() for line in lines for heat in line):
        figure.supxlabel(empty, color=MUTED, fontsize=9)
    return figure


def _draw_heat(axis: Axes, heat: Heat, low: float, high: float) -> None:
    values = np.asarray(heat.values, float)
    axis.imshow(values, cmap=_HEAT, vmin=low - 0.01, vmax=high + 0.01, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=PALE, edgecolor=LINE)
            box.set(hatch="///", linewidth=0)
            axis.add_patch(box)
            axis.text(column, row, "–", ha="center", va="center", color=MUTED)
            continue
        dark = value > low + 0.65 * (high - low)
        best = value == np.nanmax(values)
        axis.text(
            column, row, f"{value:.3f}".removeprefix("0"), ha="center", va="center",
            color="white" if dark else INK, fontweight="bold" if best else "normal",
        )  # fmt: skip
    axis.set_title(heat.title)
    axis.set_xlabel(heat.label)
    axis.set_xticks(range(len(heat.columns)), heat.columns)
    axis.set_yticks(range(len(heat.rows)), heat.rows)
    axis.spines[:].set_visible(False)


@styled
def draw_trades(trades: Mapping[str, Trade], levels: Mapping[str, float], title: str) -> Figure:
    """Scores over latency, and the front of those that nobody beats in both.

    Parameters
    ----------
    trades
        By name.
    levels
        Latencies of what has no score, drawn as upright lines.
    title
        Of the figure.
    """
    figure = Figure(figsize=(9.6, 4.8), layout="constrained")
    axis = figure.subplots()
    front = sorted((each.ms, each.score) for each in trades.values() if each.front)
    axis.plot(*zip(*front, strict=True), color=LINE, linewidth=6, zorder=1)
    for name, each in trades.items():
        color = ACCENT if each.ours else MUTED
        face = color if each.front else "white"
        axis.plot(each.ms, each.score, "o", color=color, markerfacecolor=face, zorder=3)
        axis.annotate(
            name, (each.ms, each.score), (0, 8 if each.front else -16),
            textcoords="offset points", ha="center", color=color,
            fontweight="bold" if each.ours else "normal", zorder=4,
        )  # fmt: skip
    for number, (name, ms) in enumerate(sorted(levels.items(), key=lambda level: level[1])):
        axis.axvline(ms, color=LINE, linewidth=1, zorder=0)
        axis.annotate(
            name, (ms, 0.02), (3 if number else -3, 0), xycoords=("data", "axes fraction"),
            textcoords="offset points", rotation=90, ha="left" if number else "right",
            color=MUTED, fontsize=9,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.margins(x=0.14, y=0.14)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.grid(axis="y")
    axis.set_xlabel("milliseconds for one window, one thread")
    axis.set_ylabel("macro-F1 on test subjects")
    axis.set_title(title)
    return figure
