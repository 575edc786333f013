"""What the tests of image augmentations share."""

from __future__ import annotations

import pytest
import torch

from img2imu.augment import (
    BandGainConfig,
    ContrastConfig,
    CropXConfig,
    CropYConfig,
    HueConfig,
    JitterConfig,
    MaskXConfig,
    MaskYConfig,
    PermuteXConfig,
    TranslateXConfig,
)

CERTAIN = [
    CropXConfig((0.4, 0.8), p=1),
    CropYConfig((0.4, 0.8), p=1),
    TranslateXConfig((0.1, 0.3), p=1),
    PermuteXConfig((8, 8), p=1),
    MaskXConfig((0.2, 0.4), p=1),
    MaskYConfig((0.2, 0.4), p=1),
    BandGainConfig((0.05, 0.2), p=1),
    ContrastConfig((1.1, 1.3), (-0.1, 0.1), p=1),
    HueConfig((0.1, 0.4), p=1),
    JitterConfig((0.1, 0.2), p=1),
]


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return request.param


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def certain():
    """From a settings class to settings whose draws change every image."""
    return {type(settings): settings for settings in CERTAIN}
