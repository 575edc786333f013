"""What a picture of a window looks like: typed, frozen settings, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Normalization = Literal["axis", "window", "fixed"]

CONSTANT_DB = 0.01
"""A picture whose decibels span less than this shows rounding, not signal: it becomes zeros."""

MAX_ACCELERATION = 1e6
"""Largest magnitude accepted, in g: beyond it the squares of single precision overflow."""


ACCELEROMETER = "accel"
"""The sensor of windows of which nothing else is said."""

LARGEST = 1024
"""Pixels of a picture's side: no encoder reads more, and no window says more."""


class SignalError(ValueError):
    """A window or a setting that cannot be turned into a picture, told in one sentence."""


class DegenerateWarning(UserWarning):
    """The picture can be drawn but says little: a window shorter than ``nfft``, a single frame."""


@dataclass(frozen=True)
class SpectrogramConfig:
    """A triaxial window as one RGB spectrogram: x to red, y to green, z to blue.

    The power spectral density is that of ``matplotlib.mlab.specgram``: symmetric Hann window, no
    centring, no padding of the edges, one-sided. The defaults draw the paper's picture (§III-A).

    Parameters
    ----------
    sampling_rate
        Of the windows, in Hz.
    nfft
        Samples per frame.
    noverlap
        Samples that neighbouring frames share; the hop is ``nfft - noverlap``.
    detrend
        Remove each axis' mean over the window first, and with it gravity.
    normalize
        ``"axis"``: decibels to [0, 1] by the minimum and maximum of each axis and window (the
        paper's); ``"window"``: one minimum and maximum for the three axes; ``"fixed"``: by
        `db_range`, which keeps the amplitude.
    db_range
        Decibels (1 g²/Hz is 0 dB) shown as black and as full colour under ``"fixed"``.
    dynamic_range
        Decibels below the maximum beyond which ``"axis"`` and ``"window"`` draw black, like
        librosa's ``top_db``. Without it (None, the paper's way) the deepest spectral null sets
        the contrast of the whole picture.
    floor
        Smallest power density in g²/Hz, so that silence is not minus infinity; at least 1e-30.
        The default lies 20 dB below the noise of a good phone sensor.
    width, height
        Of the picture in pixels: time left to right, low frequency at the bottom.
    sensor
        Which one's three axes are drawn. Of others than an accelerometer, their unit stands
        wherever g does here: rad/s, uT.

    Raises
    ------
    SignalError
        If a value is out of its range.

    Notes
    -----
    An axis without any variation of its decibels (less than :data:`CONSTANT_DB`) is drawn as
    zeros under ``"axis"``; so are all three under ``"window"`` if none varies.
    """

    sampling_rate: float = 50.0
    nfft: int = 64
    noverlap: int = 60
    detrend: bool = False
    normalize: Normalization = "axis"
    db_range: tuple[float, float] = (-70.0, 5.0)
    dynamic_range: float | None = None
    floor: float = 1e-10
    width: int = 128
    height: int = 96
    sensor: str = ACCELEROMETER

    def __post_init__(self) -> None:
        object.__setattr__(self, "db_range", tuple(self.db_range))
        _require_rate(self.sampling_rate)
        _require_whole(nfft=self.nfft, noverlap=self.noverlap)
        _require(
            self.dynamic_range is None or self.dynamic_range >= 1,
            f"dynamic_range must be at least 1 dB or None, not {self.dynamic_range}",
        )
        _require(self.nfft >= 4, f"nfft must be at least 4, not {self.nfft}")
        _require(
            0 <= self.noverlap < self.nfft,
            f"noverlap must lie between 0 and nfft - 1 = {self.nfft - 1}, not {self.noverlap}",
        )
        _require(
            self.normalize in ("axis", "window", "fixed"),
            f'normalize must be "axis", "window" or "fixed", not {self.normalize!r}',
        )
        _require(
            len(self.db_range) == 2 and -1000 <= self.db_range[0] < self.db_range[1] <= 1000,
            f"db_range must be two rising numbers within -1000 and 1000, not {self.db_range}",
        )
        _require(1e-30 <= self.floor < 1, f"floor must lie between 1e-30 and 1, not {self.floor}")
        _require_size(self.width, self.height)
        _require_sensor(self.sensor)

    @property
    def hop(self) -> int:
        """Samples between the starts of neighbouring frames."""
        return self.nfft - self.noverlap

    @property
    def bins(self) -> int:
        """Frequencies from 0 to half the sampling rate."""
        return self.nfft // 2 + 1

    def frames(self, samples: int) -> int:
        """Frames in a window of `samples`; a window shorter than `nfft` is padded to one."""
        return 1 + max(0, samples - self.nfft) // self.hop

    def degenerate(self, samples: int) -> str:
        """Why a picture of `samples` says little, in words; empty when nothing is wrong."""
        if samples < self.nfft:
            return f"a window of {samples} samples is shorter than nfft = {self.nfft}"
        if self.frames(samples) == 1:
            return f"a window of {samples} samples holds a single frame of nfft = {self.nfft}"
        return ""


