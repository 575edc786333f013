"""Settings refuse what no augmentation can do, and say so in one sentence."""

from __future__ import annotations

import dataclasses

import pytest

from img2imu.augment import (
    AllConfig,
    AugmentationError,
    BandGainConfig,
    ContrastConfig,
    CropXConfig,
    CropYConfig,
    HueConfig,
    JitterConfig,
    MaskXConfig,
    MaskYConfig,
    MoCoDefaultConfig,
    PermuteXConfig,
    SensorAwareConfig,
    TranslateXConfig,
)


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (TranslateXConfig, {"fraction": (-1.5, 0)}, "fraction"),
        (TranslateXConfig, {"fraction": (0.2, 0.1)}, "rising"),
        (TranslateXConfig, {"fill": "reflect"}, "'reflect'"),
        (PermuteXConfig, {"chunks": (0, 3)}, "chunks"),
        (PermuteXConfig, {"chunks": (1.5, 3)}, "whole"),
        *((each, {"fraction": (0, 1)}, "fraction") for each in (CropXConfig, CropYConfig)),
        *((each, {"fraction": (0, 1.1)}, "fraction") for each in (CropXConfig, MaskXConfig)),
        (MaskYConfig, {"fraction": (-0.1, 0.1)}, "fraction"),
        (BandGainConfig, {"gain": (-2, 0)}, "gain"),
        (BandGainConfig, {"points": 0}, "points"),
        (BandGainConfig, {"points": 2.5}, "whole"),
        (ContrastConfig, {"contrast": (-0.1, 1)}, "contrast"),
        (ContrastConfig, {"brightness": (0, 1.5)}, "brightness"),
        (HueConfig, {"turns": (0, 1.1)}, "turns"),
        (HueConfig, {"turns": (float("nan"), 1)}, "turns"),
        (JitterConfig, {"amplitude": (-0.1, 0.1)}, "amplitude"),
        (JitterConfig, {"amplitude": (0.1,)}, "amplitude"),
        (MoCoDefaultConfig, {"scale": (0, 1)}, "scale"),
        (MoCoDefaultConfig, {"hue": 0.6}, "hue"),
        (MoCoDefaultConfig, {"width": 1}, "1x96"),
        (MoCoDefaultConfig, {"p_blur": 2}, "p must"),
        (AllConfig, {"degrees": (-200, 0)}, "degrees"),
        (AllConfig, {"bits": (0, 8)}, "bits"),
        *((each, {"p": 1.5}, "p must") for each in (TranslateXConfig, PermuteXConfig, HueConfig)),
        *((each, {"p": -1}, "p must") for each in (CropXConfig, CropYConfig, MaskXConfig)),
        *((each, {"p": 2}, "p must") for each in (MaskYConfig, BandGainConfig, ContrastConfig)),
    ],
)
def test_settings_out_of_range_are_refused(config, settings, message):
    with pytest.raises(AugmentationError, match=message):
        config(**settings)


def test_settings_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SensorAwareConfig().hue = HueConfig()
