"""A network and real windows to export, small enough to build for every test session."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from img2imu.convert import SpectrogramConfig, View, Views, WaveformConfig
from img2imu.models import Encoder, EncoderConfig, build_encoder

VIEWS: tuple[View, ...] = (
    SpectrogramConfig(nfft=32, noverlap=28, normalize="fixed", width=48, height=36),
    SpectrogramConfig(nfft=64, noverlap=60, detrend=True, width=48, height=36),
    WaveformConfig(width=48, height=36),
)
PAPER: tuple[View, ...] = (SpectrogramConfig(),)


class Network(nn.Module):
    """Windows to logits: what the classifier hands to the export."""

    def __init__(self, views: tuple[View, ...], encoder: Encoder, head: nn.Linear) -> None:
        super().__init__()
        self.drawing, self.encoder, self.head = Views(views), encoder, head

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 3, samples) to (n, classes)."""
        return self.head(self.encoder(self.drawing(windows)))


def build(views: tuple[View, ...], config: EncoderConfig, classes: int = 5) -> Network:
    """A network whose head sees features of unit size."""
    encoder = build_encoder(config)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        features = encoder(Views(views)(torch.randn(4, 3, 250)))
        head = nn.Linear(features.shape[1], classes)
        head.weight /= features.std()
    return Network(views, encoder, head).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def windows() -> NDArray[np.float32]:
    """Twelve real windows of 5 s at 50 Hz, in g."""
    from img2imu.errors import InputError
    from img2imu.recordings import WindowConfig, make_windows, open_source

    try:
        source = open_source("exercise")
    except InputError as error:
        pytest.skip(str(error))
    return make_windows(source, WindowConfig(), max_per_class=2).X[:12]


@pytest.fixture(scope="session")
def network() -> Network:
    """Three views, read at the first stage."""
    return build(VIEWS, EncoderConfig(stages=(1,), bands=3))
