"""The torch engine: batched, on any device, differentiable, exportable as plain matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import SpectrogramConfig, View, WaveformConfig, require_one_size
from .reference import CONSTANT_DB

DB_PER_NEPER = 10 / np.log(10)


class Spectrogram(nn.Module):
    """Triaxial windows to RGB spectrograms.

    The Fourier transform is a product with a constant matrix: for frames this short it beats an
    FFT call, and every runtime has it.

    Parameters
    ----------
    config
        What to draw.

    Notes
    -----
    Single precision would lose the quiet bins beside a gravity of 1 g. Each axis' mean is
    therefore taken out before the product and its own spectrum, known exactly, added afterwards.
    """

    basis: Tensor

    def __init__(self, config: SpectrogramConfig = SpectrogramConfig()) -> None:  # noqa: B008
        super().__init__()
        self.config = config
        taper = np.hanning(config.nfft)
        angle = 2 * np.pi / config.nfft * np.outer(np.arange(config.nfft), np.arange(config.bins))
        basis = np.concatenate([np.cos(angle), -np.sin(angle)], axis=1) * taper[:, None]
        sides = np.full(config.bins, 2.0)
        sides[0] = 1
        if config.nfft % 2 == 0:
            sides[-1] = 1
        basis *= np.tile(np.sqrt(sides / (config.sampling_rate * np.sum(taper**2))), 2)
        basis = np.concatenate([basis, basis.sum(0, keepdims=True)])
        self.register_buffer("basis", torch.from_numpy(basis).float(), persistent=False)

    def power_density(self, windows: Tensor) -> Tensor:
        """One-sided power spectral density, (n, 3, samples) to (n, 3, frames, bins), in g²/Hz."""
        nfft, hop = self.config.nfft, self.config.hop
        mean = windows.mean(-1, keepdim=True)
        signal, mean = windows - mean, mean * (0 if self.config.detrend else 1)
        if windows.shape[-1] < nfft:
            # The padding is zero, not the mean: here the mean must stay in.
            signal, mean = F.pad(signal + mean, (0, nfft - windows.shape[-1])), mean * 0
        frames = signal.unfold(-1, nfft, hop)
        # The mean rides along as one more sample, so that a single product does both.
        frames = torch.cat([frames, mean.unsqueeze(-1).expand(*frames.shape[:-1], 1)], dim=-1)
        spectrum = (frames.reshape(-1, nfft + 1) @ self.basis).view(*frames.shape[:-1], -1)
        real, imaginary = spectrum.split(self.config.bins, dim=-1)
        return real * real + imaginary * imaginary

    def levels(self, windows: Tensor) -> Tensor:
        """Normalised decibels in [0, 1] before the resize, (n, 3, bins from the top, frames)."""
        density = self.power_density(windows).clamp(min=self.config.floor)
        return self._normalize(density.log()).transpose(-1, -2).flip(-2)

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 3, samples) in g to (n, 3, height, width) in [0, 1]."""
        return F.interpolate(
            self.levels(windows), size=(self.config.height, self.config.width), mode="bilinear"
        )

    def _normalize(self, nepers: Tensor) -> Tensor:
        if self.config.normalize == "fixed":
            low, high = (decibels / DB_PER_NEPER for decibels in self.config.db_range)
            return ((nepers - low) * (1 / (high - low))).clamp(0, 1)
        over = (-2, -1) if self.config.normalize == "axis" else (-3, -2, -1)
        low = nepers.amin(over, keepdim=True)
        spread = nepers.amax(over, keepdim=True) - low
        constant = spread < CONSTANT_DB / DB_PER_NEPER
        gain = torch.where(constant, 0.0, 1 / spread.masked_fill(constant, 1.0))
        return (nepers - low) * gain


class Waveform(nn.Module):
    """Triaxial windows to pictures of their signed traces; see :class:`WaveformConfig`."""

    level: Tensor

    def __init__(self, config: WaveformConfig = WaveformConfig()) -> None:  # noqa: B008
        super().__init__()
        self.config = config
        level = torch.linspace(1, 0, config.height).unsqueeze(-1)
        self.register_buffer("level", level, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 3, samples) in g to (n, 3, height, width) in [0, 1]."""
        trace = F.interpolate(windows, size=self.config.width, mode="linear").unsqueeze(-2)
        relative = (trace - self.config.low) / (self.config.high - self.config.low)
        return torch.sigmoid((relative - self.level) * (self.config.height / 2))


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


def render_uint8(module: Spectrogram | Waveform, windows: Tensor) -> Tensor:
    """Pictures in 256 grey levels, (n, 3, height, width), channels last.

    On the CPU a spectrogram is rounded before it is enlarged: eight times fewer pixels to round,
    and torch's byte resize is three times as fast as its float one. No pixel differs by more than
    one level from rounding last.
    """
    config = module.config
    if isinstance(module, Spectrogram) and windows.device.type == "cpu":
        small = _to_bytes(module.levels(windows)).contiguous(memory_format=torch.channels_last)
        return F.interpolate(small, size=(config.height, config.width), mode="bilinear")
    return _to_bytes(module(windows)).contiguous(memory_format=torch.channels_last)


def _to_bytes(pictures: Tensor) -> Tensor:
    return (pictures * 255 + 0.5).to(torch.uint8)
