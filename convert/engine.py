"""The torch engine: batched, on any device, differentiable, exportable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .config import (
    ACCELEROMETER,
    CONSTANT_DB,
    SpectrogramConfig,
    View,
    WaveformConfig,
    require_one_size,
    source_positions,
    view_axes,
)

DB_PER_NEPER = 10 / np.log(10)


class Spectrogram(nn.Module):
    """Triaxial windows to RGB spectrograms.

    Parameters
    ----------
    config
        What to draw.

    Notes
    -----
    Run eagerly, the Fourier transform is an FFT in double precision, which autocast and TF32 leave
    alone. Traced for export it is a convolution with the Fourier basis in single precision, and
    the resize is two matrix products: for frames and pictures this small that is several times
    faster on a phone, and every runtime has it. Levels of the two differ by less than 1e-4.

    Beside a gravity of 1 g single precision would lose the quiet bins. Each axis' mean is
    therefore taken out first, and its spectrum, known exactly, added afterwards.
    """

    taper: Tensor
    sides: Tensor
    gravity: Tensor
    kernel: Tensor
    constant: Tensor
    rows: Tensor

    def __init__(self, config: SpectrogramConfig = SpectrogramConfig()) -> None:  # noqa: B008
        super().__init__()
        self.config = config
        taper = np.hanning(config.nfft)
        # Scaled so that the squared magnitude of the spectrum is the two-sided density.
        taper /= np.sqrt(config.sampling_rate * np.sum(taper**2))
        sides = np.full(config.bins, 2.0)
        sides[0] = 1
        if config.nfft % 2 == 0:
            sides[-1] = 1
        basis = _fourier_basis(config.nfft, config.bins) * taper
        # The spectrum of a constant 1 g.
        gravity = torch.complex(*torch.from_numpy(basis.sum(-1)).float())
        self.register_buffer("taper", torch.from_numpy(taper).float(), persistent=False)
        self.register_buffer("sides", torch.from_numpy(sides).float(), persistent=False)
        self.register_buffer("gravity", gravity, persistent=False)
        # For export, all that is known beforehand is in the basis: sides, and high above low.
        kernel = (basis * np.sqrt(sides)[:, None])[:, ::-1].reshape(2 * config.bins, 1, -1)
        rows = _interpolation(config.bins, config.height).T
        for name, values in (("kernel", kernel), ("constant", kernel.sum(-1)), ("rows", rows)):
            buffer = torch.from_numpy(np.ascontiguousarray(values)).float()
            self.register_buffer(name, buffer, persistent=False)

    def spectrum(
        self, windows: Tensor, precision: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor]:
        """Spectrum of the signal without its mean, and the mean.

        In single precision a picture's levels are right to 3e-4, enough for 256 grey levels.

        Returns
        -------
        spectrum : Tensor of shape (n, 3, frames, bins)
            Complex. With ``mean * gravity`` added, its squared magnitude is the two-sided power
            spectral density in g²/Hz.
        mean : Tensor of shape (n, 3, 1)
            Zero where it stays out or never left.
        """
        if windows.device.type == "mps":
            precision = torch.float32  # all it has
        signal, mean = self._centred(windows.to(precision))
        frames = signal.unfold(-1, self.config.nfft, self.config.hop)
        return torch.fft.rfft(frames * self.taper.to(precision)), mean

    def power_density(self, windows: Tensor) -> Tensor:
        """One-sided power spectral density, (n, 3, samples) to (n, 3, bins, frames), in g²/Hz."""
        if _exporting():
            return self._density_from_the_top(windows).flip(-2)
        spectrum, mean = self.spectrum(windows)
        spectrum = spectrum + mean.unsqueeze(-1) * self.gravity
        density = (spectrum * spectrum.conj()).real.to(self.sides.dtype) * self.sides
        return density.transpose(-1, -2)

    def _density_from_the_top(self, windows: Tensor) -> Tensor:
        """The same by convolution, the highest frequency first."""
        signal, mean = self._centred(windows)
        parts = F.conv1d(signal.flatten(0, 1).unsqueeze(1), self.kernel, stride=self.config.hop)
        if not self.config.detrend:
            parts = parts + mean.flatten(0, 1).unsqueeze(1) * self.constant
        squares = (parts * parts).unflatten(1, (2, -1))
        return squares.sum(1).unflatten(0, (-1, 3))

    def levels(self, windows: Tensor) -> Tensor:
        """Normalised decibels in [0, 1] before the resize, (n, 3, bins from the top, frames)."""
        if _exporting():
            return self._normalize(self._density_from_the_top(windows))
        # Contiguous: torch resizes anything else several times more slowly.
        return self._normalize(self.power_density(windows)).flip(-2).contiguous()

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 3, samples) in g to (n, 3, height, width) in [0, 1]."""
        levels = self.levels(windows)
        if _exporting():
            return self._resized(levels)
        size = (self.config.height, self.config.width)
        return F.interpolate(levels, size=size, mode="bilinear")

    def _resized(self, levels: Tensor) -> Tensor:
        """Bilinear interpolation by matrices, the longer side first: that takes fewer products."""
        frames = int(levels.shape[-1])  # of a trace it is a tensor
        columns = _as_constant(_interpolation(frames, self.config.width), levels)
        if self.config.bins <= frames:
            return self.rows @ (levels @ columns)
        return (self.rows @ levels) @ columns

    def _centred(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """The signal without its mean, at least one frame long, and the mean that is due again."""
        mean = windows.mean(-1, keepdim=True)
        signal = windows - mean
        if self.config.detrend:
            # Twice: the second pass takes out what the rounding of the first mean left behind.
            signal, mean = signal - signal.mean(-1, keepdim=True), torch.zeros_like(mean)
        missing = self.config.nfft - windows.shape[-1]
        if missing > 0 and not self.config.detrend:
            # The padding is zero, not the mean: here the mean must stay in.
            signal, mean = windows, torch.zeros_like(mean)
        return (F.pad(signal, (0, missing)) if missing > 0 else signal), mean

    def _normalize(self, density: Tensor) -> Tensor:
        nepers = density.clamp(min=self.config.floor).log()
        if self.config.normalize == "fixed":
            low, high = (decibels / DB_PER_NEPER for decibels in self.config.db_range)
            return ((nepers - low) / (high - low)).clamp(0, 1)
        over = (-2, -1) if self.config.normalize == "axis" else (-3, -2, -1)
        high = nepers.amax(over, keepdim=True)
        low = nepers.amin(over, keepdim=True)
        if self.config.dynamic_range is not None:
            low = torch.maximum(low, high - self.config.dynamic_range / DB_PER_NEPER)
        constant = high - low < CONSTANT_DB / DB_PER_NEPER
        scale = (high - low).masked_fill(constant, torch.inf).reciprocal()
        return (nepers - low).clamp(min=0) * scale


class Waveform(nn.Module):
    """Triaxial windows to pictures of their signed traces; see :class:`WaveformConfig`."""

    level: Tensor

    def __init__(self, config: WaveformConfig = WaveformConfig()) -> None:  # noqa: B008
        super().__init__()
        self.config = config
        level = torch.linspace(config.height / 2, 0, config.height).unsqueeze(-1)
        self.register_buffer("level", level, persistent=False)

    def trace(self, windows: Tensor) -> Tensor:
        """(n, 3, samples) in g to (n, 3, width): 0 at `low`, half the height at `high`."""
        if self.config.detrend:
            windows = windows - windows.mean(-1, keepdim=True)
        low, high = self.config.low, self.config.high
        steep = (windows - low) * (self.config.height / 2 / (high - low))
        if _exporting():
            return _by_two_taps(steep, self.config.width)
        return F.interpolate(steep, size=self.config.width, mode="linear")

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 3, samples) in g to (n, 3, height, width) in [0, 1]."""
        return torch.sigmoid(self.trace(windows).unsqueeze(-2) - self.level)


class Views(nn.Module):
    """Several pictures of one window, (n, 3 * sensors, samples) to (n, views, 3, height, width).

    Parameters
    ----------
    views
        What is drawn; each names its sensor.
    sensors
        Those of the windows, in the order of their channels.
    """

    def __init__(self, views: Sequence[View], sensors: Sequence[str] = (ACCELEROMETER,)) -> None:
        super().__init__()
        require_one_size(views)
        self.views = nn.ModuleList(renderer(view) for view in views)
        self.axes = [view_axes(view, sensors) for view in views]
        self.sensors = tuple(sensors)

    def forward(self, windows: Tensor) -> Tensor:
        """Render every view of every window."""
        drawn = [view(windows[:, axes]) for view, axes in zip(self.views, self.axes, strict=True)]
        return torch.stack(drawn, dim=1)


def renderer(view: View) -> Spectrogram | Waveform:
    """The module that draws `view`."""
    return Waveform(view) if isinstance(view, WaveformConfig) else Spectrogram(view)


def to_bytes(images: Tensor) -> Tensor:
    """[0, 1] to 256 grey levels, rounded to the nearest."""
    return (images * 255 + 0.5).to(torch.uint8)


def _fourier_basis(nfft: int, bins: int) -> np.ndarray:
    """Cosines, then negative sines: shape (2, bins, nfft)."""
    angle = 2 * np.pi / nfft * np.outer(np.arange(bins), np.arange(nfft))
    return np.stack([np.cos(angle), -np.sin(angle)])


def _interpolation(source: int, target: int) -> np.ndarray:
    """The matrix (source, target) that interpolates linearly, as :func:`source_positions` says."""
    distance = source_positions(source, target) - np.arange(source)[:, None]
    return np.maximum(0, 1 - np.abs(distance))


def _by_two_taps(signal: Tensor, target: int) -> Tensor:
    """Linear interpolation of (..., source) to (..., target), without a matrix in the file."""
    source = int(signal.shape[-1])
    position = source_positions(source, target)
    left = position.astype(np.int64)
    taps = np.concatenate([left, np.minimum(left + 1, source - 1)])
    share = position - left
    picked = signal.index_select(-1, torch.from_numpy(taps).to(signal.device))
    shares = _as_constant(np.stack([1 - share, share]), signal)
    return (picked.unflatten(-1, (2, target)) * shares).sum(-2)


def _as_constant(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(like)


def _exporting() -> bool:
    # torch 2.6 cannot tell an export from a compilation.
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    return bool(exporting() or torch.jit.is_tracing())  # type: ignore[attr-defined]
