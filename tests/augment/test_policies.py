"""Policies by name: what each does, and that all take and give the same."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict

import pytest
import torch

from img2imu import augment
from img2imu.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    POLICIES,
    AllConfig,
    AugmentationError,
    FusedSensorAware,
    KorniaPolicy,
    MoCoDefaultConfig,
    SensorAwareConfig,
    create_pipeline,
    create_policy,
)

SENSOR_AWARE = ["translate_x", "permute_x", "hue", "jitter"]


def some_bytes(n=6):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, 96, 128), dtype=torch.uint8, generator=generator)


def test_names():
    assert list(POLICIES) == [
        "sensor-aware",
        "sensor-aware-no-translate-x",
        "sensor-aware-no-permute-x",
        "sensor-aware-no-hue",
        "sensor-aware-no-jitter",
        "sensor-crops",
        "sensor-crops-soft",
        "moco-default",
        "all",
    ]
    with pytest.raises(AugmentationError, match="sensor-aware, "):
        create_policy("sensor")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.float32) for name in POLICIES),
        *((name, torch.bfloat16) for name in ("sensor-aware", "sensor-crops", "all")),
    ],
)
def test_every_policy_takes_bytes_and_gives_a_normalised_batch(name, dtype):
    images = some_bytes()
    policy = create_policy(name, dtype=dtype)
    output = policy(images)
    assert output.shape == images.shape
    assert output.dtype == dtype
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    pictures = output.float() * std.view(3, 1, 1) + mean.view(3, 1, 1)
    assert pictures.min() >= -0.01
    assert pictures.max() <= 1.01
    assert not torch.equal(policy(images), output)


@pytest.mark.parametrize("name", POLICIES)
def test_seed_determines_every_policy(name):
    policy, images, outputs = create_policy(name), some_bytes(), []
    for _ in range(2):
        torch.manual_seed(5)
        outputs.append(policy(images))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("left_out", SENSOR_AWARE)
def test_ablations_leave_one_out(left_out):
    config = POLICIES[f"sensor-aware-no-{left_out.replace('_', '-')}"]
    assert isinstance(config, SensorAwareConfig)
    for name in SENSOR_AWARE:
        assert (getattr(config, name).p == 0) == (name == left_out)
    drawn = FusedSensorAware(config).sample(200)
    neutral = {
        "translate_x": (drawn["fraction"] == 0).all(),
        "permute_x": (drawn["chunks"] == 1).all(),
        "hue": (drawn["turns"] == 0).all(),
        "jitter": (drawn["amplitude"] == 0).all(),
    }
    assert [name for name in SENSOR_AWARE if neutral[name]] == [left_out]


def test_sensor_aware_order():
    steps = [type(step).__name__ for step in create_pipeline("sensor-aware").children()]
    assert steps == ["TranslateX", "PermuteX", "Hue", "Jitter"]
    assert isinstance(create_policy("sensor-aware"), FusedSensorAware)


@pytest.mark.parametrize("name", ["sensor-crops", "sensor-crops-soft"])
def test_sensor_crops_order(name):
    steps = [type(step).__name__ for step in create_pipeline(name).children()]
    assert steps == [
        *("CropX", "CropY", "TranslateX", "PermuteX", "MaskX", "MaskY"),
        *("BandGain", "Contrast", "Hue", "Jitter"),
    ]
    assert isinstance(create_policy(name), FusedSensorAware)


def test_the_soft_policy_is_nowhere_harder():
    hard, soft = asdict(POLICIES["sensor-crops"]), asdict(POLICIES["sensor-crops-soft"])
    assert hard != soft
    for step in hard:
        assert soft[step]["p"] <= hard[step]["p"]
        for name, limits in hard[step].items():
            if isinstance(limits, tuple):
                low, high = soft[step][name]
                assert limits[0] <= low <= high <= limits[1]


@pytest.mark.parametrize("name", ["sensor-aware", "sensor-crops-soft"])
def test_settings_reach_the_classes(name):
    steps = create_pipeline(name).children()
    assert [step.config for step in steps] == list(vars(POLICIES[name]).values())


def test_baselines_are_the_papers():
    moco = [type(step).__name__ for step in create_pipeline("moco-default").children()]
    assert moco == [
        "RandomResizedCrop",
        "ColorJitter",
        "RandomGrayscale",
        "RandomGaussianBlur",
        "RandomHorizontalFlip",
    ]
    assert len(list(create_pipeline("all").children())) == 11
    assert isinstance(create_policy("all"), KorniaPolicy)


def test_settings_of_ones_own():
    crop = create_policy(MoCoDefaultConfig(width=32, height=24))
    assert crop(some_bytes()).shape == (6, 3, 24, 32)
    images = some_bytes()
    nothing = create_policy(AllConfig(p=0), mean=(0, 0, 0), std=(1, 1, 1))
    torch.testing.assert_close(nothing(images), images / 255)


def test_settings_load_without_torch():
    code = (
        "import sys, img2imu.augment as a; a.POLICIES, a.SensorCropsConfig;"
        "assert not {'torch', 'kornia', 'numba'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    assert {"create_policy", "CropX", "CropXConfig", "FusedSensorAware"} < set(augment.__all__)
    assert all(hasattr(augment, name) for name in augment.__all__)
