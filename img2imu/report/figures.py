"""The pictures of the reports, in one style."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from ..convert import SpectrogramConfig, View, to_images
from ..files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..recordings import Windows
    from ..timeline import Timeline, Track

INK, MUTED, LINE, PALE, ACCENT = "#1c2430", "#667085", "#d9dee5", "#f4f6f7", "#0b6e75"

AXIS_COLORS = ("#d1495b", "#2f9e5f", "#3a6ea8")
"""Of x, y and z: the channels they have in the pictures."""

TITLES = {
    "img2imu": ("img2imu", ACCENT),
    "random-2d": ("same network, untrained", "#98a2b3"),
    "hand-forest": ("hand-made features + random forest", "#e0852b"),
    "minirocket": ("MiniRocket + logistic regression", "#7a5cc2"),
}
"""How each method is called in a report, and its colour."""

_CLASS_COLORS = (
    "#0b6e75", "#e0852b", "#7a5cc2", "#c9485b", "#5a9bd4", "#8a9a2b",
    "#b9709f", "#6b7f8f", "#d4b13f", "#3c8f5a", "#9c5d3b", "#3f4fa0",
)  # fmt: skip

_STYLE: dict[str, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 1.0,
    "axes.grid": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "normal",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "img2imu",
}

_COLUMNS = 2400
"""Of a label band: enough for the widest screen."""

_P = ParamSpec("_P")


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Give what a function draws the style of all figures."""

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def svg_uri(figure: Figure) -> str:
    """The figure as a data URI, its letters in the reader's own system font."""
    stream = io.StringIO()
    with rc_context(_STYLE):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue().replace("'DejaVu Sans'", "system-ui")
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def png_uri(figure: Figure) -> str:
    """The figure as a data URI of 200 dots per inch: for what has too many points for SVG."""
    stream = io.BytesIO()
    with rc_context(_STYLE):
        figure.savefig(stream, format="png", dpi=200, facecolor="white")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def save_png(path: str | Path, figure: Figure) -> None:
    """Write the figure as a PNG of 150 dots per inch, whole or not at all."""
    with writing(path) as partial, rc_context(_STYLE):
        figure.savefig(partial, format="png", dpi=150, facecolor="white")


def class_colors(count: int) -> list[str]:
    """A colour for each class; they repeat after twelve."""
    return [_CLASS_COLORS[index % len(_CLASS_COLORS)] for index in range(count)]