@dataclass(frozen=True)
class WaveformConfig:
    """The signed trace as a filled picture: what a power spectrum throws away.

    A pixel is bright where the trace lies above its row's level: the sign of gravity and the way
    a slow movement goes stay visible.

    Parameters
    ----------
    sampling_rate
        Of the windows, in Hz.
    low, high
        Acceleration in g, or rotation in rad/s, at the bottom and at the top row.
    detrend
        Take each axis' mean out first: a narrow range then shows small movements whatever the
        posture.
    width, height
        Of the picture in pixels.
    sensor
        Which one's three axes are drawn.

    Raises
    ------
    SignalError
        If a value is out of its range.
    """

    sampling_rate: float = 50.0
    low: float = -2.0
    high: float = 2.0
    detrend: bool = False
    width: int = 128
    height: int = 96
    sensor: str = ACCELEROMETER

    def __post_init__(self) -> None:
        _require_rate(self.sampling_rate)
        _require(
            -MAX_ACCELERATION <= self.low < self.high <= MAX_ACCELERATION,
            f"low must be below high, both within ±{MAX_ACCELERATION:g} g, "
            f"not {self.low} and {self.high}",
        )
        _require_size(self.width, self.height)
        _require_sensor(self.sensor)

    def degenerate(self, samples: int) -> str:
        """Why a picture of `samples` says little, in words; empty when nothing is wrong."""
        return "a window of a single sample has no course" if samples < 2 else ""


View = SpectrogramConfig | WaveformConfig
"""One picture of a window. Several views are a tuple of these, all of one size."""

_KINDS: dict[str, type[SpectrogramConfig] | type[WaveformConfig]] = {
    "spectrogram": SpectrogramConfig,
    "waveform": WaveformConfig,
}


def view_to_dict(view: View) -> dict[str, Any]:
    """The settings of a view as plain JSON values, with its ``kind``.

    The ``sensor`` is named where it is not the accelerometer.
    """
    kind = next(name for name, cls in _KINDS.items() if isinstance(view, cls))
    settings = {"kind": kind, **asdict(view)}
    if view.sensor == ACCELEROMETER:
        del settings["sensor"]
    return settings


def view_from_dict(settings: Mapping[str, Any]) -> View:
    """The view that :func:`view_to_dict` described.

    Raises
    ------
    SignalError
        If the kind or a setting is unknown.
    """
    values = dict(settings)
    kind = values.pop("kind", None)
    _require(kind in _KINDS, f"unknown kind of view {kind!r}; known: {', '.join(_KINDS)}")
    try:
        return _KINDS[kind](**values)
    except TypeError as error:
        raise SignalError(f"settings of a {kind} view do not fit: {error}") from None


def require_one_size(views: Sequence[View]) -> None:
    """Raise :class:`SignalError` unless `views` is a non-empty sequence of one picture size."""
    _require(len(views) > 0, "at least one view is needed")
    sizes = sorted({(view.width, view.height) for view in views})
    _require(len(sizes) == 1, f"all views must have one picture size, not {sizes}")


