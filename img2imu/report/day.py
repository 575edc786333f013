"""What a classifier says of recordings: one HTML file without external parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..fewshot.calibration import Reliability
from ..files import write_text
from .figures import class_colors
from .page import duration, render

if TYPE_CHECKING:
    from ..timeline import Timeline
    from ..timeline.bouts import Bout

DAY = 86400.0

LANES = 60
"""Days or recordings that are drawn at most."""

LISTED = 200
"""Bouts that the page lists at most, the longest; the CSV file has all."""

UNKNOWN_COLOR = "#9aa3ae"


@dataclass(frozen=True)
class Bar:
    """A bout, or its part on a day, in percent of its lane's width."""

    left: float
    width: float
    color: str
    opacity: float
    title: str


@dataclass(frozen=True)
class Lane:
    """A day of a recording, or a recording without dates, with its hours below it."""

    title: str
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]


def write_day_report(
    path: str | Path, timeline: Timeline, bouts: Sequence[Bout], facts: Mapping[str, str]
) -> None:
    """Write the report, whole or not at all.

    Parameters
    ----------
    path
        Of the HTML file.
    timeline
        Labels of all windows.
    bouts
        Those of the same recordings, in their order.
    facts
        How the labels were made: names and values.
    """
    summary = timeline.summary()
    palette = [*class_colors(len(timeline.classes)), UNKNOWN_COLOR]
    colors = dict(zip([*timeline.classes, "unknown"], palette, strict=True))
    lanes = _lanes(bouts, colors)
    longest = sorted(bouts, key=lambda bout: -bout.seconds)[:LISTED]
    text = render(
        "day.html",
        title=_title(summary),
        doubt=timeline.doubt(),
        summary=summary,
        shares=_shares(summary, bouts, colors),
        lanes=lanes[:LANES],
        hidden=len(lanes) - LANES,
        bouts=[_listed(bout, colors) for bout in longest],
        more=len(bouts) - len(longest),
        dropped=_dropped(timeline.report),
        facts=facts,
        scores=summary["scores"],
        reliability=_reliability(timeline),
        version=__version__,
    )
    write_text(path, text)


def _title(summary: Mapping[str, Any]) -> str:
    hours = summary["hours"]
    seconds = 3600 * (sum(hours.values()) + summary["unknown_hours"])
    most = max(hours, key=lambda name: hours[name])
    share = "most of it" if 3600 * hours[most] > seconds / 2 else "the longest of it"
    return f"{span(seconds)}, {share} {most}"


def _shares(
    summary: Mapping[str, Any], bouts: Sequence[Bout], colors: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A row for each label: how long, which share, how many bouts, how long these are."""
    hours = {**summary["hours"], "unknown": summary["unknown_hours"]}
    total = sum(hours.values()) or 1.0
    rows = []
    for name, value in sorted(hours.items(), key=lambda item: -item[1]):
        lengths = [bout.seconds for bout in bouts if bout.label == name]
        sure = [bout.confidence for bout in bouts if bout.label == name]
        weights = [bout.windows for bout in bouts if bout.label == name]
        if lengths or name != "unknown":
            rows.append(
                {
                    "label": name,
                    "color": colors[name],
                    "time": span(3600 * value),
                    "share": value / total,
                    "bouts": len(lengths),
                    "median": span(float(np.median(lengths))) if lengths else "–",
                    "confidence": f"{np.average(sure, weights=weights):.2f}" if sure else "–",
                }
            )
    return rows


def _reliability(timeline: Timeline) -> Reliability | None:
    """Confidence against accuracy, of the windows with a known label; None without such."""
    columns = [(track.confidence, track.code, track.truth) for track in timeline.tracks]
    sure, code, truth = map(np.concatenate, zip(*columns, strict=True))
    known = (truth >= 0) & (code >= 0)
    return Reliability.of(sure[known], (code == truth)[known]) if known.any() else None


def _lanes(bouts: Sequence[Bout], colors: Mapping[str, str]) -> list[Lane]:
    """By day where there are dates, else by recording."""
    groups: dict[tuple[str, str], list[tuple[float, float, Bout]]] = {}
    for bout in bouts:
        if np.isnan(bout.epoch):
            name = f"{bout.subject}, {bout.recording}"
            groups.setdefault(("", name), []).append((bout.start, bout.end, bout))
            continue
        # A bout over midnight stands on both days.
        begin, end = bout.epoch, bout.epoch + bout.seconds
        for number in range(int(begin // DAY), int(np.ceil(end / DAY))):
            date = str(np.datetime64(number, "D"))
            left, right = max(begin, number * DAY), min(end, (number + 1) * DAY)
            key = date, f"{bout.subject}, {date}"
            groups.setdefault(key, []).append((left - number * DAY, right - number * DAY, bout))
    return [_lane(*key, parts, colors) for key, parts in groups.items()]


def _lane(
    date: str,
    title: str,
    parts: Sequence[tuple[float, float, Bout]],
    colors: Mapping[str, str],
) -> Lane:
    low, high = min(left for left, _, _ in parts), max(right for _, right, _ in parts)
    if date and high - low > DAY / 4:
        low, high = 0.0, DAY  # days that can be compared
    width = max(high - low, 1e-9)
    bars = [
        Bar(
            100 * (left - low) / width,
            100 * (right - left) / width,
            colors[bout.label],
            # What is unsure is pale.
            round(0.3 + 0.7 * bout.confidence, 2),
            f"{bout.label}, {clock(left, date)} to {clock(right, date)}, "
            f"confidence {bout.confidence:.2f}",
        )
        for left, right, bout in parts
    ]
    marks = np.linspace(low, high, 5)
    ticks = [(100 * (mark - low) / width, clock(mark, date)) for mark in marks]
    return Lane(title, bars, ticks)


def _listed(bout: Bout, colors: Mapping[str, str]) -> dict[str, str]:
    dated = not np.isnan(bout.epoch)
    when = str(np.datetime64(round(bout.epoch), "s")).replace("T", " ") if dated else ""
    return {
        "color": colors[bout.label],
        "label": bout.label,
        "when": when or clock(bout.start, ""),
        "where": f"{bout.subject}, {bout.recording}",
        "length": span(bout.seconds),
        "confidence": f"{bout.confidence:.2f}",
    }


def _dropped(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is not in the timeline, by reason, with how many rows, samples or windows."""
    return [
        (reason, f"{count:,} {what}")
        for what in ("rows", "samples", "windows")
        for reason, count in report[what]["dropped"].items()
    ]


def span(seconds: float) -> str:
    """Such as ``12 s``, ``2 min 40 s`` or ``7 h 5 min``."""
    if seconds < 3600:
        return duration(seconds)
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def clock(seconds: float, date: str) -> str:
    """A time of the day, or since the recording's start."""
    sign, whole = ("−" if seconds < 0 else ""), abs(round(seconds))
    if date:
        return f"{whole // 3600:02d}:{whole // 60 % 60:02d}"
    if whole < 3600:
        return f"{sign}{whole // 60}:{whole % 60:02d}"
    return f"{sign}{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