def example_views(views: Sequence[View]) -> list[tuple[str, View]]:
    """Of the views that the encoder sees one of each kind, the middle of its kind, with a title."""
    kinds: dict[str, list[View]] = {}
    for view in views:
        if not isinstance(view, SpectrogramConfig):
            kinds.setdefault("waveform, no gravity" if view.detrend else "waveform", []).append(
                view
            )
        elif view.normalize == "fixed":
            kinds.setdefault("spectrogram, fixed range", []).append(view)
        elif view.detrend:
            kinds.setdefault("spectrogram, no gravity", []).append(view)
        else:
            kinds.setdefault("spectrogram", []).append(view)
    return [(title, group[len(group) // 2]) for title, group in kinds.items()]


@styled
def draw_gallery(windows: Windows, views: Sequence[View]) -> Figure:
    """One window of each class as it was measured, and below it the pictures drawn from it."""
    examples = [int(np.flatnonzero(windows.y == name)[0]) for name in windows.classes]
    rows = example_views(views)
    figure = Figure(figsize=(11, 1.25 + 1.15 * len(rows)), layout="constrained")
    axes = figure.subplots(1 + len(rows), len(examples), squeeze=False, sharex="row", sharey="row")
    seconds = np.arange(windows.X.shape[-1]) / windows.sampling_rate
    for axis, index in zip(axes[0], examples, strict=True):
        for trace, color in zip(windows.X[index], AXIS_COLORS, strict=True):
            axis.plot(seconds, trace, color=color, linewidth=1.1)
        axis.set_title(windows.y[index])
        axis.xaxis.set_major_locator(NullLocator())
        axis.spines[:].set_visible(False)
    axes[0, 0].set_ylabel("acceleration (g)")
    for row, (title, view) in zip(axes[1:], rows, strict=True):
        images = to_images(windows.X[examples], view).transpose(0, 2, 3, 1)
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image, aspect="auto", interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(title.replace(", ", ",\n"))
    return figure


@styled
def draw_curve(results: Sequence[Mapping[str, Any]], chance: float) -> Figure:
    """Macro-F1 over the number of labelled windows, one line for each method."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axis = figure.subplots()
    ends = []
    for method in dict.fromkeys(record["method"] for record in results):
        records = [record for record in results if record["method"] == method]
        shots = np.array([record["shots"] for record in records])
        mean = np.array([record["f1_mean"] for record in records])
        title, color = TITLES.get(method, (method, MUTED))
        ours = method == "img2imu"
        if ours:
            spread = np.array([record["f1_std"] for record in records])
            axis.fill_between(
                shots, mean - spread, mean + spread, color=color, alpha=0.12, linewidth=0
            )
        axis.plot(
            shots, mean, color=color, marker="o", markersize=5 if ours else 4,
            linewidth=2.6 if ours else 1.7, zorder=3 if ours else 2,
        )  # fmt: skip
        ends.append((float(mean[-1]), title, color, ours))
    axis.set_xscale("log")
    axis.set_xticks(shots, [str(k) for k in shots])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.axhline(chance, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    axis.annotate("guessing", (shots[0], chance), (0, 4), textcoords="offset points", color=MUTED)
    axis.set_ylim(0, 1)
    axis.grid(axis="y")
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("labelled windows per class")
    axis.set_ylabel("macro-F1 on people held out")
    _label_ends(axis, float(shots[-1]), ends)
    return figure


def _label_ends(axis: Axes, x: float, ends: list[tuple[float, str, str, bool]]) -> None:
    """Write each line's name at its end, the names spread evenly where lines end close together."""
    ends = sorted(ends)
    gap, middle = 0.065, (len(ends) - 1) / 2
    center = float(np.mean([y for y, *_ in ends]))
    for rank, (y, title, color, strong) in enumerate(ends):
        spread = ends[-1][0] - ends[0][0] < gap * len(ends)
        axis.annotate(
            title, (x, center + (rank - middle) * gap if spread else y), (14, 0),
            textcoords="offset points", va="center", color=color,
            fontweight="bold" if strong else "normal", annotation_clip=False,
        )  # fmt: skip


@styled
def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Counts, shaded by their share of the row: of what a class truly was."""
    counts = np.asarray(confusion)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1 + 0.62 * len(classes)
    figure = Figure(figsize=(side + 1.4, side), layout="constrained")
    axis = figure.subplots()
    shades = LinearSegmentedColormap.from_list("accent", [PALE, ACCENT])
    axis.imshow(share, cmap=shades, vmin=0, vmax=1, aspect="auto")
    for row, column in np.argwhere(counts):
        color = "white" if share[row, column] > 0.5 else INK
        percent = f"{share[row, column]:.0%}" if share[row, column] >= 0.005 else "<1%"
        axis.text(column, row - 0.08, percent, ha="center", va="center", color=color)
        axis.text(
            column, row + 0.26, f"{counts[row, column]:,}", ha="center", va="center",
            color=color, fontsize=7, alpha=0.75,
        )  # fmt: skip
    ticks = range(len(classes))
    axis.set_xticks(ticks, [name.replace(" ", "\n") for name in classes])
    axis.set_yticks(ticks, classes)
    axis.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=2)
    axis.tick_params(which="minor", length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("predicted", labelpad=8)
    axis.set_ylabel("true", labelpad=8)
    return figure


@styled
def draw_timeline(timeline: Timeline) -> Figure:
    """Acceleration, labels and confidence over time, for the first recordings."""
    drawn = [track for track in timeline.tracks if track.envelope is not None]
    labelled = [bool((track.truth >= 0).any()) for track in drawn]
    heights = [[1.5, *([0.22] if known else []), 0.22, 0.4] for known in labelled]
    figure = Figure(figsize=(11, 0.7 + 0.28 * len(drawn) + sum(map(sum, heights)) * 1.05))
    outer = figure.add_gridspec(
        len(drawn), 1, height_ratios=[sum(rows) for rows in heights],
        left=0.09, right=0.985, bottom=0.55 / figure.get_figheight(), hspace=0.3,
        top=1 - (0.25 + 0.22 * _legend_rows(timeline)) / figure.get_figheight(),
    )  # fmt: skip
    for index, (track, known, rows) in enumerate(zip(drawn, labelled, heights, strict=True)):
        grid = outer[index].subgridspec(len(rows), 1, height_ratios=rows, hspace=0.12)
        _draw_track(grid.subplots(squeeze=False)[:, 0].tolist(), track, timeline, known)
    used = {int(code) for track in drawn for code in (*track.code, *track.truth) if code >= 0}
    colors = class_colors(len(timeline.classes))
    figure.legend(
        handles=[Patch(color=colors[code], label=timeline.classes[code]) for code in sorted(used)],
        loc="upper left", bbox_to_anchor=(0.083, 1), ncols=_legend_columns(timeline),
        handlelength=1, handleheight=1, columnspacing=1.6,
    )  # fmt: skip
    return figure


def _legend_rows(timeline: Timeline) -> int:
    return -(-len(timeline.classes) // 6)


def _legend_columns(timeline: Timeline) -> int:
    return -(-len(timeline.classes) // _legend_rows(timeline))


def _draw_track(panels: Sequence[Axes], track: Track, timeline: Timeline, known: bool) -> None:
    signal, *bands, confidence = panels
    begin, end = track.spans()
    scale, unit = _time_unit(end[-1])
    limits = (begin[0] / scale, end[-1] / scale)
    _draw_envelope(signal, track, scale)
    many = len(timeline.tracks) > 1
    title = f"subject {track.subject}, {track.recording}" if many else ""
    signal.set_title(title, loc="left", color=MUTED)
    colors = np.array([to_rgb(color) for color in class_colors(len(timeline.classes))])
    rows = [("labelled", track.truth)] if known else []
    for band, (name, codes) in zip(bands, [*rows, ("predicted", track.code)], strict=True):
        edges = np.linspace(begin[0], end[-1], _COLUMNS + 1)
        image = _band(codes, (begin, end), (edges[:-1] + edges[1:]) / 2, colors)
        band.imshow(image[None], aspect="auto", extent=(*limits, 0, 1), interpolation="nearest")
        band.set_yticks([0.5], [name])
        band.spines[:].set_visible(False)
    _draw_confidence(confidence, track, (begin, end), scale)
    for panel in panels:
        panel.set_xlim(*limits)
        if panel is not confidence:
            panel.xaxis.set_major_locator(NullLocator())
    signal.spines["bottom"].set_visible(False)
    confidence.set_xlabel(f"time ({unit})")


def _draw_envelope(axis: Axes, track: Track, scale: float) -> None:
    envelope = track.envelope
    assert envelope is not None
    empty = envelope.low > envelope.high
    time = (np.arange(envelope.STEPS) + 0.5) * envelope.seconds / scale
    for index, color in enumerate(AXIS_COLORS):
        low = np.where(empty[index], np.nan, envelope.low[index])
        high = np.where(empty[index], np.nan, envelope.high[index])
        axis.fill_between(
            time, low, high, color=color, linewidth=0.7, alpha=0.85, label="xyz"[index]
        )
    axis.set_ylabel("acceleration (g)")
    axis.legend(
        loc="lower right", bbox_to_anchor=(1, 0.98), ncols=3, handlelength=0.8, handleheight=0.8,
        fontsize=8, borderaxespad=0,
    )  # fmt: skip


def _draw_confidence(
    axis: Axes, track: Track, spans: tuple[NDArray[Any], NDArray[Any]], scale: float
) -> None:
    begin, end = spans
    time, value = _steps(begin, end, track.confidence)
    axis.fill_between(time / scale, 0, value, color=ACCENT, alpha=0.18, linewidth=0)
    axis.plot(time / scale, value, color=ACCENT, linewidth=0.9)
    axis.set_ylim(0, 1.05)
    axis.set_yticks([0, 1], ["0", "1"])
    axis.set_ylabel("confidence", rotation=0, ha="right", va="center")


def _steps(
    begin: NDArray[Any], end: NDArray[Any], value: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Corners of a step curve with breaks at gaps; the lowest of each stretch where they are many.

    A stretch is what one column of the picture shows.
    """
    if len(value) > _COLUMNS:
        starts = np.linspace(0, len(value), _COLUMNS, endpoint=False).astype(np.intp)
        value = np.minimum.reduceat(value, starts)
        begin, end = begin[starts], end[np.append(starts[1:], len(end)) - 1]
    gap = np.append(end[:-1] < begin[1:] - 1e-9, False)
    time = np.stack([begin, end, end], axis=1).ravel()
    level = np.stack([value, value, np.where(gap, np.nan, value)], axis=1).ravel()
    return time, level


def _band(
    codes: NDArray[np.intp],
    spans: tuple[NDArray[Any], NDArray[Any]],
    time: NDArray[Any],
    colors: NDArray[Any],
) -> NDArray[np.floating]:
    """The colour at each time: white in gaps, grey where the label is unknown."""
    begin, end = spans
    index = np.clip(np.searchsorted(begin, time, side="right") - 1, 0, None)
    shown = np.where((codes[index] >= 0)[:, None], colors[codes[index]], to_rgb(LINE))
    return np.where((time < end[index])[:, None], shown, 1.0)


def _time_unit(seconds: float) -> tuple[float, str]:
    for length, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 3 * length:
            return float(length), name
    return 1.0, "seconds"


@styled
def draw_training(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """The course of runs of pre-training, epoch by epoch.

    Parameters
    ----------
    runs
        By the name of the run, the columns of its ``epochs.csv``.
    """
    panels = {
        "loss": "loss",
        "top1": "top-1 of the training task",
        "knn": "nearest neighbours' accuracy\n(dashed: at the start, dotted: a guess)",
        "uniformity": "uniformity",
        "transfer": "few-shot macro-F1, validation subjects",
    }
    shown = [name for name in panels if any(name in columns for columns in runs.values())]
    figure = Figure(figsize=(3.4 * len(shown), 3.0), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for (run, columns), color in zip(runs.items(), class_colors(len(runs)), strict=True):
            if name in columns:
                axis.plot(columns["epoch"], columns[name], color=color, label=run, marker=".")
            for level, style in (("start", "--"), ("guess", ":")):
                if f"{name}_{level}" in columns:
                    axis.axhline(columns[f"{name}_{level}"][-1], color=color, linestyle=style)
        axis.set_title(panels[name])
        axis.set_xlabel("epoch")
        axis.grid(axis="y")
    if len(runs) > 1:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(runs))
    return figure