def view_axes(view: View, sensors: Sequence[str]) -> slice:
    """Which channels of windows of these sensors, three of each, a view draws.

    Raises
    ------
    SignalError
        If its sensor is not among them.
    """
    _require(
        view.sensor in sensors,
        f"a view draws the sensor {view.sensor}, and the windows are of {', '.join(sensors)}",
    )
    first = 3 * list(sensors).index(view.sensor)
    return slice(first, first + 3)


def paper_grid(
    sampling_rate: float = 50.0, samples: int | None = None, **settings: Any
) -> list[SpectrogramConfig]:
    """The paper's search grid (§IV-A2): nfft 32 to 256 with hops of 2, 4, 8 and 16.

    With `samples`, the cells that are degenerate for such a window are left out.
    """
    cells = [
        SpectrogramConfig(sampling_rate=sampling_rate, nfft=nfft, noverlap=nfft - hop, **settings)
        for nfft in (32, 64, 128, 256)
        for hop in (2, 4, 8, 16)
    ]
    return [cell for cell in cells if samples is None or not cell.degenerate(samples)]


def pixel_axes(view: View, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the centre of each column and row of a picture stands for.

    Parameters
    ----------
    view
        The view drawn.
    samples
        Length of the window.

    Returns
    -------
    time : ndarray of shape (width,)
        Seconds from the window's first sample; for a spectrogram the middle of the frame, as in
        ``mlab.specgram``.
    level : ndarray of shape (height,)
        From the top row down: Hz for a spectrogram, the sensor's unit for a waveform.
    """
    if isinstance(view, WaveformConfig):
        column = source_positions(samples, view.width)
        return column / view.sampling_rate, np.linspace(view.high, view.low, view.height)
    frame = source_positions(view.frames(samples), view.width)
    row = source_positions(view.bins, view.height)
    time = (frame * view.hop + view.nfft / 2) / view.sampling_rate
    return time, (view.bins - 1 - row) * view.sampling_rate / view.nfft


def pixel_extent(view: View, samples: int) -> tuple[float, float, float, float]:
    """Left, right, bottom and top edge of a picture in the units of :func:`pixel_axes`.

    The `extent` that ``matplotlib.axes.Axes.imshow`` takes.
    """
    if isinstance(view, WaveformConfig):
        half_row = (view.high - view.low) / (view.height - 1) / 2
        ends = (-0.5 / view.sampling_rate, (samples - 0.5) / view.sampling_rate)
        return (*ends, view.low - half_row, view.high + half_row)
    middle = (view.nfft - view.hop) / 2 / view.sampling_rate
    duration = view.frames(samples) * view.hop / view.sampling_rate
    spacing = view.sampling_rate / view.nfft
    return middle, middle + duration, -spacing / 2, (view.bins - 0.5) * spacing


def source_positions(source: int, target: int) -> NDArray[np.float64]:
    """Where each of `target` pixel centres falls among `source` ones, clamped to the ends.

    The rule of OpenCV's ``INTER_LINEAR`` and torch's ``align_corners=False``.
    """
    positions = (np.arange(target) + 0.5) * (source / target) - 0.5
    return np.clip(positions, 0, source - 1)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise SignalError(otherwise)


def _require_rate(sampling_rate: float) -> None:
    _require(
        1e-3 <= sampling_rate <= 1e6,
        f"sampling_rate must lie between 0.001 and 1,000,000 Hz, not {sampling_rate}",
    )


def _require_whole(**values: object) -> None:
    for name, value in values.items():
        _require(isinstance(value, int), f"{name} must be a whole number, not {value!r}")


def _require_sensor(name: object) -> None:
    named = isinstance(name, str) and name != ""
    _require(named, f"sensor must be a name such as accel or gyro, not {name!r}")


def _require_size(width: int, height: int) -> None:
    _require_whole(width=width, height=height)
    _require(
        min(width, height) >= 2 and max(width, height) <= LARGEST,
        f"a picture has 2x2 to {LARGEST}x{LARGEST} pixels, not {width}x{height}",
    )
