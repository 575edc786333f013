"""Augmentation policies by name: a batch of images in, a normalised training batch out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
from kornia import augmentation as K  # noqa: N812
from torch import Tensor, nn

from .config import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    POLICIES,
    AllConfig,
    AugmentationError,
    MoCoDefaultConfig,
    PolicyConfig,
    StepsConfig,
)
from .fused import FusedSensorAware
from .kernel import steps_of
from .levels import unit_range


class KorniaPolicy(nn.Module):
    """A kornia pipeline between bytes and the normalised training type.

    Parameters
    ----------
    augment
        Takes and gives float32 images in [0, 1].
    mean, std
        Of each channel, for images in [0, 1].
    dtype
        Of the result.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        augment: nn.Module,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.augment = augment
        self.dtype = dtype
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Augment images (n, 3, height, width), bytes or floats in [0, 1]."""
        augmented = self.augment(unit_range(images))
        return ((augmented - self.mean) / self.std).to(self.dtype)


def create_policy(
    policy: str | PolicyConfig,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """A module from images, bytes or floats in [0, 1], to augmented and normalised ones.

    Parameters
    ----------
    policy
        A name out of :data:`POLICIES`, or settings of one's own.
    mean, std
        Of each channel, for images in [0, 1]; ImageNet's.
    dtype
        Of the result.

    Returns
    -------
    nn.Module
        The fused path for the sensor-aware policies, a :class:`KorniaPolicy` for the others.

    Raises
    ------
    AugmentationError
        If the name is unknown, or the policy has a step that the fused path would leave out.

    Examples
    --------
    >>> policy = create_policy("sensor-aware", dtype=torch.bfloat16)
    >>> policy(torch.zeros(2, 3, 96, 128, dtype=torch.uint8)).dtype
    torch.bfloat16
    """
    config = _config(policy)
    if isinstance(config, StepsConfig):
        return FusedSensorAware(config, mean, std, dtype)
    return KorniaPolicy(create_pipeline(config), mean, std, dtype)


def create_pipeline(policy: str | PolicyConfig) -> K.AugmentationSequential:
    """The policy as kornia classes, for float images in [0, 1], without the normalisation.

    Parameters
    ----------
    policy
        A name out of :data:`POLICIES`, or settings of one's own.

    Raises
    ------
    AugmentationError
        If the name is unknown, or the policy has a step that the fused path would leave out.
    """
    config = _config(policy)
    steps: list[K.AugmentationBase2D]
    if isinstance(config, StepsConfig):
        steps = [step(**asdict(settings)) for settings, step in steps_of(config)]
    elif isinstance(config, MoCoDefaultConfig):
        steps = _moco_default(config)
    else:
        steps = _all(config)
    return K.AugmentationSequential(*steps, data_keys=["input"])


def _config(policy: str | PolicyConfig) -> PolicyConfig:
    if not isinstance(policy, str):
        return policy
    if policy not in POLICIES:
        raise AugmentationError(f"unknown policy {policy!r}; known: {', '.join(POLICIES)}")
    return POLICIES[policy]


def _moco_default(config: MoCoDefaultConfig) -> list[K.AugmentationBase2D]:
    color = config.brightness, config.contrast, config.saturation, config.hue
    # The rule of thumb of OpenCV: three standard deviations to either side.
    kernel = 2 * round(3 * config.sigma[1]) + 1
    return [
        K.RandomResizedCrop((config.height, config.width), scale=config.scale),
        # torchvision's formulas, which MoCo used; kornia's own ColorJiggle adds brightness.
        K.ColorJitter(*color, p=config.p_color),
        K.RandomGrayscale(p=config.p_gray),
        K.RandomGaussianBlur((kernel, kernel), config.sigma, p=config.p_blur),
        K.RandomHorizontalFlip(p=config.p_flip),
    ]


def _all(config: AllConfig) -> list[K.AugmentationBase2D]:
    p = config.p
    return [
        K.RandomRotation(config.degrees, p=p),
        K.RandomSharpness(config.sharpness, p=p),
        K.RandomShear(config.shear, p=p),
        K.RandomContrast(config.contrast, p=p),
        K.RandomBrightness(config.brightness, p=p),
        K.RandomSaturation(config.color, p=p),
        K.RandomInvert(p=p),
        K.RandomSolarize(config.threshold, additions=(0.0, 0.0), p=p),
        K.RandomPosterize(config.bits, p=p),
        K.RandomEqualize(p=p),
        K.RandomAutoContrast(p=p),
    ]
