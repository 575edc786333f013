"""Presets of views: what is drawn of a window, by its rate and length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .config import (
    ACCELEROMETER,
    SignalError,
    SpectrogramConfig,
    View,
    WaveformConfig,
    paper_grid,
)


def recommended_views(
    sampling_rate: float,
    samples: int,
    width: int = 96,
    height: int = 72,
    sensors: Sequence[str] = (ACCELEROMETER,),
) -> tuple[View, ...]:
    """Five pictures of an accelerometer's window: spectrogram and trace, and both without gravity.

    With gravity they keep amplitude (fixed decibels), sign and posture (±2 g); without it they
    show the pattern (normalised by axis, in short and in long frames) and small movements
    (±0.6 g). The long frame is the largest power of two that takes at most two thirds of the
    window, the short one a quarter of it: nfft 32 and 128 for 5 s at 50 Hz.

    Four of other sensors, in ranges of their own; those of each sensor follow those of the one
    before.

    Raises
    ------
    SignalError
        If a sensor is neither an accelerometer nor a gyroscope or magnetometer, by its name.
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
    return tuple(
        replace(view, sensor=sensor)
        for sensor in sensors
        for view in _of_kind(sensor)(short, long, trace)
    )


def _of_kind(sensor: str) -> _Drawing:
    kind = sensor.rpartition(".")[2]
    if kind not in _DRAWINGS:
        raise SignalError(
            f"no views are known for a sensor {sensor!r}: its name must end in one of "
            f"{', '.join(_DRAWINGS)}"
        )
    return _DRAWINGS[kind]


def _of_accelerometer(
    short: SpectrogramConfig, long: SpectrogramConfig, trace: WaveformConfig
) -> tuple[View, ...]:
    return (
        replace(short, normalize="fixed"),
        replace(short, detrend=True, dynamic_range=80.0),
        replace(long, detrend=True, dynamic_range=80.0),
        trace,
        replace(trace, low=-0.6, high=0.6, detrend=True),
    )


def _of_gyroscope(
    short: SpectrogramConfig, long: SpectrogramConfig, trace: WaveformConfig
) -> tuple[View, ...]:
    return (
        replace(short, normalize="fixed", db_range=(-40.0, 25.0)),
        replace(short, detrend=True, dynamic_range=80.0),
        replace(long, detrend=True, dynamic_range=80.0),
        replace(trace, low=-10.0, high=10.0),
    )


def _of_magnetometer(
    short: SpectrogramConfig, long: SpectrogramConfig, trace: WaveformConfig
) -> tuple[View, ...]:
    return (
        replace(short, detrend=True, dynamic_range=80.0),
        replace(long, detrend=True, dynamic_range=80.0),
        replace(trace, low=-100.0, high=100.0),
        replace(trace, low=-20.0, high=20.0, detrend=True),
    )


_Drawing = Callable[[SpectrogramConfig, SpectrogramConfig, WaveformConfig], tuple[View, ...]]

_DRAWINGS: dict[str, _Drawing] = {
    "accel": _of_accelerometer,
    "gyro": _of_gyroscope,
    "magn": _of_magnetometer,
}
"""What is drawn of each kind of sensor, from a short and a long spectrogram and a trace."""


def fast_views(
    sampling_rate: float, samples: int, sensors: Sequence[str] = (ACCELEROMETER,)
) -> tuple[View, ...]:
    """:func:`recommended_views`, 64 wide and 48 high."""
    return recommended_views(sampling_rate, samples, 64, 48, sensors)


def token_views(
    sampling_rate: float,
    samples: int,
    sensors: Sequence[str] = (ACCELEROMETER,),
    width: int = 128,
    height: int = 48,
) -> tuple[View, ...]:
    """Of each sensor the trace and, by fixed decibels, the spectrogram of short frames.

    These are the two of :func:`recommended_views` whose columns depend on nothing but the samples
    at their time, so that a window that lacks some has other columns left.

    Raises
    ------
    SignalError
        If a sensor is neither an accelerometer nor a gyroscope or magnetometer, by its name.
    """
    views = recommended_views(sampling_rate, samples, width, height, sensors)
    return tuple(
        view
        for view in views
        if not view.detrend and (isinstance(view, WaveformConfig) or view.normalize == "fixed")
    )


def picture_names(views: Sequence[View]) -> list[str]:
    """What each view shows, as an encoder's weights are named: ``wrist_gyro_waveform``."""
    kinds = (type(view).__name__.removesuffix("Config").lower() for view in views)
    pairs = zip(views, kinds, strict=True)
    return [f"{view.sensor}_{kind}".replace(".", "_") for view, kind in pairs]


def _recommended(
    rate: float, samples: int, sensors: Sequence[str] = (ACCELEROMETER,)
) -> list[tuple[View, ...]]:
    return [recommended_views(rate, samples, sensors=sensors)]


def _fast(
    rate: float, samples: int, sensors: Sequence[str] = (ACCELEROMETER,)
) -> list[tuple[View, ...]]:
    return [fast_views(rate, samples, sensors)]


def _paper(
    rate: float, samples: int, sensors: Sequence[str] = (ACCELEROMETER,)
) -> list[tuple[View, ...]]:
    return [
        tuple(replace(cell, sensor=sensor) for sensor in sensors)
        for cell in paper_grid(rate, samples)
    ]


def traces(views: Sequence[View]) -> tuple[int, ...]:
    """Numbers of the views that draw the signal itself: in these, what came first is seen best."""
    return tuple(i for i, view in enumerate(views) if isinstance(view, WaveformConfig))


VIEW_PRESETS: dict[str, Callable[..., list[tuple[View, ...]]]] = {
    "recommended": _recommended,
    "fast": _fast,
    "paper": _paper,
}
"""Presets by name: from sampling rate, samples and sensors to the candidate sets of views.

All but the paper's have one; of its grid, validation subjects choose a cell.
"""
