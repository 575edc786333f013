"""Networks and real windows to export, small enough to build for every run of the tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from img2imu.convert import SpectrogramConfig, View, Views, WaveformConfig
from img2imu.models import EncoderConfig, build_encoder

Build = Callable[[tuple[View, ...], EncoderConfig], nn.Module]


@pytest.fixture(scope="session")
def windows() -> NDArray[np.float32]:
    """Seven real windows of 5 s at 50 Hz, in g, one of each class."""
    from img2imu.errors import InputError
    from img2imu.recordings import WindowConfig, make_windows, open_source

    try:
        source = open_source("exercise")
    except InputError as error:
        pytest.skip(str(error))
    return make_windows(source, WindowConfig(), max_per_class=1).X


@pytest.fixture(scope="session")
def build(windows: NDArray[np.float32]) -> Build:
    """Views and an encoder to a network of five classes, logits of a classifier's size."""

    def build(views: tuple[View, ...], config: EncoderConfig) -> nn.Module:
        body = nn.Sequential(Views(views), build_encoder(config))
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(1)
            features = body(torch.from_numpy(windows))
            head = nn.Linear(features.shape[1], 5)
            head.weight *= 3 / head(features).std()
        return nn.Sequential(body, head).eval().requires_grad_(False)

    return build


@pytest.fixture(scope="session")
def network(build: Build) -> nn.Module:
    """Three small views, read at the first stage."""
    small = {"width": 48, "height": 36}
    views = (
        SpectrogramConfig(nfft=32, noverlap=28, normalize="fixed", **small),
        SpectrogramConfig(nfft=64, noverlap=60, detrend=True, **small),
        WaveformConfig(**small),
    )
    return build(views, EncoderConfig(stages=(1,), bands=3))


@pytest.fixture(scope="session")
def paper_network(build: Build) -> nn.Module:
    """The paper's picture, read at the last stage."""
    return build((SpectrogramConfig(),), EncoderConfig(stages=(4,), bands=1))
