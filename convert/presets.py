"""Presets of views: what is drawn of a window, by its rate and length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .config import SpectrogramConfig, View, WaveformConfig, paper_grid


def recommended_views(
    sampling_rate: float, samples: int, width: int = 96, height: int = 72
) -> tuple[View, ...]:
    """Five pictures of a window: with gravity, spectrogram and trace; without it, both again.

    With gravity they keep amplitude (fixed decibels), sign and posture (±2 g); without it they
    show the pattern (normalised by axis, in short and in long frames) and small movements
    (±0.6 g). The long frame is the largest power of two that takes at most two thirds of the
    window, the short one a quarter of it: nfft 32 and 128 for 5 s at 50 Hz.
    """
    longest = 8
    while 2 * longest <= samples * 2 / 3:
        longest *= 2
    nfft = max(4, longest // 4)
    hop = max(1, longest // 64)
    short = SpectrogramConfig(sampling_rate, nfft, nfft - hop, width=width, height=height)
    hop = max(1, longest // 32)
    long = SpectrogramConfig(sampling_rate, longest, longest - hop, width=width, height=height)
    trace = WaveformConfig(sampling_rate, width=width, height=height)
    return (
        replace(short, normalize="fixed"),
        replace(short, detrend=True, dynamic_range=80.0),
        replace(long, detrend=True, dynamic_range=80.0),
        trace,
        replace(trace, low=-0.6, high=0.6, detrend=True),
    )


def fast_views(sampling_rate: float, samples: int) -> tuple[View, ...]:
    """:func:`recommended_views`, 64 wide and 48 high."""
    return recommended_views(sampling_rate, samples, 64, 48)


def _recommended(sampling_rate: float, samples: int) -> list[tuple[View, ...]]:
    return [recommended_views(sampling_rate, samples)]


def _fast(sampling_rate: float, samples: int) -> list[tuple[View, ...]]:
    return [fast_views(sampling_rate, samples)]


def _paper(sampling_rate: float, samples: int) -> list[tuple[View, ...]]:
    return [(cell,) for cell in paper_grid(sampling_rate, samples)]


def traces(views: Sequence[View]) -> tuple[int, ...]:
    """Numbers of the views that draw the signal itself: in these, what came first is seen best."""
    return tuple(i for i, view in enumerate(views) if isinstance(view, WaveformConfig))


VIEW_PRESETS: dict[str, Callable[[float, int], list[tuple[View, ...]]]] = {
    "recommended": _recommended,
    "fast": _fast,
    "paper": _paper,
}
"""Presets by name: from sampling rate and samples to the candidate sets of views.

All but the paper's have one; of its grid, validation subjects choose a cell.
"""
