"""The torch engine: batched, on any device, differentiable, exportable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .config import (
    CONSTANT_DB,
    SpectrogramConfig,
    View,
    WaveformConfig,
    require_one_size,
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
    Run eagerly, the Fourier transform is an FFT in double precision: single precision loses the
    quiet bins beside a gravity of 1 g, and autocast or TF32 would lose more. Traced for export it
    is a single-precision product with a constant matrix: for frames this short that is the
    faster of the two on a phone, and every runtime has it. There each axis' mean is taken out
    first, and its spectrum, known exactly, added afterwards: up to 16 g the exported picture
    stays within one grey level of the double-precision one.
    """

    taper: Tensor
    basis: Tensor
    sides: Tensor

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
        basis = _fourier_basis(config.nfft, config.bins) * taper[:, None]
        # One more row: the spectrum of a constant 1.
        basis = np.concatenate([basis, basis.sum(0, keepdims=True)])
        for name, value in (("taper", taper), ("basis", basis), ("sides", sides)):
            self.register_buffer(name, torch.from_numpy(value).float(), persistent=False)

    def spectrum(self, windows: Tensor) -> Tensor:
        """Complex spectrum in double precision, (n, 3, samples) to (n, 3, frames, bins).

        Its squared magnitude is the two-sided power spectral density in g²/Hz.
        """
        precision = torch.float32 if windows.device.type == "mps" else torch.float64
        signal = windows.to(precision)
        if self.config.detrend:
            signal = signal - signal.mean(-1, keepdim=True)
        return torch.fft.rfft(self._frames(signal) * self.taper.to(precision))

    def power_density(self, windows: Tensor) -> Tensor:
        """One-sided power spectral density, (n, 3, samples) to (n, 3, frames, bins), in g²/Hz."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
            real, imaginary = self._product(windows).split(self.config.bins, dim=-1)
            return (real * real + imaginary * imaginary) * self.sides
        spectrum = self.spectrum(windows)
        return (spectrum * spectrum.conj()).real.to(self.sides.dtype) * self.sides

    def levels(self, windows: Tensor) -> Tensor:
        """Normalised decibels in [0, 1] before the resize, (n, 3, bins from the top, frames)."""
        density = self.power_density(windows).clamp(min=self.config.floor)
        # Contiguous: torch resizes anything else several times more slowly.
        return self._normalize(density.log()).transpose(-1, -2).flip(-2).contiguous()

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 3, samples) in g to (n, 3, height, width) in [0, 1]."""
        size = (self.config.height, self.config.width)
        return F.interpolate(self.levels(windows), size=size, mode="bilinear")

    def _product(self, windows: Tensor) -> Tensor:
        """The spectrum by a matrix product: real parts, then imaginary ones."""
        mean = windows.mean(-1, keepdim=True)
        signal = windows - mean
        if self.config.detrend:
            # Twice: the second pass takes out what the rounding of the first mean left behind.
            signal, mean = signal - signal.mean(-1, keepdim=True), torch.zeros_like(mean)
        elif windows.shape[-1] < self.config.nfft:
            # The padding is zero, not the mean: here the mean must stay in.
            signal, mean = windows, torch.zeros_like(mean)
        frames = self._frames(signal)
        # The mean rides along as one more sample, so that a single product does both.
        frames = torch.cat([frames, mean.unsqueeze(-1).expand(*frames.shape[:-1], 1)], dim=-1)
        return frames @ self.basis

    def _frames(self, signal: Tensor) -> Tensor:
        """Overlapping frames, (n, 3, samples) to (n, 3, frames, nfft)."""
        missing = self.config.nfft - signal.shape[-1]
        if missing > 0:
            signal = F.pad(signal, (0, missing))
        return signal.unfold(-1, self.config.nfft, self.config.hop)

    def _normalize(self, nepers: Tensor) -> Tensor:
        if self.config.normalize == "fixed":
            low, high = (decibels / DB_PER_NEPER for decibels in self.config.db_range)
            return ((nepers - low) / (high - low)).clamp(0, 1)
        over = (-2, -1) if self.config.normalize == "axis" else (-3, -2, -1)
        low = nepers.amin(over, keepdim=True)
        spread = nepers.amax(over, keepdim=True) - low
        constant = spread < CONSTANT_DB / DB_PER_NEPER
        return ((nepers - low) / spread.masked_fill(constant, 1.0)).masked_fill(constant, 0.0)


class Waveform(nn.Module):
    """Triaxial windows to pictures of their signed traces; see :class:`WaveformConfig`."""

    level: Tensor

    def __init__(self, config: WaveformConfig = WaveformConfig()) -> None:  # noqa: B008
        super().__init__()
        self.config = config
        level = torch.linspace(config.height / 2, 0, config.height).unsqueeze(-1)
        self.register_buffer("level", level, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 3, samples) in g to (n, 3, height, width) in [0, 1]."""
        low, high = self.config.low, self.config.high
        steep = (windows - low) * (self.config.height / 2 / (high - low))
        trace = F.interpolate(steep, size=self.config.width, mode="linear")
        return torch.sigmoid(trace.unsqueeze(-2) - self.level)


class Views(nn.Module):
    """Several pictures of one window, (n, 3, samples) to (n, views, 3, height, width)."""

    def __init__(self, views: Sequence[View]) -> None:
        super().__init__()
        require_one_size(views)
        self.views = nn.ModuleList(renderer(view) for view in views)

    def forward(self, windows: Tensor) -> Tensor:
        """Render every view of every window."""
        return torch.stack([view(windows) for view in self.views], dim=1)


def renderer(view: View) -> Spectrogram | Waveform:
    """The module that draws `view`."""
    return Waveform(view) if isinstance(view, WaveformConfig) else Spectrogram(view)


def to_bytes(images: Tensor) -> Tensor:
    """[0, 1] to 256 grey levels, rounded to the nearest."""
    return (images * 255 + 0.5).to(torch.uint8)


def _fourier_basis(nfft: int, bins: int) -> np.ndarray:
    angle = 2 * np.pi / nfft * np.outer(np.arange(nfft), np.arange(bins))
    return np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
